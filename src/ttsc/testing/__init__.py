"""`ttsc test`: the `test` blocks of a file, on scripted models or on real ones."""
