"""The language server: the compiler's front end, asked by an editor while a program is being written.

`server.py` speaks the protocol; each other module answers one kind of question from an `Analysis` and knows nothing of
the wire. Needs the extra `lsp` (pygls); nothing else in ttsc imports this package.
"""
