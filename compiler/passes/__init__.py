"""Program to program: one file for each pass, one tuple for their order."""
