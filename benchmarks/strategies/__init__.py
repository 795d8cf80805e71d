"""The standard library's strategies on the test bed: what each gets right, and what it costs."""
