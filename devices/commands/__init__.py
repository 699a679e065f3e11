"""`utbench device`."""
