"""`utbench ota`."""
