"""The coverage-guided part of the fuzzer: `python -m tests.fuzz.guided [options of libFuzzer] [corpus folders]`.

It needs Atheris, which is not among the dependencies; whoever runs it installs it beside them. Inputs are bytes, read
as UTF-8; libFuzzer keeps those that reach code that nothing before them reached, and starts from the programs of the
repository. A run ends at the first input that raises what it may not, takes far too long, or needs more than 500 MB.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["ttsc"]):
    from fuzz_target import attempt

from fuzz_inputs import seeds  # noqa: E402

STAGES = frozenset({"parse", "format", "check"})
LIMITS = ("-timeout=30", "-rss_limit_mb=500", "-max_len=2000")


def one(data: bytes) -> None:
    attempt(data.decode("utf-8", errors="surrogateescape"), STAGES)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(seeds()):
            (Path(folder) / f"{number}.tts").write_bytes(text.encode("utf-8", errors="surrogateescape"))
        atheris.Setup([sys.argv[0], *LIMITS, *sys.argv[1:], folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
