"""HTTP for tickets."""
