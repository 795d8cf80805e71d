"""What a program costs before it runs: expected by simulation of its plan, at most by its static bounds."""
