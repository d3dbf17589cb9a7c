"""HTTP for the tracker; every rule is in the operations."""
