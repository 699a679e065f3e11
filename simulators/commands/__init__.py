"""`utbench demo`, `utbench sim` and the workbench."""
