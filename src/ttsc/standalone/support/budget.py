"""A run that keeps to a budget."""
