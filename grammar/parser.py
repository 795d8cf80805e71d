"""Tokens to syntax tree: runs the LALR tables, and goes on after errors.

    parse(source) -> Module             or CompileError with every syntax error of the file

The parser keeps three stacks side by side: states, values, and the extents and depths of the values. Nothing here is
recursive, and the depth of the tree is bounded, so later stages may recurse over it. After an error `messages` words
it and `recovery` says where to go on; the tree of such a file is for editors only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ttsc.grammar import ast
from ttsc.grammar.build import LISTS, Builder
from ttsc.grammar.diagnostics import CompileError, Diagnostic
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.messages import explain
from ttsc.grammar.recovery import Repair, Resume, recover
from ttsc.grammar.source import Source, Span
from ttsc.grammar.stack import Stack
from ttsc.grammar.tables import load
from ttsc.grammar.tokens import Token

MAX_SOURCE = 1_000_000
MAX_DEPTH = 100
MAX_HEIGHT = 2_000
"""States on the stack; what is open but not yet a tree is bounded too."""
MAX_ERRORS = 20
"""Errors shown. The parser stops for good after five times as many, which bounds the time that recovery takes."""


def parse(source: Source) -> ast.Module:
    """The module that the text denotes. Raises CompileError, and nothing else, if there is none."""
    parsed = parse_with_errors(source)
    if parsed.diagnostics:
        raise CompileError(parsed.diagnostics)
    assert parsed.module is not None
    return parsed.module


class Parsed(NamedTuple):
    """What was read of a text. `module`: with errors, a tree with stand-ins (`partial.py` removes them), or None."""

    module: ast.Module | None
    diagnostics: tuple[Diagnostic, ...]
    tokens: list[Token]


def parse_with_errors(source: Source) -> Parsed:
    """The errors, and what was read in spite of them."""
    if len(source.text) > MAX_SOURCE:
        message = f"this file is too large: {len(source.text):,} characters of at most {MAX_SOURCE:,}"
        end = Token("$END", "", len(source.text), len(source.text), True)
        return Parsed(None, (Diagnostic("E0110", message, Span(source, 0, 0)),), [end])
    lexer = Lexer(source)
    parser = _Parser(lexer)
    module = parser.run()
    return Parsed(module, _presentable(parser.diagnostics), lexer.tokens)


def _presentable(diagnostics: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """In the order of the text, and not more than one can read."""
    ordered = sorted(diagnostics, key=lambda d: (d.span.start, d.span.end))
    shown = ordered[:MAX_ERRORS]
    more = len(ordered) - len(shown)
    if more:
        last = shown[-1]
        note = f"{more} more syntax error{'s' if more > 1 else ''} in this file not shown"
        shown[-1] = Diagnostic(last.code, last.message, last.span, last.label, last.hint, (*last.notes, note))
    return tuple(shown)


class _TooDeep(Exception):
    pass


class _Parser:
    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self.diagnostics = list(lexer.diagnostics)
        self._builder = Builder(lexer.source, self.diagnostics)
        tables = load()
        self._tables = tables
        self._methods = [getattr(self._builder, rule.action) if rule.action else None for rule in tables.rules]
        self._plain = [rule.action in LISTS for rule in tables.rules]
        self.stack = Stack(tables)

    def run(self) -> ast.Module | None:
        try:
            return self._run()
        except _TooDeep:
            return None

    def _run(self) -> ast.Module | None:
        tokens = self.lexer.tokens
        position = 0
        resumed, fresh = -1, False  # where the parser last went on after an error; another one there is its echo
        while True:
            token = tokens[position]
            if self._feed(token):
                if token.kind == "$END":
                    module = self.stack.values[-1]
                    return module if isinstance(module, ast.Module) else None
                position += 1
                continue
            if len(self.diagnostics) > 5 * MAX_ERRORS:
                return None
            while (due := self.stack.due()) is not None:  # so that what is complete is not taken for open
                self._reduce(due, token)
            tried = position <= resumed
            if (fresh or not tried) and self._speaks(position):
                self.diagnostics.append(explain(self.stack, self.lexer, position))
            action = recover(self.stack, tokens, position, position + 1 if tried else position)
            if action is None:
                return None
            if isinstance(action, Repair):
                for token in action.tokens:
                    fed = self._feed(token)
                    assert fed, "a repair that does not fit"
                position += action.skip
                if not action.skip:
                    resumed, fresh = position, False  # if the token still doesn't fit, give it up
                continue
            self._resume(action)
            position = resumed = action.position
            fresh = action.fresh

    def _resume(self, action: Resume) -> None:
        """Drops what was half read, and puts a stand-in in its place."""
        start = self.stack.cut(action.height)
        end = max(start, self.lexer.tokens[max(action.position - 1, 0)].end)
        fed = self._feed(Token(action.kind, "", min(start, end), end, False))
        assert fed, "recovery chose a state that takes no stand-in"

    def _speaks(self, position: int) -> bool:
        """False for an error that an open quote or a strange character before it explains already."""
        lexer = self.lexer
        start = lexer.tokens[position].start
        if lexer.swallowed is not None and start >= lexer.swallowed:
            return False
        end = lexer.tokens[position - 1].end if position else 0
        return not any(end <= doubt <= start for doubt in lexer.doubts)

    def _feed(self, token: Token) -> bool:
        """Reduces and shifts, or returns False and leaves the stack as it was. LALR may reduce before it finds out
        that a token doesn't fit, so whether it fits is tried first when a reduction is due."""
        stack, tables = self.stack, self._tables
        states = stack.states
        kind = token.kind
        action = tables.actions[states[-1]].get(kind)
        if action is None or (action < 0 and not stack.accepts(kind)):
            return False
        while action < 0:
            self._reduce(~action, token)
            if kind == "$END" and states[-1] == tables.end:
                return True
            states[-1] = tables.passed(states[-2], states[-1], kind)
            action = tables.actions[states[-1]][kind]
        stack.push(action, token, token.start, token.end, 0)
        if len(states) > MAX_HEIGHT:
            self._too_deep(Span(self.lexer.source, token.start, token.end))
        return True

    def _reduce(self, number: int, lookahead: Token) -> None:
        stack = self.stack
        states = stack.states
        rule = self._tables.rules[number]
        method = self._methods[number]
        if method is None:
            states[-1] = self._tables.gotos[states[-2]][rule.origin]
            return
        values: list[Any] = []
        depth = 0
        if rule.length:
            values, start, end, depth = stack.pop(rule.length)
        else:
            start = end = lookahead.start
        if self._plain[number]:
            value = method(values)
        else:
            span = Span(self.lexer.source, start, end)
            depth += rule.action != "bad"
            if depth > MAX_DEPTH:
                self._too_deep(span)
            value = method(values, span)
        stack.push(self._tables.gotos[states[-1]][rule.origin], value, start, end, depth)

    def _too_deep(self, span: Span) -> None:
        hint = "name a part of it with 'let', or move it into a function"
        self.diagnostics.append(Diagnostic("E0111", f"this nests more than {MAX_DEPTH} levels deep", span, "", hint))
        raise _TooDeep
