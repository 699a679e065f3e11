"""`utbench image`."""
