"""Templates as Python: f-strings where text and values are all there is, else Jinja as the compiler has it."""

from __future__ import annotations

from jinja2 import nodes

from ttsc.compiler.values.sandbox import _ENVIRONMENT
from ttsc.standalone.layout import quoted

Piece = str | tuple[str, tuple[str, ...]]
"""A text, or a value by its name and the fields of it."""


def pieces(template: str) -> list[Piece] | None:
    """What a template writes one after the other; None if it does more than that."""
    found: list[Piece] = []
    for node in _ENVIRONMENT.parse(template).body:
        if not isinstance(node, nodes.Output):
            return None
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                found.append(part.data)
                continue
            fields: list[str] = []
            inner: nodes.Node = part
            while isinstance(inner, nodes.Getattr):
                fields.insert(0, inner.attr)
                inner = inner.node
            if not isinstance(inner, nodes.Name):
                return None
            found.append((inner.name, tuple(fields)))
    return found


def text_literal(text: str) -> str:
    """A constant text, over several lines where it has them."""
    if "\n" not in text or not _is_plain(text):
        return quoted(text)
    return f'"""\\\n{_escaped(text)}"""' if not text.startswith("\n") else f'"""{_escaped(text)}"""'


def formatted(parts: list[Piece], names: dict[str, str]) -> str:
    """An f-string; `names`: what each of the template's names is called."""
    multiple = any("\n" in part for part in parts if isinstance(part, str))
    plain = all(_is_plain(part) for part in parts if isinstance(part, str))
    quote = '"""' if multiple and plain else '"'
    written: list[str] = []
    for part in parts:
        if isinstance(part, str):
            text = _escaped(part) if quote == '"""' else _both(part)
            written.append(text.replace("{", "{{").replace("}", "}}"))
        else:
            name, fields = part
            keys = "".join(f", '{field}'" for field in fields)
            written.append(f"{{shown({names[name]}{keys})}}")
    body = "".join(written)
    return f"f{quote}\\\n{body}{quote}" if quote == '"""' and not body.startswith("\n") else f"f{quote}{body}{quote}"


def _both(text: str) -> str:
    """A text as it reads between double quotes."""
    return "".join('\\"' if each == '"' else "'" if each == "'" else repr(each)[1:-1] for each in text)


def _is_plain(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text) and not any(
        line != line.rstrip() for line in text.split("\n")
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + ("" if not text.endswith('"') else "\\\n")
