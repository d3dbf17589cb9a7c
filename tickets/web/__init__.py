"""HTTP parts that any product can use; knows Falcon, knows no family."""
