"""The wire to one terminal: models, ports, links, SMP codec and session, discovery.

Knows nothing of updates, of payments, or of what a screen means.
"""
