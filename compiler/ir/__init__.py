"""The dataflow graph between the checked program and the plan."""
