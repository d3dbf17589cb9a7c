"""The tracker's transactions and rules, one class for each family."""
