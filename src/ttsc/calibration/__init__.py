"""Measuring a workload: what models do on a user's inputs, learned from runs of the program itself."""
