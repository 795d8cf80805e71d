"""Expectations that have a closed form: of votes, choices, races and sequential tests over independent samples.

All of them are per input: what an input is like is `Question`'s business, and a mean over inputs is taken of the
results, never of the chances that go in.
"""
