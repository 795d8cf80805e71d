"""The best setting under a budget: the space of settings, what is asked of whoever evaluates them, the search, and the
Pareto frontier of what it saw.
"""
