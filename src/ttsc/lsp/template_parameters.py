"""The parameters that a template may name, by the tokens around a cursor: a template that is being written is often not
closed yet, and there is no tree of its prompt then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ttsc.grammar.build import ROLES
from ttsc.grammar.tokens import CLOSERS, OPENERS, Token
from ttsc.lsp.template_names import inside


def template_parameters(text: str, tokens: Sequence[Token], offset: int) -> dict[str, str] | None:
    """Names of the prompt's parameters, and how they are declared; None where no code of a template is."""
    i = bisect_left(tokens, offset, key=lambda token: token.start) - 1
    if i < 1 or tokens[i].kind != "STRING" or tokens[i - 1].text not in ROLES:
        return None
    string = tokens[i]
    closed = len(string.text) > 1 and string.text.endswith('"')
    beyond = offset >= string.end and (closed or "\n" in text[string.end : offset])
    if beyond or not inside(text[string.start : offset], offset - string.start):
        return None
    prompt = next((j for j in range(i, -1, -1) if tokens[j].kind == "prompt"), None)
    return None if prompt is None else _parameters(text, tokens, prompt + 2)


def _parameters(text: str, tokens: Sequence[Token], opener: int) -> dict[str, str]:
    """The parameters between the bracket at `opener` and the one that closes it."""
    found: dict[str, str] = {}
    depth = 0
    start: Token | None = None
    for token, following in zip(tokens[opener:], tokens[opener + 1 :], strict=False):
        depth += (token.kind in OPENERS) - (token.kind in CLOSERS)
        if start is not None and (depth == 0 or (depth == 1 and token.kind == ",")):
            found[start.text] = " ".join(text[start.start : token.start].split())
            start = None
        if depth == 0:
            break
        if depth == 1 and start is None and token.kind == "NAME" and following.kind == ":":
            start = token
    return found
