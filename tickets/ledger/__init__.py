"""The task ledger over HTTP, and its feed from tracker and tickets."""
