"""The TextMate grammar of `.tts` files, made from the language's own tables.

    python -m ttsc.textmate FILE…          writes it to each file

VS Code and other tools colour a text by such a grammar. It sees one line at a time and knows no scopes, so a word of
the language is told from a name by what stands next to it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ttsc import keywords

Rule = dict[str, Any]


def grammar() -> Rule:
    """The grammar, ready for JSON."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "Test-time scaling program",
        "scopeName": "source.tts",
        "fileTypes": ["tts"],
        "patterns": [
            {"include": f"#{name}"}
            for name in ("comment", "text", "string", "use", "declaration", "turn", "budget", "word", "call", "value",
                         "argument", "type", "sign")
        ],
        "repository": {
            "comment": {"name": "comment.line.number-sign.tts", "match": "#.*$"},
            "text": _string("string.quoted.triple.tts", '"""', '"""'),
            "string": _string("string.quoted.double.tts", '"', '"|$'),
            "template": {
                "patterns": [
                    {"name": "comment.block.template.tts", "begin": r"\{#", "end": r"#\}"},
                    {
                        "name": "meta.embedded.template.tts",
                        "begin": r"\{[{%][-+]?",
                        "end": r"[-+]?[%}]\}",
                        "beginCaptures": {"0": {"name": "punctuation.section.embedded.begin.tts"}},
                        "endCaptures": {"0": {"name": "punctuation.section.embedded.end.tts"}},
                        "patterns": [
                            {"name": "keyword.control.template.tts", "match": _words(_TEMPLATE_WORDS)},
                            {"name": "variable.other.template.tts", "match": r"[A-Za-z_]\w*"},
                        ],
                    },
                ]
            },
            "use": {
                "match": r"\b(use)\s+([A-Za-z_][\w.]*)",
                "captures": {"1": _name("keyword.other.import.tts"), "2": _name("entity.name.namespace.tts")},
            },
            "declaration": {
                "patterns": [
                    {
                        "match": rf"(?<![.\w])({_any(keywords.DECLARATIONS)})\s+([A-Za-z_]\w*)",
                        "captures": {"1": _name("storage.type.tts"), "2": {"patterns": [
                            {"name": "storage.type.tts", "match": _words(keywords.DECLARATIONS)},
                            {"name": "entity.name.function.tts", "match": r"\w+"},
                        ]}},
                    },
                    {"name": "storage.type.tts", "match": rf'(?<![.\w])({_any(keywords.DECLARATIONS)})(?=\s*("|$))'},
                ]
            },
            "turn": {"name": "keyword.other.turn.tts", "match": rf'\b({_any(keywords.TURNS)})(?=\s*("|$))'},
            "budget": {
                "name": "keyword.other.tts",
                "match": rf"(?<![.\w])({_any(keywords.PLACED)})(?=\s+[A-Za-z_]\w*\b(?!\s*\())",
            },
            "word": {
                "patterns": [
                    {"name": "keyword.control.tts", "match": _words(keywords.STATEMENTS)},
                    {"name": "keyword.operator.word.tts", "match": _words(keywords.WORD_OPERATORS)},
                    {"name": "constant.language.tts", "match": _words(keywords.VALUES)},
                ]
            },
            "call": {
                "patterns": [
                    {
                        "match": rf"(\|>)\s*(?:({_any(keywords.BUILTINS)})\b|([A-Za-z_]\w*))",
                        "captures": {
                            "1": _name("keyword.operator.pipe.tts"),
                            "2": _name("support.function.tts"),
                            "3": _name("entity.name.function.call.tts"),
                        },
                    },
                    {"name": "support.function.tts", "match": rf"(?<![.\w])({_any(keywords.BUILTINS)})(?=\s*\()"},
                    {"name": "entity.name.function.call.tts", "match": r"(?<![.\w])[A-Za-z_]\w*(?=\()"},
                ]
            },
            "value": {
                "name": "constant.numeric.tts",
                "match": r"(?<![\w.])\$?[0-9](?:[0-9_])*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?(?:k|M|ms|s|min|h)?\b",
            },
            "argument": {
                "match": r"(?<=[(,])\s*([A-Za-z_]\w*)\s*(=)(?![=>])",
                "captures": {"1": _name("variable.parameter.tts"), "2": _name("keyword.operator.assignment.tts")},
            },
            "type": {
                "patterns": [
                    {"name": "support.type.tts", "match": rf"(?<![.\w])({_any(keywords.TYPES)})\b(?!\s*=)"},
                    {"name": "entity.name.type.tts", "match": r"(?<![.\w])[A-Z]\w*\b"},
                ]
            },
            "sign": {"name": "keyword.operator.tts", "match": "|".join(map(re.escape, keywords.signs()))},
        },
    }  # fmt: skip


_TEMPLATE_WORDS = (
    "for", "in", "if", "elif", "else", "endif", "endfor", "set", "endset", "not", "and", "or", "is", "loop",
)  # fmt: skip


def _string(name: str, begin: str, end: str) -> Rule:
    escape = {"name": "constant.character.escape.tts", "match": r'\\(?:[nt"\\]|u[0-9A-Fa-f]{4})'}
    return {"name": name, "begin": begin, "end": end, "patterns": [escape, {"include": "#template"}]}


def _name(scope: str) -> Rule:
    return {"name": scope}


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=lambda word: (-len(word), word)))


def _words(words: Iterable[str]) -> str:
    """One of these words, unless it is the name of a field or of an argument."""
    return rf"(?<![.\w])(?:{_any(words)})\b(?!\s*=(?![=>]))"


def text() -> str:
    """The grammar as JSON."""
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file in sys.argv[1:]:
        Path(file).write_text(text(), encoding="utf-8")
