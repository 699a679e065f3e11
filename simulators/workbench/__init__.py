"""The workbench: a terminal on the screen, cards to tap, what happened, and the host's ledger."""
