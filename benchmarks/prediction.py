"""How well a profile predicts: every program for real and simulated, wall time and tokens side by side.

    python benchmarks/prediction.py --model smollm2-135m
    python benchmarks/prediction.py --model policy --only self_consistency,best_of_n
    python benchmarks/prediction.py --engine URL --profile profile.toml --repeats 5

An engine is started for the model (`policy` is that of benchmarks/testbed) and profiled, unless given. Each program of
`programs/` then runs at three settings: some times for real, on an empty prefix cache each time, and once on the
simulated engine with the fitted profile, which says what the real run recorded. What host functions took is played
back. Real seconds are medians; the spread is (slowest - fastest) / median, without which an error says nothing:
nothing else should run on the machine. A line for each run as it ends, a summary, and with `--write`
benchmarks/PREDICTION.md. `policy` is served with a context of 8,192 tokens, which prompts of single characters need: it
writes nothing sensible there, in the same time.

Programs with a reward model's role are left out: a profile is of one engine that generates. A setting that the model's
context does not hold is left out, too, and said.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import datetime
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prediction_settings import INPUTS, SETTINGS, STORES, TYPED, Setting

import ttsc
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.compiler.cost.profile import Profile, read_profile
from ttsc.profiling.profiling import profile_engine, report, save_profile
from ttsc.recordings import outcomes_of_events
from ttsc.runtime.sandbox import run_python as run_confined
from ttsc.runtime.virtual_time import run_in_virtual_time

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "programs"
REPORT = ROOT / "benchmarks" / "PREDICTION.md"
TESTBED = ROOT / "benchmarks" / "testbed" / "models"
SEED = 3
_FLUSHES = 50
WARM_UP = "self_consistency"
STEADY = 0.05
"""Spread of two runs that makes a third one needless."""


@dataclass(frozen=True)
class Compared:
    """One program at one setting. Errors are relative to the real run, signed: above 0 predicts too much."""

    program: str
    setting: str
    real_s: float
    spread: float
    simulated_s: float
    requests: tuple[int, int]
    tokens: tuple[int, int]
    cached: tuple[int, int]
    extern_s: float

    @property
    def time_error(self) -> float:
        return self.simulated_s / self.real_s - 1

    @property
    def token_error(self) -> float:
        """Of prompt tokens computed and tokens decoded."""
        return self.tokens[1] / self.tokens[0] - 1 if self.tokens[0] else 0.0


@dataclass
class HostFunctions:
    """`run_python` for real, timed; and played back from what it took and gave, on whatever clock the loop has."""

    known: dict[str, tuple[Any, float]] = dataclasses.field(default_factory=dict)

    def real(self) -> dict[str, Callable[..., object]]:
        def run_python(code: str, tests: list[str], timeout_s: float = 5.0) -> Any:
            began = time.perf_counter()
            found = run_confined(code, tests, timeout_s)
            self.known[_call(code, tests)] = found, time.perf_counter() - began
            return found

        return {"run_python": run_python}

    def played_back(self) -> dict[str, Callable[..., object]]:
        async def run_python(code: str, tests: list[str], timeout_s: float = 5.0) -> Any:
            found, seconds = self.known[_call(code, tests)]
            await asyncio.sleep(seconds)
            return found

        return {"run_python": run_python}


def _call(code: str, tests: Sequence[str]) -> str:
    return json.dumps([code, list(tests)])


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="what to start (%(default)s)")
    parser.add_argument("--engine", metavar="URL", help="a running engine that nothing else uses")
    parser.add_argument("--profile", type=Path, help="a profile of it; else it is measured now")
    parser.add_argument("--save-profile", type=Path, metavar="FILE", help="keep what was measured")
    parser.add_argument("--only", help="programs, separated by commas")
    parser.add_argument("--repeats", type=int, default=3, help="real runs of each setting, at most (%(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.relative_to(ROOT)}")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else sorted(SETTINGS)
    began = time.monotonic()
    compared: list[Compared] = []
    left_out: list[str] = []
    with engine_for(options.engine, options.model) as url, asyncio.Runner() as runner:
        if options.profile:
            profile = read_profile(options.profile.read_text(encoding="utf-8"))
        else:
            profile = runner.run(profile_engine(url))
        if options.save_profile:
            save_profile(options.save_profile, profile)
        said = list(report(profile))
        print("\n".join(said), f"\nprofiled in {time.monotonic() - began:.0f} s\n", flush=True)
        comparing = Comparing(runner, runner.run(SGLangEngine.connect(url)), profile, options.repeats)
        comparing.ran(WARM_UP, SETTINGS[WARM_UP][0], HostFunctions())
        print(_HEADER, flush=True)
        for name, setting in [(each, setting) for each in names for setting in SETTINGS[each]]:
            if name in TYPED and options.model == "policy":
                left_out.append(f"{name} {_shown(setting)}: the test bed's characters write no JSON")
                continue
            try:
                found = comparing.compared(name, setting)
            except (ttsc.RunError, ttsc.EngineError) as error:
                left_out.append(f"{name} {_shown(setting)}: {error}")
                continue
            compared.append(found)
            print(row(found), flush=True)
        comparing.close()
    lines = [*summary(compared), *left_out]
    print("\n" + "\n".join(lines), f"\n{time.monotonic() - began:.0f} s in all")
    if options.write:
        write(profile, said, compared, lines)
    return 0


@contextmanager
def engine_for(url: str | None, model: str) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        stretched = Path(folder) / model
        if (TESTBED / model).is_dir():
            shutil.copytree(TESTBED / model, stretched)
            config = json.loads((stretched / "config.json").read_text(encoding="utf-8"))
            (stretched / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
        with ttsc.launch(str(stretched) if stretched.is_dir() else model) as engine:
            yield engine.url


class Comparing:
    """Runs on one engine, over connections that stay open, and on the simulated one. Nothing else runs meanwhile."""

    def __init__(self, runner: asyncio.Runner, engine: SGLangEngine, profile: Profile, repeats: int) -> None:
        self._runner = runner
        self._engine = engine
        self._profile = profile
        self._repeats = repeats

    def close(self) -> None:
        self._runner.run(self._engine.close())

    def compared(self, name: str, setting: Setting) -> Compared:
        """Real runs until two of them agree, and the simulation of the one in the middle."""
        functions = HostFunctions()
        runs: list[tuple[ttsc.RunResult, list[ttsc.Event]]] = []
        while len(runs) < self._repeats and not (len(runs) > 1 and _spread(_seconds(runs)) < STEADY):
            runs.append(self.ran(name, setting, functions))
        real, events = sorted(runs, key=lambda run: run[0].duration_s)[(len(runs) - 1) // 2]
        simulated = self.predicted(name, setting, functions, events)
        used = [(r.usage.requests, r.usage.prefill_tokens + r.usage.decoded_tokens, r.usage.cached_tokens)
                for r in (real, simulated)]  # fmt: skip
        requests, tokens, cached = zip(*used, strict=True)
        return Compared(
            program=name,
            setting=_shown(setting),
            real_s=statistics.median(_seconds(runs)),
            spread=_spread(_seconds(runs)),
            simulated_s=simulated.duration_s,
            requests=requests,
            tokens=tokens,
            cached=cached,
            extern_s=sum(taken for _value, taken in functions.known.values()),
        )

    def ran(self, name: str, setting: Setting, functions: HostFunctions) -> tuple[ttsc.RunResult, list[ttsc.Event]]:
        """One run for real, on an empty prefix cache."""
        events: list[ttsc.Event] = []
        self._runner.run(self._emptied())
        with tempfile.TemporaryDirectory() as folder:
            run = compiled(name).arun(
                given(name, setting),
                engine=self._engine,
                seed=SEED,
                externs=functions.real() if _calls_python(name) else None,
                stores=stores(name),
                artifacts=folder,
                on_event=events.append,
            )
            return self._runner.run(run), events

    async def _emptied(self) -> None:
        """The server refuses while a request runs, also one whose answer has just come."""
        for _ in range(_FLUSHES):
            with suppress(ttsc.EngineError):
                return await self._engine.flush_cache()
            await asyncio.sleep(0.1)
        await self._engine.flush_cache()

    def predicted(
        self, name: str, setting: Setting, functions: HostFunctions, events: Sequence[ttsc.Event]
    ) -> ttsc.RunResult:
        """The same run on the simulated engine, in virtual time."""
        info = self._engine.info
        engine = SimulatedEngine(
            self._profile.to_machine(),
            outcomes_of_events(events),
            self._engine.tokenizer,
            abilities=info.abilities,
            device=info.device,
            parameters=info.parameters,
        )
        with tempfile.TemporaryDirectory() as folder:
            run = compiled(name).arun(
                given(name, setting),
                engine=engine,
                seed=SEED,
                externs=functions.played_back() if _calls_python(name) else None,
                stores=stores(name),
                artifacts=folder,
            )
            return run_in_virtual_time(run)


@cache
def compiled(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(PROGRAMS / f"{name}.tts")


def given(name: str, setting: Setting) -> dict[str, Any]:
    text = (PROGRAMS / "inputs" / f"{INPUTS.get(name, 'questions')}.jsonl").read_text(encoding="utf-8")
    known = {parameter.name for parameter in compiled(name).parameters}
    return {key: value for key, value in json.loads(text.splitlines()[0]).items() if key in known} | setting


def stores(name: str) -> dict[str, Any]:
    return {
        store: ttsc.Store.memory(
            [json.loads(line) for line in (PROGRAMS / "inputs" / f"{file}.jsonl").read_text().splitlines()]
        )
        for store, file in STORES.get(name, {}).items()
    }


def _calls_python(name: str) -> bool:
    return any(extern.name == "run_python" for extern in compiled(name).ir.externs)


# -- what is said -----------------------------------------------------------------------------------------------------

_HEADER = (
    f"{'program':<24}{'setting':<34}{'real':>8}{'spread':>8}{'simul.':>8}{'error':>8}"
    f"{'tokens':>8}{'error':>8}{'cached':>14}{'requests':>10}{'host':>7}"
)


def row(each: Compared) -> str:
    """Seconds, relative errors, tokens."""
    mark = " <-" if abs(each.time_error) > 0.25 or abs(each.token_error) > 0.03 else ""
    return (
        f"{each.program:<24}{each.setting:<34}{each.real_s:>8.3f}{each.spread:>8.1%}{each.simulated_s:>8.3f}"
        f"{each.time_error:>+8.1%}{each.tokens[0]:>8}{each.token_error:>+8.1%}{_pair(each.cached):>14}"
        f"{_pair(each.requests):>10}{each.extern_s:>7.2f}{mark}"
    )


def _pair(values: tuple[int, int]) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]}/{values[1]}"


def summary(compared: Sequence[Compared]) -> list[str]:
    """The targets, and whether they are met."""
    if not compared:
        return ["nothing was compared"]
    times = sorted(abs(each.time_error) for each in compared)
    tokens = sorted(abs(each.token_error) for each in compared)
    worst = max(compared, key=lambda each: abs(each.time_error))
    far = max(compared, key=lambda each: abs(each.token_error))
    return [
        f"{len(compared)} runs",
        f"wall time: median error {statistics.median(times):.1%} (target 10 %), worst {times[-1]:.1%} (target 25 %): "
        f"{worst.program} {worst.setting}",
        f"tokens: median error {statistics.median(tokens):.1%}, worst {tokens[-1]:.1%} (target 3 %): "
        f"{far.program} {far.setting}",
    ]


def write(profile: Profile, said: Sequence[str], compared: Sequence[Compared], lines: Sequence[str]) -> None:
    """The section of this model in the report; others stay."""
    title = f"## {profile.name}"
    known = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else _INTRODUCTION
    head, *sections = known.split("\n## ")
    kept = [f"## {section}".rstrip() for section in sections if not f"## {section}".startswith(title + "\n")]
    table = "\n".join([_HEADER, *map(row, compared)])
    today = datetime.date.today().isoformat()
    section = "\n\n".join(
        [title, f"{today}.", "```\n" + "\n".join(said) + "\n```", "\n".join(f"- {line}" for line in lines),
         f"```\n{table}\n```"]
    )  # fmt: skip
    REPORT.write_text("\n\n".join([head.rstrip(), *kept, section]) + "\n", encoding="utf-8")


_INTRODUCTION = """\
# What a profile predicts

Written by `benchmarks/prediction.py --write`, which says what is compared. Real and simulated seconds of whole runs;
tokens are prompt tokens computed and tokens decoded; where two numbers stand, the first is the real run's.
"""


def _shown(setting: Setting) -> str:
    return " ".join(f"{name}={value}" for name, value in setting.items())


def _seconds(runs: Sequence[tuple[ttsc.RunResult, list[ttsc.Event]]]) -> list[float]:
    return [result.duration_s for result, _events in runs]


def _spread(seconds: Sequence[float]) -> float:
    return (max(seconds) - min(seconds)) / statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
