"""The driver: stages in a row, which program is meant, and where `use` may look."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttsc.driver import compile_file, compile_source, pass_names
from ttsc.errors import UsageError
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.dump import dump
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary, is_text, open_source

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted((ROOT / "programs").glob("*.tts"))
PROMPT = 'prompt solve(q: str) {\n    user "{{ q }}"\n}\n'
BODY = "(q: str) -> str {\n    return solve(q) |> sample(2, max_tokens=4) |> vote(by=text)\n}\n"


def source(*programs: str, path: str = "beta.tts") -> Source:
    return Source(path, PROMPT + "".join(f"program {name}{BODY}" for name in programs))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_example_compiles_at_every_level(path: Path, level: int) -> None:
    compiled = compile_file(path, level=level)  # type: ignore[arg-type]
    assert compiled.name == path.stem
    assert compiled.plan.requests
    assert compiled.built.name == compiled.plan.program.name
    assert (compiled.plan.passes == ()) == (level == 0)


def test_the_only_program_and_the_one_called_like_its_file_need_no_name() -> None:
    assert compile_source(source("alpha")).name == "alpha"
    assert compile_source(source("alpha", "beta")).name == "beta"
    assert compile_source(source("alpha", "beta"), "alpha").name == "alpha"


@pytest.mark.parametrize(
    ("text", "program", "said"),
    [
        (source("alpha", "gamma"), None, "has 2 programs: alpha, gamma"),
        (source("alpha", "gamma"), "alphas", "did you mean 'alpha'?"),
        (source(), None, "declares no program"),
    ],
)
def test_a_choice_that_cannot_be_made_says_what_there_is(text: Source, program: str | None, said: str) -> None:
    with pytest.raises(UsageError, match="E0508") as caught:
        compile_source(text, program)
    assert said in str(caught.value)


def test_passes_can_be_left_out_and_watched() -> None:
    seen: list[str] = []
    compiled = compile_source(source("alpha"), disabled=("merge_generations",), after=lambda name, _: seen.append(name))
    left_out = {"merge_generations", "speculate"}  # the second runs by request only
    assert tuple(seen) == compiled.plan.passes == tuple(name for name in pass_names() if name not in left_out)
    with pytest.raises(UsageError, match="there is no pass 'x'"):
        compile_source(source("alpha"), disabled=("x",))


# --- where `use` looks ----------------------------------------------------------------------------------------------


def using(path: str) -> str:
    return f"use {path} (solve)\nprogram main{BODY}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """secret.tts above; main.tts, lib/prompts.tts, lib/inner/deep.tts below; links out of the project and within it."""
    home = tmp_path / "home"
    (home / "lib" / "inner").mkdir(parents=True)
    (tmp_path / "secret.tts").write_text(PROMPT, encoding="utf-8")
    using = "use inner.deep (solve)\n" + PROMPT.replace("solve", "b")
    (home / "lib" / "prompts.tts").write_text(using, encoding="utf-8")
    (home / "lib" / "inner" / "deep.tts").write_text(PROMPT, encoding="utf-8")
    (home / "out.tts").symlink_to(tmp_path / "secret.tts")
    (home / "away").symlink_to(tmp_path)
    (home / "near.tts").symlink_to(home / "lib" / "inner" / "deep.tts")
    return home


@pytest.mark.parametrize("path", ["lib.inner.deep", "near"])
def test_a_file_below_the_program_is_found(project: Path, path: str) -> None:
    (project / "main.tts").write_text(using(path), encoding="utf-8")
    assert compile_file(project / "main.tts").name == "main"


@pytest.mark.parametrize("path", ["out", "away.secret", "lib.none", "secret"])
def test_a_file_elsewhere_is_not(project: Path, path: str) -> None:
    (project / "main.tts").write_text(using(path), encoding="utf-8")
    with pytest.raises(CompileError, match="E0205"):
        compile_file(project / "main.tts")


def test_paths_are_relative_to_the_file_that_uses_them(project: Path) -> None:
    library = FileLibrary(project)
    prompts = library.find(("lib", "prompts"), Source(str(project / "main.tts"), ""))
    assert prompts is not None
    assert library.find(("inner", "deep"), prompts) is not None
    assert library.find(("prompts",), prompts) is not None
    assert library.find(("lib", "prompts"), prompts) is None


@pytest.mark.parametrize(
    "path", [("..", "secret"), ("/etc/passwd",), ("",), (), ("lib", "..", "..", "secret"), ("std",)]
)
def test_a_path_is_made_of_names(project: Path, path: tuple[str, ...]) -> None:
    assert FileLibrary(project).find(path, Source(str(project / "main.tts"), "")) is None


def test_a_text_and_the_library_see_only_the_library(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.chdir(project)
    assert FileLibrary().find(("near",), Source("<string>", "")) is None
    assert FileLibrary(project).find(("near",), Source("std:answers", "")) is None
    assert FileLibrary().find(("std", "answers"), Source("<string>", "")) is not None
    assert FileLibrary().find(("std", "answers", "x"), Source("<string>", "")) is None
    assert "std.answers" in FileLibrary().names()


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "program.tts").write_bytes(b"\xff\xfe")
    for name, said in (("program.tts", "not UTF-8"), ("programm.tts", "did you mean"), (".", "is a folder")):
        with pytest.raises(UsageError, match="E0509") as caught:
            open_source(tmp_path / name)
        assert said in str(caught.value)
    with pytest.raises(UsageError, match="did you mean 'answers'"):
        open_source("std:answer")
    assert open_source("std:answers")[0].path == "std:answers"


def test_a_text_is_told_from_a_file_name() -> None:
    assert is_text("program x() -> str { return 1 }")
    assert not is_text("programs/x.tts")


def test_the_tree_is_dumped_line_by_line() -> None:
    text = dump(parse(Source("a.tts", 'model judge = "m"\n')))
    assert text == "Module\n  declarations: Model default='m'\n    name: Name id='judge'\n"
    assert "@1:1" in dump(parse(Source("a.tts", "model judge\n")), spans=True)
