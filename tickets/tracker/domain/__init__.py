"""The tracker's pure rules: no I/O, no clock, no randomness."""
