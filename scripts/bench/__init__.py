"""Measures a running service over HTTP; ``make bench``, docs/benchmarks/README.md."""
