"""Runs plans: executor, decisions, cancellation, usage, trace."""
