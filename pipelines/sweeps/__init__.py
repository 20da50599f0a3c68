"""Methods against error rates: planned, run, and drawn."""
