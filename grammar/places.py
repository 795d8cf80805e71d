"""What to say about a declaration, a budget, a test or the head of a loop that is not as it should be.

Each function is a rule of `messages.py`. It tells its place by the words that are open there, and by what the parser
could have taken; a hint shows the whole construct as it is written.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.numbers import TIME_UNITS
from ttsc.grammar.scene import Scene
from ttsc.grammar.tokens import DECLARATION_WORDS

FORMS = {
    "use": "use std.answers (boxed, number)",
    "model": 'model policy, judge = "name"',
    "prompt": 'prompt solve(question: str) { user "{{ question }}" }',
    "record": "record Step { text: str, grade: int }",
    "extern": "extern check(code: str) -> bool",
    "environment": "environment extern act(command: str) -> str",
    "oracle": "oracle extern correct(answer: str) -> bool",
    "function": "function short(text: str) -> bool = length(text) < 100",
    "program": "program solve(question: str, n: int = 4) -> str { … }",
    "store": "store lessons: str",
    "test": 'test "what must hold" { … }',
    "budget": "budget tokens <= 20k, latency <= 30s, cost <= $0.05",
}
"""A declaration of each kind, to show."""

_ITEMS = "an item is model … => …, extern f(x) = …, store s = …, let … or expect …"


def article(word: str) -> str:
    """The word of a declaration, with "a" or "an"."""
    return f"{'an' if word[0] in 'aeo' else 'a'} '{word}'"


def use(s: Scene) -> Diagnostic | None:
    if s.doing != "use":
        return None
    if s.token.kind == "/" and s.before.kind == "NAME":
        return s.error("E0140", "parts of a module's name are divided by '.', not '/'", "", f"write {FORMS['use']}")
    if s.before.kind == "for":
        hint = "write use std.beam_search (beam_search) for lib.task"
        if s.token.kind in {"STRING", "MODULE_DOC"}:
            hint = f"a file is named without quotes and '.tts': {hint.removeprefix('write ')}"
        return s.gap("E0140", f"after 'for' stands the file of a task, found {s.found()}", "expected a name", hint)
    if s.wants_declaration:
        return None
    hint = f"write {FORMS['use']}"
    if s.expected == {"NAME"} and s.before.kind != "(":
        if s.token.kind in {"STRING", "MODULE_DOC"}:
            hint = f"a file beside this one is named without quotes and '.tts': {FORMS['use']}"
        return s.gap("E0140", f"a 'use' names a module, found {s.found()}", "expected a name", hint)
    if s.expected == {".", "("}:
        return s.gap("E0140", "a 'use' lists the names that it brings in", "expected '(' and names", hint)
    if s.token.kind == "NAME" and s.token.text == "as" and s.before.kind == "NAME":
        return s.error("E0140", "names keep their names", "", f"remove 'as': {FORMS['use']}")
    if s.token.kind == "NAME":
        return None  # a missing comma
    return s.error("E0140", f"a 'use' lists names, found {s.found()}", "", hint)


def model(s: Scene) -> Diagnostic | None:
    """Roles, outside of tests."""
    if s.doing != "model" or s.within_test:
        return None
    hint = f"write {FORMS['model']}"
    if s.expected == {"NAME"}:
        return s.gap("E0158", f"a 'model' names roles, found {s.found()}", "expected a name", hint)
    if s.expected == {"STRING"}:
        return s.gap("E0158", f"the default of a role is a string, found {s.found()}", "", hint)
    if s.token.kind in {"STRING", ":", "=>", "->", "(", "{"} or s.token.kind.startswith(("INT", "FLOAT")):
        return s.gap("E0158", f"a role has a name and perhaps a default, found {s.found()}", "", hint)
    return None


def name(s: Scene) -> Diagnostic | None:
    if s.expected == {"NAME"} and s.before.kind in DECLARATION_WORDS and not s.within_test:
        word = s.before.kind
        return s.gap(
            "E0156", f"{article(word)} has a name, found {s.found()}", "expected a name", f"write {FORMS[word]}"
        )
    if s.expected == {"extern"}:
        word = s.before.kind
        return s.gap("E0156", f"'{word}' stands before 'extern'", "expected 'extern'", f"write {FORMS[word]}")
    return None


def head(s: Scene) -> Diagnostic | None:
    """What comes after the name of a declaration."""
    form = f"write {FORMS.get(s.doing, '')}"
    if s.expected == {"("} and s.doing in FORMS and not s.within_test:
        return s.gap("E0157", f"the parameters of {article(s.doing)} stand in parentheses", "expected '('", form)
    if s.expected != {"{"}:
        return None
    if s.doing == "record":
        return s.gap("E0160", "the fields of a record stand in braces", "expected '{'", form)
    if s.doing == "prompt" and s.token.kind == "->":
        return s.error("E0161", "a prompt has no type of result: it gives a Context", "", form)
    if s.doing == "prompt":
        return s.gap("E0161", "the turns of a prompt stand in braces", "expected '{'", form)
    if s.doing == "test":
        return s.gap("E0152", "what is in a test stands in braces", "expected '{'", form)
    return None


def parameter(s: Scene) -> Diagnostic | None:
    if s.doing not in {"prompt", "extern", "function", "program", "oracle"} or s.within_test:
        return None
    if s.expected in ({"NAME", ")", "oracle"}, {"NAME", "oracle"}, {"NAME", ")"}):
        hint = "write its name and type: question: str"
        return s.error("E0159", f"a parameter begins with its name, found {s.found()}", "", hint)
    if {")", ","} <= s.expected and not s.expression_complete and s.opener and s.opener.kind == "(":
        if s.token.kind == "->":
            return s.gap("E0121", "missing ')' before '->'", "expected ')'")
        hint = ""
        if s.token.kind in {"==", "!=", "<", "<=", ">", ">=", "and", "or", "COND_IF", "|>", "=>"}:
            hint = "a default that is more than a sum stands in parentheses"
        return s.error("E0159", f"after a parameter comes {s.wanted()}, found {s.found()}", "", hint)
    return None


def entry(s: Scene) -> Diagnostic | None:
    """Fields of a record and turns of a prompt."""
    if s.doing == "record" and s.opener and s.opener.kind == "{" and "NAME" in s.expected and "}" in s.expected:
        hint = "write its name and type: text: str"
        if s.token.kind == "=":
            hint = "fields have no default; one that may be left out has a type with '?': note: str?"
        return s.error("E0160", f"a field is a name and its type, found {s.found()}", "", hint)
    if s.doing == "prompt" and s.expected == {"NAME", "}"}:
        message = f"a turn begins with its role, found {s.found()}"
        return s.error("E0138", message, "", 'write system "…", user "…" or assistant "…"')
    if s.doing == "prompt" and s.expected == {"STRING"}:
        hint = f'write {s.before.text} "…"'
        if s.token.kind == ":":
            hint = "remove the ':'"
        elif s.token.kind == "NAME":
            hint = f'a template takes values: {s.before.text} "{{{{ {s.token.text} }}}}"'
        return s.gap("E0161", f"the text of a turn is a string, found {s.found()}", "", hint)
    return None


def budget(s: Scene) -> Diagnostic | None:
    form = f"write {FORMS['budget']}"
    if s.token.text == "budget" and s.token.kind == "NAME" and "budget" in s.expected:
        return s.error("E0148", "a budget is a list of limits", "", form)
    if (
        s.before.text == "budget"
        and s.before.kind == "NAME"
        and s.expected == {"=", "+="}
        and s.token.kind in {"NAME", "{", ":"}
    ):
        return s.error("E0148", "a budget stands before the '{' of its program", "", form, at=s.before)
    if s.doing != "budget":
        return None
    if s.expected == {"NAME"}:
        return s.gap("E0148", f"a limit begins with what it limits, found {s.found()}", "", form)
    if s.expected == {"<="}:
        label = "write '<='" if s.token.kind in {"<", "=", ":", "==", ">", ">=", "=>"} else "expected '<='"
        return s.gap("E0148", f"a limit is written with '<=', found {s.found()}", label, form)
    if "QUANTITY" in s.expected:
        hint = f"it is known when the program is compiled: {FORMS['budget']}"
        return s.gap("E0148", f"a limit is a number, found {s.found()}", "", hint)
    if s.expected == {",", "{"}:
        hint = ""
        if s.token.text in TIME_UNITS | {"k", "M"}:
            hint = f"write {s.before.text}{s.token.text}"
        elif s.token.kind == "NAME":
            hint = f"units are 'ms', 's', 'min', 'h' and '$'; limits have ',' between: {FORMS['budget']}"
        elif s.token.kind == "and":
            hint = "limits have ',' between"
        return s.gap("E0148", f"after a limit comes ',' or the program's '{{', found {s.found()}", "", hint)
    return None


def quantity(s: Scene) -> Diagnostic | None:
    if s.token.kind == "QUANTITY":
        amount = s.token.text.strip("$msinh")
        hint = f"numbers have no unit here: {amount}"
        return s.error("E0149", f"'{s.token.text}' is an amount for a budget", "", hint)
    return None


def loop(s: Scene) -> Diagnostic | None:
    """The head of a `for`."""
    if s.token.kind == ".." and s.expression_complete:
        if s.doing == "for":
            hint = "write range(8) for 0 to 7, or repeat 8 { … }"
            return s.error("E0150", "a loop goes over a list, not over a range", "", hint)
        return s.error("E0141", "a range stands in a declaration only", "", "the list from 0 to 7 is range(8)")
    if s.doing != "for" or not ({"in", "NAME"} & s.expected) or "and" in s.expected or s.wants_expression:
        return None
    if s.expected == {"NAME"} and s.token.kind in {"(", "[", "LAMBDA"}:
        return s.error("E0150", "the names of a loop stand without brackets", "", "write for a, b in pairs { … }")
    if s.expected <= {"NAME", "in"}:
        return s.error("E0150", f"a loop names its elements, found {s.found()}", "", "write for x in xs { … }")
    if s.expected == {",", "in"}:
        if s.token.kind in {"=", ":="}:
            hint = "a loop goes over a list: for i in range(8) { … }"
            return s.error("E0150", "a loop does not count", "expected 'in'", hint)
        hint = f"write for {s.before.text} in xs {{ … }}"
        return s.error("E0150", f"after the names of a loop comes 'in', found {s.found()}", "expected 'in'", hint)
    return None


def test_item(s: Scene) -> Diagnostic | None:
    if s.before.kind == "test" and s.expected == {"STRING"}:
        return s.gap("E0152", f"a test has a title, found {s.found()}", "expected a string", f"write {FORMS['test']}")
    if not s.within_test:
        return None
    if s.wants_test_item and (s.token.first or not s.expression_ends):
        hint = _ITEMS
        if s.token.kind == "NAME" and s.token.text in {"assert", "check", "require", "should", "verify"}:
            hint = "write expect condition"
        elif s.after.kind == "=>":
            hint = f"write model {s.token.text} => …"
        elif s.token.kind == "NAME" and s.after.kind == "=":
            hint = f"write let {s.token.text} = …"
        elif s.token.kind in {"if", "for", "repeat", "return", "var"}:
            hint = f"a test has no '{s.token.kind}': it calls programs, let x = p(…), and says what it expects"
        return s.error("E0153", f"nothing in a test begins with {s.found()}", "", hint)
    if s.doing == "model" and ("=>" in s.expected or s.expected == {"NAME"}):
        hint = 'write model policy "pattern" => ["reply"], or model policy => ["reply"] for all prompts'
        return s.error("E0153", f"the replies of a role come after '=>', found {s.found()}", "", hint)
    if s.doing == "extern" and not s.wants_expression and not s.expression_complete:
        if s.token.kind == ":":
            return s.error("E0153", "parameters have no types here", "", "write extern f(x) = …")
        message = f"the stand-in of an extern is written extern f(x) = …, found {s.found()}"
        return s.error("E0153", message, f"expected {s.wanted()}")
    if s.doing == "store" and not s.wants_expression and not s.expression_complete:
        message = f"what a store holds is written store s = […], found {s.found()}"
        return s.error("E0153", message, f"expected {s.wanted()}")
    return None
