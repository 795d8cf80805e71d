"""Text to syntax tree: sources and spans, the Lark grammar, the AST, diagnostics and their one renderer."""
