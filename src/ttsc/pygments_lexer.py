"""A Pygments lexer for `.tts` files, for documentation: registered as `tts`."""

from __future__ import annotations

from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

from ttsc import keywords

_NAME = r"[A-Za-z_]\w*"


class TtsLexer(RegexLexer):
    """Test-time-scaling programs."""

    name = "tts"
    aliases: ClassVar[list[str]] = ["tts", "ttsc"]
    filenames: ClassVar[list[str]] = ["*.tts"]
    mimetypes: ClassVar[list[str]] = ["text/x-tts"]
    url = ""

    tokens: ClassVar[dict[str, list[object]]] = {
        "root": [
            (r"\s+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'"""', String.Doc, "text"),
            (r'"', String, "string"),
            (rf"(use)(\s+)({_NAME}(?:\.{_NAME})*)", bygroups(Keyword.Namespace, Whitespace, Name.Namespace)),
            (
                rf"({'|'.join(keywords.DECLARATIONS)})(\s+)(?!(?:{'|'.join(keywords.DECLARATIONS)})\s)({_NAME})",
                bygroups(Keyword.Declaration, Whitespace, Name.Function),
            ),
            (rf"({'|'.join(keywords.DECLARATIONS)})(?=\s+[A-Za-z_\"])", Keyword.Declaration),
            (rf"({'|'.join(keywords.TURNS)})(?=\s*\")", Keyword.Pseudo),
            (rf"({'|'.join(keywords.PLACED)})(?=\s+{_NAME})", Keyword),
            # A member and the name of an argument may be any word.
            (rf"(\.)({_NAME})", bygroups(Operator, Name.Attribute)),
            (
                rf"([(,])(\s*)({_NAME})(\s*)(=)(?![=>])",
                bygroups(Punctuation, Whitespace, Name.Variable, Whitespace, Operator),
            ),
            (words(keywords.STATEMENTS, suffix=r"\b"), Keyword),
            (words(keywords.WORD_OPERATORS, suffix=r"\b"), Operator.Word),
            (words(keywords.VALUES, suffix=r"\b"), Keyword.Constant),
            (words(keywords.TYPES, suffix=r"\b"), Keyword.Type),
            (rf"(\|>)(\s*)({'|'.join(keywords.BUILTINS)})\b", bygroups(Operator, Whitespace, Name.Builtin)),
            (words(keywords.BUILTINS, suffix=r"(?=\s*\()"), Name.Builtin),
            (rf"{_NAME}(?=\()", Name.Function),
            (_NAME, Name),
            (r"\$?[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9]+)?(k|M|ms|s|min|h)?\b", Number),
            (words(keywords.signs()), Operator),
            (r"[()\[\]{},]", Punctuation),
        ],
        "text": [(r'"""', String.Doc, "#pop"), include("content"), (r'[^"\\{]+|["{]', String.Doc)],
        "string": [(r'"', String, "#pop"), (r"\n", Whitespace, "#pop"), include("content"), (r'[^"\\{\n]+|\{', String)],
        "content": [
            (r'\\(?:[nt"\\]|u[0-9A-Fa-f]{4})', String.Escape),
            (r"\\.", String),
            (r"\{#.*?#\}", Comment.Multiline),
            (r"\{\{.*?\}\}|\{%.*?%\}", String.Interpol),
        ],
    }
