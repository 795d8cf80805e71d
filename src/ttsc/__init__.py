"""ttsc: the compiler for test-time-scaling programs."""
