"""`ttsc build`: standalone files are readable, run without ttsc, and give what `ttsc run` gives."""

from __future__ import annotations

import ast
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standalone_files import run_file

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine, conforming
from ttsc.cli import run
from ttsc.compiler.values.types import ListOf, OptionalOf, RecordType, Type
from ttsc.standalone.file import SUPPORT, standalone

PROGRAMS = Path(__file__).parents[2] / "programs"
FILES = sorted(PROGRAMS.glob("*.tts"))
MOST_LINES = 4000
"""Of the longest file; that of self-consistency has 2,600, of which 130 are the program's own."""

WITHOUT_TTSC = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ttsc":
            raise ImportError("ttsc is refused here")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    r = random.Random(prompt if sampling.temperature == 0 else f"{seed}{prompt}")
    steps = "".join(f"step {r.randint(0, 9)}\n\n" * r.randint(1, 2) for _ in range(r.randint(1, 3)))
    return steps + r.choice(["7", "\\boxed{3}", f"Answer: {r.randint(1, 3)}", "Yes"])


def value_of(kind: Type) -> Any:
    match kind:
        case OptionalOf():
            return None
        case ListOf(item):
            return [value_of(item)] * 2
        case RecordType(fields=fields):
            return {name: value_of(part) for name, part in fields}
    return {"str": "How many?", "int": 2, "float": 0.5, "bool": True}[str(kind)]


def run_python(code: str, tests: list[str], timeout_s: float) -> dict[str, Any]:
    return {"passed": len(code) % 2 == 0, "output": "AssertionError"}


def compiled_text(path: Path, level: ttsc.Level = 2) -> str:
    program = ttsc.compile(path, level=level)
    return standalone(program.plan, path.name, program.source_hash)


@pytest.mark.parametrize(
    ("path", "level"),
    [*((path, 2) for path in FILES), *((path, 0) for path in FILES[:3])],
    ids=lambda each: getattr(each, "stem", str(each)),
)
def test_a_file_gives_what_the_program_gives(path: Path, level: ttsc.Level, tmp_path: Path) -> None:
    program = ttsc.compile(path, level=level)
    values = {each.name: value_of(each.value.type) for each in program.parameters if each.required}
    engine = lambda: ScriptedEngine(conforming(reply, broken=0.2), jitter=0.3, jitter_seed=5)  # noqa: E731
    settings: dict[str, Any] = {}
    stores: dict[str, ttsc.Store] = {}
    for slot in program.ir.stores:
        path_of = tmp_path / f"{slot.name}.jsonl"
        path_of.write_text('"The Aller flows into the Weser."\n', encoding="utf-8")
        settings.setdefault("stores", {})[slot.name] = str(path_of)
        stores[slot.name] = ttsc.Store.memory(["The Aller flows into the Weser."])
    if program.ir.externs:
        settings["externs"] = {"run_python": run_python}
    with tempfile.TemporaryDirectory() as kept:
        try:
            expected = program.run(
                values,
                engine=engine(),
                seed=11,
                externs={"run_python": run_python} if program.ir.externs else None,
                stores=stores,
                artifacts=kept,
            ).value
        except ttsc.RunError as error:
            expected = error.failure.code
    assert run_file(program.plan, values, engine, seed=11, **settings) == expected
    for name, store in stores.items():
        assert len(Path(settings["stores"][name]).read_text().splitlines()) == len(store.items)


@pytest.mark.parametrize("name", ["self_consistency", "judged_steps"])
def test_the_program_part_is_readable(name: str, golden: Callable[[str, str], None]) -> None:
    text = compiled_text(PROGRAMS / f"{name}.tts")
    head, _, _ = text.partition(SUPPORT)
    lines = [line for line in head.splitlines() if not line.startswith(("import ", "from ", "(SHA-256"))]
    golden(f"build/{name}.txt", re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines) + "\n"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_names_all_that_it_uses(path: Path) -> None:
    text = compiled_text(path)
    assert text.count("\n") <= MOST_LINES
    assert not [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom | ast.Import) and "ttsc" in ast.unparse(node)
    ]
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--ignore-noqa", "--select", "F82,E9", "-"]
    done = subprocess.run(ruff, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_file_runs_without_ttsc(tmp_path: Path) -> None:
    file = tmp_path / "vote.py"
    assert run(["build", str(PROGRAMS / "self_consistency.tts"), "-o", str(file)]) == 0
    missing = without_ttsc(file, "--url", "http://127.0.0.1:9")
    assert missing.returncode == 2 and "missing parameter 'question'" in missing.stderr
    outside = without_ttsc(file, "--url", "http://127.0.0.1:9", "--set", "question=x", "--set", "n=0")
    assert outside.returncode == 2 and "parameter 'n' is 0" in outside.stderr
    nobody = without_ttsc(file, "--url", "http://127.0.0.1:9", "--set", "question=x")
    assert nobody.returncode == 5 and "error[R0401]: no engine answers" in nobody.stderr
    assert "Traceback" not in missing.stderr + outside.stderr + nobody.stderr


def without_ttsc(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = file.with_name("refuse.py")
    script.write_text(WITHOUT_TTSC, encoding="utf-8")
    return subprocess.run([sys.executable, str(script), str(file), *arguments], capture_output=True, text=True)


def test_losers_are_aborted() -> None:
    engines: list[ScriptedEngine] = []

    def engine() -> ScriptedEngine:
        engines.append(ScriptedEngine(reply))
        return engines[-1]

    program = ttsc.compile(PROGRAMS / "first_finish.tts")
    values = {"question": "How many?"}
    assert run_file(program.plan, values, engine, seed=1) == program.run(values, engine=engine(), seed=1).value
    stopped = [record for record in engines[0].records if record.completion is None]
    assert len(stopped) == len(engines[0].abort_calls) > 0


def test_a_budget_is_kept() -> None:
    engines: list[ScriptedEngine] = []

    def engine() -> ScriptedEngine:
        engines.append(ScriptedEngine(reply))
        return engines[-1]

    source = """
prompt ask_it(q: str) { user "{{ q }}" }

program p(q: str) -> int budget calls <= 3 { return ask_it(q) |> sample(8) |> text |> length }
"""
    program = ttsc.compile(source)
    assert run_file(program.plan, {"q": "x"}, engine) == program.run(q="x", engine=engine()).value
    assert len(engines[0].records) == 3


def test_values_that_are_compiled_in_are_no_parameters(output: Callable[[], tuple[str, str]]) -> None:
    assert run(["build", str(PROGRAMS / "self_consistency.tts"), "--set", "n=4"]) == 0
    text, _ = output()
    assert "question: str, *, url: Urls" in text
    assert 'job.generate("sample1", turn12, 4,' in text


def test_a_file_that_cannot_be_written_is_an_error(output: Callable[[], tuple[str, str]], tmp_path: Path) -> None:
    out = tmp_path / "no" / "vote.py"
    assert run(["build", str(PROGRAMS / "self_consistency.tts"), "-o", str(out)]) == 2
    assert f"error[E0510]: --out: can't write '{out}'" in output()[1]


def test_pictures_are_read_from_their_files(tmp_path: Path) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(32))
    engines: list[ScriptedEngine] = []

    def engine() -> ScriptedEngine:
        engines.append(ScriptedEngine(reply))
        return engines[-1]

    source = """
prompt look_at(picture: Image, title: str) { user "{{ title }}: {{ picture }}" }

program look(picture: Image, title: str) -> str {
    return look_at(picture, title) |> sample(1, max_tokens=9) |> one |> text
}
"""
    program = ttsc.compile(source)
    values = {"picture": str(picture), "title": "A dot"}
    assert run_file(program.plan, values, engine) == program.run(values, engine=engine()).value
    asked = [made.records[0].request for made in engines]
    assert asked[0].input_ids == asked[1].input_ids
    assert [image.data for image in asked[0].images] == [picture.read_bytes()]


def test_a_vote_that_is_sure_enough_starts_no_further_candidate() -> None:
    engines: list[ScriptedEngine] = []

    def engine() -> ScriptedEngine:
        engines.append(ScriptedEngine(lambda prompt, seed, sampling: "7"))
        return engines[-1]

    source = """
prompt ask_it(question: str) { user "{{ question }}" }

program sure(question: str, n: int = 16 in 1..64) -> str {
    return ask_it(question) |> sample(n, max_tokens=9) |> text |> vote(stop=adaptive)
}
"""
    program = ttsc.compile(source)
    assert run_file(program.plan, {"question": "x"}, engine) == program.run(question="x", engine=engine()).value == "7"
    assert len(engines[0].records) == len(engines[1].records) < 16
