"""Names and types: what a program means before it is a graph."""
