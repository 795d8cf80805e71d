"""Plans as standalone Python files: `ttsc build`. It takes from the runtime and from the SGLang backend, so it stands
above both.
"""
