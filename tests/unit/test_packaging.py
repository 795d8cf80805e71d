"""The wheel: everything is in it, and what is in it starts in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("grammar", "compiler", "backends", "runtime", "stdlib")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a release builds it: source archive first, so that both are complete."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_rooms(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"ttsc/{file.relative_to(ROOT).as_posix()}"
        for room in ROOMS
        for pattern in ("*.py", "*.lark", "*.tts", "*.cpp")
        for file in (ROOT / room).rglob(pattern)
    }
    assert not sorted(wanted - names)
    assert {"ttsc/py.typed", "ttsc/grammar/tts.lark", "ttsc/cli/app.py", "ttsc/stdlib/tools/answers.tts"} <= names
    assert "ttsc/explanations/syntax.toml" in names
    assert not [name for name in names if name.startswith(("tests/", "programs/", "compiler/", "grammar/"))]


def test_the_wheel_names_its_commands_and_plugins(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(name).decode()
    assert "ttsc = ttsc.cli:main" in text
    assert "[sglang.srt.platforms]" in text
    assert "[sglang.srt.plugins]" in text


def test_the_installed_wheel_checks_a_program(wheel: Path, tmp_path: Path) -> None:
    """Installed without the checkout in sight; its dependencies are those of this environment."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python3*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    # A plain path entry, not a site folder: the .pth file of an editable install in there is not followed.
    (site / "dependencies.pth").write_text(str(Path(pytest.__file__).parents[1]), encoding="utf-8")
    where = subprocess.run([python, "-P", "-c", "import ttsc; print(ttsc.__file__)"], capture_output=True, text=True)
    assert Path(where.stdout.strip()).is_relative_to(site), where.stdout + where.stderr
    program = tmp_path / "program.tts"
    program.write_text((ROOT / "programs" / "verify_and_refine.tts").read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run([python, "-P", "-m", "ttsc", "list", "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "std:answers" in done.stdout
    assert "verify_and_refine" in done.stdout
