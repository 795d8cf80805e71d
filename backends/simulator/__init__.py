"""A simulated engine: virtual time, no model, outcomes drawn from a workload."""
