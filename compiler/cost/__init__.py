"""What a program costs before it runs.

Three things apart: the workload (what models say), the estimate (how much is asked), the model (what that takes).
"""
