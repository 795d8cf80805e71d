"""A malformed example for every syntax error: what each code means, shown rather than told.

Tests parse each example and compare the whole rendered message with `tests/golden/errors/`, and fail for a code without
an example. What the codes stand for is told in `src/ttsc/explanations/`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """`text` has errors of this code and of no other."""

    code: str
    title: str
    text: str


def _body(*lines: str) -> str:
    return "\n".join(("program p(q: str, n: int = 4) -> str {", *(f"    {line}" for line in lines), "}", ""))


EXAMPLES = (
    Example("E0101", "unexpected character", _body("return q $ 2")),
    Example("E0102", "string never closed", _body('let x = f("abc)', "return x")),
    Example("E0103", "text never closed", 'prompt p(q: str) {\n    user """{{ q }}\n}\n'),
    Example("E0104", "unknown escape", 'prompt p(q: str) {\n    user "{{ q }} in \\boxed{}"\n}\n'),
    Example("E0105", "malformed number", _body("return f(20K, 0x10)")),
    Example("E0106", "number too large", _body("return f(99999999999999999999, 1e999)")),
    Example("E0107", "operator of another language", _body("if a && !b || c { return q; }", "return q")),
    Example("E0108", "single quotes", _body("return 'yes'")),
    Example("E0109", "string prefix", _body('return f"{q}!"')),
    Example("E0110", "source too large", "# " + "x" * 1_000_000),
    Example("E0111", "nested too deep", _body("return " + " + ".join(["q"] * 120))),
    Example("E0112", "value of another language", _body("return None if q == True else q")),
    Example("E0113", "word of another language", "def f(x):\n    return x\n\n" + _body("print(q)", "return a ? b : c")),
    Example("E0114", "misspelt word", "progam f(q: str) -> str {\n}\n\n" + _body("retrun q")),
    Example("E0115", "unbounded loop", _body("while n { n = f(n) }", "return [f(x) for x in q]")),
    Example("E0116", "missing type", "prompt p(q, n: int) {\n    user q\n}\n".replace("user q", 'user "{{ q }}"')),
    Example("E0117", "missing `=`", _body("let x 3", "return x")),
    Example("E0118", "reserved word as a name", "record R { in: int }\n" + _body("let until = 3", "return q")),
    Example("E0119", "missing type of the result", "program p(q: str) {\n    return q\n}\n"),
    Example("E0120", "unexpected token", _body("n 3", "* 2", "return q")),
    Example("E0121", "bracket never closed", _body("let x = f(q", "return x") + "program r() -> str {\n    return q\n"),
    Example("E0122", "closes nothing", _body("return q", "}")),
    Example("E0123", "closes another bracket", _body("return f([q)")),
    Example("E0124", "`=` for a comparison", _body('if q = "a" { return q }', "return q")),
    Example("E0125", "wrong arrow", "extern f(x: str): str\n" + _body("return keep(xs, by=x -> x.score)")),
    Example("E0126", "chained comparison", _body("return 0 < n < 10")),
    Example("E0127", "not in", _body("return n not in [1, 2]")),
    Example("E0128", "`else` or `until` alone", _body("else { return q }", "until q")),
    Example("E0129", "conditional without `else`", _body("return f(1 if q)")),
    Example("E0130", "statement outside of a program", _body("if q {", "}", "}", "return q")),
    Example("E0131", "docstring of nothing", 'record R { a: int }\n"""The judge."""\nmodel judge\n'),
    Example("E0132", "block without braces", _body("if q:", "    return q")),
    Example("E0133", "declaration inside of another", _body("function f(x: str) -> str = x", "return f(q)")),
    Example("E0134", "value as a statement", _body("vote(q)", "3 + 4", "return q")),
    Example("E0135", "assignment that declares or updates", _body("x: int = 3", "n -= 1", "n++", "return q")),
    Example("E0136", "argument without a name after a named one", _body("return sample(n=3, q)")),
    Example("E0137", "pipe to something else", _body('return q |> "boxed"')),
    Example("E0138", "unknown role", 'prompt p(q: str) {\n    sytem "Be brief."\n    "{{ q }}"\n}\n'),
    Example(
        "E0139", "type in brackets", "extern f(x: dict[str], y: [str]) -> list<str>\nextern g(x: str | none) -> str\n"
    ),
    Example("E0140", "use without names", "use std.answers\nuse std.search (beam) for 3\nuse std.search (dvts)\n"),
    Example("E0141", "malformed range", "program p(n: int = 4 in 1-8, m: int = 2) -> str {\n    return n\n}\n"),
    Example("E0142", "missing expression", _body("let x =", "return f(q, )", "return")),
    Example("E0143", "missing comma", _body("return f(q n=3)")),
    Example("E0144", "braces as a value", _body('return f({"a": 1})')),
    Example("E0145", "tuple", _body("return (q, n)")),
    Example("E0146", "named argument with a colon", _body("return solve(question: q)")),
    Example("E0147", "loop over more than pairs", _body("for a, b, c in q {", "}", "return q")),
    Example(
        "E0148",
        "malformed budget",
        "program p(q: str) -> str budget tokens < 20k, latency <= 30 s {\n    return q\n}\n"
        "program r(q: str) -> str budget: cost <= $0.05 {\n    return q\n}\n",
    ),
    Example("E0149", "amount outside of a budget", _body("let x = 30s", "return f(q, cost=$0.05)")),
    Example(
        "E0150",
        "malformed loop",
        _body("for (a, b) in q {", "}", "for i in 1..8 {", "}", "for i = 0 {", "}", "return q"),
    ),
    Example("E0151", "`offline` without `let`", _body("offline x = f(q)", "return offline f(q)")),
    Example("E0152", "test without title", "test {\n    expect true\n}\n"),
    Example(
        "E0153",
        "malformed item of a test",
        'test "two" {\n    policy => ["2"]\n    model policy: ["2"]\n    extern f(x: str) = 3\n    store xs []\n'
        "    assert 1 == 1\n    if true { }\n}\n",
    ),
    Example("E0154", "malformed limit of a list", "record R { a: list[str, n] }\nextern f(x: list[str, 2.5]) -> str\n"),
    Example("E0155", "method that changes a list", _body("xs.append(q)", "return xs")),
    Example("E0156", "declaration without a name", "program (q: str) -> str {\n    return q\n}\nrecord { a: int }\n"),
    Example("E0157", "declaration without parameters", "program p -> str {\n    return q\n}\nextern f: str\n"),
    Example("E0158", "malformed model", 'model a = b, c\nmodel d "e"\nmodel 3\n'),
    Example("E0159", "malformed parameter", "program p(q: str, 3, n: int = 1 < 2) -> str {\n    return q\n}\n"),
    Example("E0160", "malformed record", "record R(a: int)\nrecord Q { a: int = 3, [b] }\n"),
    Example("E0161", "malformed prompt", 'prompt p(q: str) -> str {\n    system: "Be brief."\n    user q\n}\n'),
    Example("E0162", "not a type", "extern f(x: 3, y: int[], z: str??) -> none\n"),
    Example("E0163", "not a declaration", "model: judge\n= 3\n"),
    Example("E0164", "binding of several names", _body("let a, b = q", "let mut c = 3", "let (d, e) = q", "return q")),
    Example("E0165", "missing name of a field", _body("return f(q.0, q.)")),
    Example("E0166", "malformed lambda", _body("return map(q, (a,,b) => a)")),
    Example("E0167", "slice", _body("return f(q[1:2], q[:3])")),
    Example("E0170", "unexpected name", _body("let x = q y", "return x z")),
    Example(
        "E0171",
        "comment of another language",
        _body("// the first", "let x = q // it", "/* the", "second */", "return x"),
    ),
    Example("E0172", "decorator", "@cache\n" + _body("return q")),
    Example("E0173", "backslash at the end of a line", _body("let x = q + \\", "    q", "return x")),
    Example("E0174", "what can't follow an expression", _body("let x = (q += 1)", "return q : str")),
)
