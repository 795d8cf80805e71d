"""What to say where a statement or a declaration should begin, and something else does.

Each function is a rule of `messages.py`. A statement that begins with a name is noticed one token late: `vote(x)` reads
as the beginning of `vote = …` until the `(` is met. The tables are the words of other languages.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.places import FORMS, article
from ttsc.grammar.recovery import OPERAND_STARTS, nested
from ttsc.grammar.scene import COMPARISONS, Scene
from ttsc.grammar.slips import WORD_OPERATORS, foreign_operator
from ttsc.grammar.spelling import did_you_mean
from ttsc.grammar.tokens import DECLARATION_WORDS, STATEMENT_WORDS

_FOREIGN_DECLARATIONS = {
    **dict.fromkeys(
        ("def", "fn", "func", "fun", "async", "proc", "workflow", "pipeline", "agent"),
        "write program name(…) -> type { … }, or function name(…) -> type = … for one expression",
    ),
    **dict.fromkeys(("class", "struct", "type", "interface", "data", "schema"), "write record Name { field: type }"),
    **dict.fromkeys(("import", "from", "include", "require", "using"), "write use std.answers (boxed)"),
    **dict.fromkeys(("tool", "external", "declare"), f"write {FORMS['extern']}"),
    **dict.fromkeys(("memory", "database", "global"), f"write {FORMS['store']}"),
    **dict.fromkeys(("const", "enum", "template", "module", "package", "namespace", "export", "public"), ""),
}
_FOREIGN_STATEMENTS = {
    **dict.fromkeys(("break", "continue"), "a loop ends when its condition holds: repeat 10 { … } until done"),
    **dict.fromkeys(("loop", "do"), "loops are bounded: repeat 10 { … } until done"),
    "foreach": "write for x in xs { … }",
    "pass": "leave the block empty: { }",
    **dict.fromkeys(("const", "auto", "final", "val"), "write 'let'"),
    **dict.fromkeys(("mut", "set"), "what changes is declared with 'var', and assigned as name = value"),
    **dict.fromkeys(("print", "println", "echo", "log"), "a program has no output but its result: return what to see"),
    **dict.fromkeys(
        ("raise", "throw", "try", "assert", "except", "catch", "finally"), "a program can't raise or catch errors"
    ),
    **dict.fromkeys(("switch", "match", "case", "unless", "when"), "write if … { … } else if … { … } else { … }"),
    **dict.fromkeys(("end", "fi", "done", "endif", "endfor", "begin"), "blocks stand in braces: { … }"),
    **dict.fromkeys(("def", "fn", "func", "class", "import", "from"), "declarations stand outside of programs"),
    **dict.fromkeys(
        ("yield", "await", "async", "go", "parallel", "spawn"), "there is no need: what can run at once does"
    ),
    **dict.fromkeys(("del", "delete", "global", "nonlocal", "with", "goto"), ""),
}
_METHODS = frozenset("append add push extend insert push_back concat update remove pop".split())


def comment(s: Scene) -> Diagnostic | None:
    """A comment as other languages have it, which reads as an operator and some names."""
    dashes = s.token.kind == "-" and s.after.kind == "-" and s.after.start == s.token.end
    starts = s.wants_statement or s.wants_declaration or s.wants_test_item
    if starts and (dashes or s.token.kind == "//"):
        return s.error("E0171", "comments begin with '#'", "", f"write '#' for '{'--' if dashes else '//'}'")
    for last in (s.position, s.position - 1):
        slashes = _slashes(s, last)
        if slashes is not None:
            return s.error("E0171", "comments begin with '#'", "", "write '#' for '//'", at=s.tokens[slashes])
    return None


def _slashes(s: Scene, last: int) -> int | None:
    """The `//` before the token `last` on its line, with words side by side after it."""
    i = last
    words = False
    while i > 0 and not s.tokens[i].first:
        words = words or (s.tokens[i].kind == "NAME" and s.tokens[i - 1].kind in OPERAND_STARTS)
        i -= 1
        if s.tokens[i].kind == "//":
            return i if words else None
    return None


def top_level(s: Scene) -> Diagnostic | None:
    if not s.wants_declaration:
        return None
    token, text = s.token, s.token.text
    if token.kind == "NAME" and text in _FOREIGN_DECLARATIONS:
        return s.error("E0113", f"'{text}' is not a word of this language", "", _FOREIGN_DECLARATIONS[text])
    if token.kind == "NAME" and s.after.kind != "=" and text not in FORMS:
        hint = did_you_mean(text, DECLARATION_WORDS)
        if hint:
            return s.error("E0114", f"unknown word '{text}'", "not a declaration", hint)
    if token.kind == "NAME" and text == "offline":
        return s.error("E0151", "'offline' stands before 'let', in a program", "", "write offline let x = …")
    if token.kind in STATEMENT_WORDS | {"offline"} or (token.kind == "NAME" and s.after.kind in {"=", "+="}):
        if text in FORMS and text != "budget":
            return s.error("E0163", f"{article(text)} is not declared like this", "", f"write {FORMS[text]}")
        hint = "statements stand in a program: program name(question: str) -> str { … }"
        notes: tuple[str, ...] = ()
        if s.before.kind == "}":
            notes = (f"the declaration before ends at line {s.line(s.before)}: is there a '}}' too many?",)
        return s.error("E0130", "a statement outside of a program", "", hint, notes)
    if text == "budget":
        hint = f"program p(question: str) -> str {FORMS[text]} {{ … }}"
        return s.error("E0148", "a budget stands after the type of a program's result", "", hint)
    if text in FORMS:
        return s.error("E0163", f"{article(text)} is not declared like this", "", f"write {FORMS[text]}")
    return None


def declaration(s: Scene) -> Diagnostic | None:
    """The last word on what stands where a declaration should."""
    if not s.wants_declaration:
        return None
    hint = f"a declaration begins with one of the words {', '.join(sorted(DECLARATION_WORDS))}"
    if s.token.kind in {"(", "[", "."} and s.before.kind == "NAME":
        hint = "something may be missing before it"
    return s.error("E0163", f"no declaration begins with {s.found()}", "", hint)


def docstring(s: Scene) -> Diagnostic | None:
    if "program" not in s.expected or s.wants_declaration:
        return None
    hint = (
        "it describes the prompt, record, extern, function, program, store or test after it; a comment begins with '#'"
    )
    if not s.before.first and s.position > 2 and s.tokens[s.position - 3].kind in {"model", ","}:
        return s.error("E0158", "the default of a role comes after '='", "", f"write {FORMS['model']}", at=s.before)
    taken = s.token.kind in {"STRING", "$END"}
    what = "" if taken or s.token.kind not in {"use", "model"} else f": '{s.token.text}' takes none"
    if taken or what:
        return s.error("E0131", f"this docstring describes nothing{what}", "", hint, at=s.before)
    return s.error("E0131", f"after a docstring comes what it describes, found {s.found()}", "", hint)


def inside(s: Scene) -> Diagnostic | None:
    if (s.wants_statement or s.wants_test_item) and s.token.kind in DECLARATION_WORDS and nested(s.tokens, s.position):
        hint = "declarations stand side by side: move it out of the braces"
        return s.error("E0133", f"{article(s.token.text)} inside of another declaration", "", hint)
    return None


def statement(s: Scene) -> Diagnostic | None:
    """Something that begins no statement, or a name that begins one and then no `=`."""
    if s.wants_statement and not s.within_test:
        return _start(s)
    earlier = s.tokens[s.position - 2].kind if s.position > 1 else ""
    if s.expected != {"=", "+="} or s.before.kind != "NAME":
        return None
    return _word(s, earlier) or _change(s) or _joined(s, earlier) or _value(s)


def _start(s: Scene) -> Diagnostic | None:
    if s.token.kind == "budget":
        hint = f"write {FORMS['budget']}, after the type of the result"
        return s.error("E0148", "a budget stands before the '{' of its program", "", hint)
    if s.token.kind in OPERAND_STARTS | {"-"}:
        return s.error("E0134", "a value alone is not a statement", "", "name it, let x = …, or return it")
    if s.token.kind == "," and s.expression_complete:
        hint = "return a record, or a list [a, b]" if s.doing == "return" else "remove the ','"
        return s.error("E0145", "there are no tuples", "", hint)
    if s.expression_ends and not s.token.first:
        return None  # see `slips.after_expression`
    hint = "a statement begins with let, var, if, repeat, for, return, or a variable that is assigned"
    return s.error("E0120", f"no statement begins with {s.found()}", "", hint)


def _word(s: Scene, earlier: str) -> Diagnostic | None:
    """The name is a word of another language, or a misspelt one of this."""
    name, kind = s.before.text, s.token.kind
    if name in WORD_OPERATORS and not s.before.first:
        return foreign_operator(s, s.before, s.token)
    if name == "offline" or (s.tokens[s.position - 2].text == "offline" and earlier == "NAME"):
        at = s.before if name == "offline" else s.tokens[s.position - 2]
        return s.error("E0151", "'offline' stands before 'let'", "", "write offline let x = …", at=at)
    if name in _FOREIGN_STATEMENTS:
        return s.error("E0113", f"'{name}' is not a word of this language", "", _FOREIGN_STATEMENTS[name], at=s.before)
    apart = kind in {"(", "["} and s.before.end < s.token.start
    if kind in OPERAND_STARTS - {"[", "("} or kind == "{" or apart:
        hint = did_you_mean(name, STATEMENT_WORDS - {"expect"})
        if hint:
            return s.error("E0114", f"unknown word '{name}'", "begins no statement", hint, at=s.before)
    return None


def _change(s: Scene) -> Diagnostic | None:
    """Other ways to change a variable."""
    name, kind = s.before.text, s.token.kind
    if kind in {"+", "-"} and s.after.kind == kind:
        return s.error("E0135", f"there is no '{kind}{kind}'", "", f"write {name} = {name} {kind} 1")
    if s.after.kind == "=" and kind in {"-", "*", "/", "//", "%", "|", "?"}:
        return s.error("E0135", f"there is no '{kind}='", "", f"write {name} = {name} {kind} …")
    if kind == ":":
        return s.error("E0135", "a name is declared without 'let' or 'var'", "", f"write let {name}: …", at=s.before)
    if kind == "." and s.after.text in _METHODS and s.tokens[min(s.position + 2, len(s.tokens) - 1)].kind == "(":
        hint = f"write {name} += [item]; for a store, {name} += item"
        return s.error("E0155", f"lists have no '{s.after.text}'", "", hint, at=s.after)
    if kind in {"->", "=>", "<", "<="} and s.before.first and kind != "<=":
        return s.error("E0120", f"no statement is written with '{kind}'", "", f"write {name} = …, or let {name} = …")
    return None


def _joined(s: Scene, earlier: str) -> Diagnostic | None:
    if not s.before.first and earlier not in {"{", "}"}:
        hint = "an operator or a ',' may be missing before it"
        return s.error(
            "E0170", f"unexpected name '{s.before.text}' after the end of a statement", "", hint, at=s.before
        )
    return None


def _value(s: Scene) -> Diagnostic | None:
    name = s.before.text
    if s.token.kind in {"(", ".", "[", "|>", "}", "+", "-", "*", "/", "//", "%", "or", "and", "COND_IF"} | COMPARISONS:
        hint = "name its value, let x = …, assign it or return it"
        return s.error("E0134", "a value alone is not a statement", "", hint, at=s.before)
    if s.token.first or s.token.kind == "$END":
        hint = f"write let {name} = …, {name} = … or return {name}"
        return s.error("E0134", "a value alone is not a statement", "", hint, at=s.before)
    hint = f"to assign, write {name} = …; a statement begins with let, var, if, repeat, for or return"
    return s.error("E0120", f"no statement goes on with {s.found()} after a name", "", hint)
