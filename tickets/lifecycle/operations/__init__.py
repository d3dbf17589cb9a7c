"""What clients can ask of tickets: transactions and rules."""
