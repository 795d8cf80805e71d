"""What a hostile program can't do: leave the folders it may use, reach the host, or take more than its share.

Whatever it says, the compiler answers with messages of its own or with a plan, within bounds of time and memory that
don't depend on how clever it is. Templates on their own: `test_templates.py`; code in a sandbox: `test_sandbox.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ttsc.compiler.semantics.check import check
from ttsc.compiler.values.evaluation import EvaluationFailed
from ttsc.compiler.values.pure import evaluate
from ttsc.driver import compile_source
from ttsc.errors import UsageError
from ttsc.grammar import ast
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary, open_source

SECRET = 'function secret() -> str = "hidden"\n'
USER = "use {} (secret)\nprogram p() -> str {{ return secret() }}\n"


def codes(text: str, library: FileLibrary | None = None, path: str = "hostile.tts") -> set[str]:
    """The codes of the errors in a program; the empty set if it compiles."""
    try:
        checked = check(Source(path, text), library or FileLibrary())
    except CompileError as error:
        return {diagnostic.code for diagnostic in error.diagnostics}
    for program in checked.programs:
        try:
            compile_source(Source(path, text), program.name)
        except CompileError as error:
            return {diagnostic.code for diagnostic in error.diagnostics}
    return set()


# --- files


@pytest.mark.parametrize(
    "path",
    [
        "..outside.secret",
        "...outside",
        ".secret",
        "std...outside",
        "lib/../../outside",
        '"../outside"',
        "/etc/passwd",
        "std:../outside",
        "C:.outside",
        "lib\\..\\outside",
        "lib.\u2024\u2024.outside",
        "lib.\uff0e\uff0e.outside",
        "lib.\u2215etc",
        "lib.\x00outside",
        "ｏutside",
    ],
)
def test_a_path_of_use_is_made_of_names(path: str) -> None:
    with pytest.raises(CompileError) as error:
        parse(Source("hostile.tts", USER.format(path)))
    assert all(diagnostic.code.startswith("E01") for diagnostic in error.value.diagnostics)


@pytest.mark.parametrize(
    "path",
    [
        ("..", "outside"),
        ("lib", "..", "..", "outside"),
        ("/", "outside"),
        ("lib/../../outside",),
        ("std", "../outside"),
    ],
)
def test_the_library_finds_names_only(path: tuple[str, ...], tmp_path: Path) -> None:
    """Even for a tree that no text has."""
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    (tmp_path / "outside.tts").write_text(SECRET, encoding="utf-8")
    user = Source(str(root / "p.tts"), "")
    assert FileLibrary(root).find(path, user) is None


@pytest.mark.parametrize("link", ["file", "folder", "chain"])
def test_links_do_not_lead_out(link: str, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.tts").write_text(SECRET, encoding="utf-8")
    if link == "file":
        (root / "lib").mkdir()
        (root / "lib" / "secret.tts").symlink_to(outside / "secret.tts")
    elif link == "folder":
        (root / "lib").symlink_to(outside, target_is_directory=True)
    else:
        (root / "there").symlink_to(tmp_path / "hop", target_is_directory=True)
        (tmp_path / "hop").symlink_to(outside, target_is_directory=True)
        (root / "lib").symlink_to(root / "there", target_is_directory=True)
    text = USER.format("lib.secret")
    assert codes(text, FileLibrary(root), str(root / "p.tts")) == {"E0205"}


def test_a_used_file_does_not_lead_further_than_its_folder(tmp_path: Path) -> None:
    """What a file may use is below its own folder, so that one from elsewhere can't read its user's files."""
    (tmp_path / "secret.tts").write_text(SECRET, encoding="utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "bad.tts").write_text("use secret (secret)\nfunction f() -> str = secret()\n", encoding="utf-8")
    text = "use lib.bad (f)\nprogram p() -> str { return f() }\n"
    assert "E0205" in codes(text, FileLibrary(tmp_path), str(tmp_path / "p.tts"))


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    """A pipe that nobody writes to would hang the compiler, a device would never end."""
    os.mkfifo(tmp_path / "pipe.tts")
    (tmp_path / "zero.tts").symlink_to("/dev/zero")
    library = FileLibrary(tmp_path)
    for name in ("pipe", "zero"):
        assert codes(USER.format(name), library, str(tmp_path / "p.tts")) == {"E0205"}


def test_a_text_knows_no_files() -> None:
    assert codes(USER.format("hostile")) == {"E0205"}
    assert codes(USER.format("std.pathlib")) == {"E0205"}
    with pytest.raises(UsageError):
        open_source("std:../../etc/passwd")


def test_uses_in_a_circle_and_in_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.tts").write_text("use b (g)\nfunction f() -> str = g()\n", encoding="utf-8")
    (tmp_path / "b.tts").write_text("use a (f)\nfunction g() -> str = f()\n", encoding="utf-8")
    text = "use a (f)\nprogram p() -> str { return f() }\n"
    assert codes(text, FileLibrary(tmp_path), str(tmp_path / "p.tts")) & {"E0206", "E0402"}
    for i in range(400):
        uses = f"use m{i + 1} (f{i + 1})\nfunction f{i}() -> str = f{i + 1}()\n"
        (tmp_path / f"m{i}.tts").write_text(uses, encoding="utf-8")
    text = "use m0 (f0)\nprogram p() -> str { return f0() }\n"
    assert "E0210" in codes(text, FileLibrary(tmp_path), str(tmp_path / "p.tts"))


def test_many_uses_of_one_file_read_it_once(tmp_path: Path) -> None:
    """A lattice of files, each using both of the next layer, has 2^20 paths and 40 files."""
    for i in range(20):
        for side in "ab":
            uses = "".join(f"use {other}{i + 1} (f{other}{i + 1})\n" for other in "ab") if i < 19 else ""
            body = f"length(fa{i + 1}())" if i < 19 else "1"
            text = f"{uses}function f{side}{i}() -> str = str({body})\n"
            (tmp_path / f"{side}{i}.tts").write_text(text, encoding="utf-8")
    reads: list[str] = []

    class Counting(FileLibrary):
        def find(self, path: tuple[str, ...], user: Source) -> Source | None:
            reads.append(".".join(path))
            return super().find(path, user)

    codes("use a0 (fa0)\nprogram p() -> str { return fa0() }\n", Counting(tmp_path), str(tmp_path / "p.tts"))
    assert 0 < len(reads) <= 80


# --- the host


@pytest.mark.parametrize(
    "expression",
    [
        'open("/etc/passwd")',
        'eval("1")',
        'exec("import os")',
        'import("os")',
        '__import__("os")',
        'getattr(q, "x")',
        'env("HOME")',
        'system("id")',
        "globals()",
        "q.__class__",
        "q.__class__.__mro__",
        'q.format("{0.__class__}")',
        "q.text.__globals__",
        "p.__code__",
        "length.__self__",
    ],
)
def test_no_name_reaches_the_host(expression: str) -> None:
    found = codes(f"program p(q: str) -> str {{ return {expression} }}\n")
    assert found and all(code[:3] in {"E02", "E03", "E04"} for code in found)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ q|attr('__class__') }}",
        "{{ q['__class__'] }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__ }}",
        "{{ namespace(a=1) }}",
        "{{ '{0.__class__}'.format(q) }}",
        "{{ q|format('x') }}",
        "{{ range(10**9) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ self.__init__ }}",
        "{{ q.upper() }}",
        "{% for a in q recursive %}{{ loop(a) }}{% endfor %}",
    ],
)
def test_templates_do_not_reach_the_host(template: str) -> None:
    program = "program p(q: str) -> str { return x(q) |> sample(1) |> one |> text }\n"
    text = f'prompt x(q: str) {{ user """{template}""" }}\n{program}'
    assert codes(text), "refused when it is compiled"


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{% for a in [1] * 10**8 %}x{% endfor %}",
        "{% set x = 'a' * 10**8 %}{{ x }}",
    ],
)
def test_templates_that_the_compiler_folds_are_bounded(template: str) -> None:
    """A template without parameters may be rendered while compiling: what is too much is left to fail at run time."""
    text = f'prompt x() {{ user """{template}""" }}\nprogram p() -> str {{ return x() |> sample(1) |> one |> text }}\n'
    assert codes(text) == set()


# --- shares


def functions(count: int, body: str) -> str:
    """f0 to f<count>, each made from the one before by `body`, and a program that calls the last."""
    lines = ["function f0(x: int) -> int = x + x"]
    lines += [f"function f{i}(x: int) -> int = {body.format(f=f'f{i - 1}')}" for i in range(1, count + 1)]
    return "\n".join([*lines, f"program p(x: int) -> int {{ return f{count}(x) }}", ""])


@pytest.mark.parametrize("body", ["{f}(x) + {f}(x + 1)", "{f}({f}(x))", "{f}(x) if {f}(1) > 0 else {f}(2)"])
def test_functions_do_not_multiply(body: str) -> None:
    """Forty functions of two calls each would be 2^40 copies of the first."""
    assert codes(functions(40, body)) == {"E0418"}
    assert codes(functions(5, body)) == set()


def test_functions_nest_no_deeper_than_the_stack() -> None:
    assert codes(functions(3000, "{f}(x) + 1")) == {"E0419"}
    assert codes(functions(40, "{f}(x) + 1")) == set()


def test_functions_declared_in_reverse_order_nest_no_deeper() -> None:
    lines = functions(3000, "{f}(x) + 1").splitlines()
    assert codes("\n".join(reversed(lines)) + "\n") == {"E0419"}


def test_a_long_circle_of_functions_is_refused() -> None:
    lines = [f"function f{i}(x: int) -> int = f{(i + 1) % 2000}(x)" for i in range(2000)]
    assert codes("\n".join(lines) + "\n") == {"E0419"}


def test_programs_do_not_multiply() -> None:
    lines = ["program p0(x: int) -> int { return x + x }"]
    lines += [
        f"program p{i}(x: int) -> int {{ let a = p{i - 1}(x) let b = p{i - 1}(x + 1) return a + b }}"
        for i in range(1, 31)
    ]
    assert codes("\n".join(lines) + "\n") == {"E0418"}


@pytest.mark.parametrize("depth", [95, 99])
def test_the_deepest_tree_compiles(depth: int) -> None:
    """Each stage recurses over what the parser lets pass."""
    for expression in (
        "(" * depth + "x" + ")" * depth,
        "-" * (depth - 3) + "x",
        " + ".join(["x"] * (depth - 3)),
        "length([" * (depth // 2 - 3) + "x" + "])" * (depth // 2 - 3),
        "x if x > 0 else " * (depth - 6) + "x",
    ):
        assert codes(f"program p(x: int) -> int {{ return {expression} }}\n") == set(), expression


@pytest.mark.parametrize(
    "expression",
    [
        "9223372036854775807 * 9223372036854775807",
        "9223372036854775807 + 1",
        "power(9223372036854775807, 9223372036854775807)",
    ],
)
def test_large_numbers_do_not_grow_while_compiling(expression: str) -> None:
    """Integers have 64 bits: what overflows is left to fail at run time."""
    assert codes(f"program p(x: float) -> float {{ return x * ({expression}) }}\n") == set()


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "([a-z]+)*!", "(.*)*x", "(a?){30}a{30}", "(?=(a+))*b", "\\\\1(a)"]
)
def test_patterns_that_never_end_are_bounded(pattern: str) -> None:
    """Folded while compiling, over a text that would keep a backtracking matcher busy for years."""
    text = f'program p() -> str? {{ return find_last("{"a" * 40}", "{pattern}", 0) }}\n'
    assert codes(text) == set()
    found: object = None
    try:
        found = evaluate("find_last", "", ("a" * 5_000, pattern.replace("\\\\", "\\"), 0))
    except EvaluationFailed as error:
        assert "pattern" in str(error)
    assert found is None or isinstance(found, str)


def test_loops_have_a_bound() -> None:
    assert codes("program p() -> int { var x = 0 repeat 1000000000 { x += 1 } return x }\n") == {"E0403"}
    assert codes("program p() -> int { var x = 0 while true { x = x + 1 } return x }\n") == {"E0115"}


def test_a_large_file_is_refused_unread() -> None:
    assert codes("# " + "x" * 1_000_001) == {"E0110"}


def test_the_tree_has_no_node_that_runs_code() -> None:
    """The whole vocabulary of expressions: there is none for an import, an assignment in an expression, or a host call
    but those of declared externs."""
    names = {kind.__name__ for kind in ast.Expr.__args__}  # type: ignore[attr-defined]
    assert names == set(
        "Literal Abstain Name ListExpr Attribute Index Call Pipe Lambda Unary Binary Conditional".split()
    )
