"""Values without a model: types, pure operations, sandboxed templates, regular expressions."""
