"""The plan: the optimized graph together with what each of its generations asks of an engine."""
