"""Pure rules of tickets, and the types of documents and answers."""
