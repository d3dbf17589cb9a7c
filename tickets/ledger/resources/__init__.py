"""HTTP for the ledger; every rule is in the operations."""
