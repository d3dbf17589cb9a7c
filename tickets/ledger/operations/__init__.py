"""The ledger's transactions, one class for each family, and its feed from the service."""
