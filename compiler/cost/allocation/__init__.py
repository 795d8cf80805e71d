"""Published models of how to spend a budget, as functions of what a workload says. `ttsc plan` advises by them."""
