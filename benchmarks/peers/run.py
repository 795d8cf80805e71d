"""ttsc, hand-written clients and the peers on one SGLang server: seconds, and tokens by the server's own counters.

    python benchmarks/peers/run.py --model testbed --inputs 1,64 --repeats 5
    python benchmarks/peers/run.py --engine http://127.0.0.1:30000 --kind chat --arms ttsc_default,hand_wait

Without --engine a server is started for the model (`testbed` is the one of benchmarks/testbed, with its reward model).
An attached server must be used by nobody else: its cache is emptied before every run. Each workload gives a file in
--out; from all the files there, of this run or of others, --page is rendered.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from dataclasses import fields, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.peers.arm_process import ARMS  # noqa: E402
from benchmarks.peers.measure import Mode, measure  # noqa: E402
from benchmarks.peers.report import Result, render  # noqa: E402
from benchmarks.peers.server import Server, serving  # noqa: E402
from benchmarks.peers.workloads import NAMES, Kind, Sizes, data, workload  # noqa: E402
from ttsc.backends.sglang.server_command import cuda_devices  # noqa: E402
from ttsc.backends.sglang.tokenizer import ModelTokenizer, load_tokenizer  # noqa: E402

HERE = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> int:
    """Entry point. 0: everything ran; 1: an arm failed (the page says which)."""
    options = _options(argv)
    with serving(options.model, options.engine, options.reward) as server, tempfile.TemporaryDirectory() as scratch:
        about, served = _about(server, options), str(server.info()["served_model_name"])
        tokenizer = load_tokenizer(_tokenizer_folder(server))
        failed = False
        for name in options.workloads:
            if name == "particle_filter" and not server.reward_url:
                _tell("particle_filter: left out, it needs a reward model's server (--reward URL)")
                continue
            for result in _measured(server, served, tokenizer, about, name, options, Path(scratch)):
                failed |= any(each.error for each in result.arms.values())
                _write(options.out / f"{options.model}.{name}.{result.mode.inputs}.json", result)
            write_page(options.out, options.page)
    return int(failed)


def _measured(
    server: Server,
    served: str,
    tokenizer: ModelTokenizer,
    about: dict[str, Any],
    name: str,
    options: argparse.Namespace,
    scratch: Path,
) -> list[Result]:
    made = workload(name, options.kind, options.sizes, server.reward_url)
    content = {
        **data(made, tokenizer, max(mode.count for mode in options.modes)),
        "tokenizer": _tokenizer_folder(server),
    }
    _check_prompts(server, served, content)
    file = scratch / f"{name}.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    arms = [each for each in options.arms if name in ARMS[each].workloads]
    options.logs.mkdir(parents=True, exist_ok=True)
    repeats, modes = options.repeats, options.modes
    measured = measure(server, served, name, file, arms, modes, repeats, options.logs, _tell)
    sizes = ", ".join(f"{each.name} {getattr(options.sizes, each.name)}" for each in fields(options.sizes))
    return [Result(name, mode, {**about, "sizes": sizes}, each) for mode, each in zip(modes, measured, strict=True)]


def _check_prompts(server: Server, model: str, content: dict[str, Any]) -> None:
    """That the server counts as many tokens in the messages, and in the text, as the ids are. Raises `SystemExit`."""
    for item in content["inputs"][:2]:
        wanted = len(item["ids"])
        chat = server.prompt_tokens({"model": model, "messages": item["messages"]})
        text = server.prompt_tokens({"model": model, "prompt": item["text"]}, "/v1/completions")
        if {chat, text} != {wanted}:
            raise SystemExit(
                f"{content['workload']}: a prompt is {wanted} ids, {chat} tokens as messages, {text} as text: the arms"
                " would not get the same prompts"
            )


def _about(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    facts = server.info()
    devices = cuda_devices() if facts.get("device") == "cuda" else []
    sglang = facts.get("version") or version("sglang")
    return {
        "command": shlex.join(["python", "benchmarks/peers/run.py", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "machine": ", ".join([machine(), *devices]),
        "model": options.model,
        "versions": f"SGLang {sglang}, ttsc {version('ttsc')}, Python {platform.python_version()}",
        "seeds honoured": "yes" if facts.get("enable_deterministic_inference") else "no, so answers can't be compared",
        "repeats": options.repeats,
    }


def machine() -> str:
    """Its cores."""
    return f"{os.cpu_count()} cores of {_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _tokenizer_folder(server: Server) -> str:
    facts = server.info()
    return str(facts.get("tokenizer_path") or facts["model_path"])


def _write(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")


def write_page(results: Path, page: Path) -> None:
    """From all results there, so that a run that is interrupted leaves a page of what it did."""
    more = [results / f"{name}.json" for name in ("prefill", "losers", "same_reward")]
    read = [json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None for path in more]
    page.write_text(render(_results(results), *read), encoding="utf-8")
    _tell(f"{page} is written")


def _results(folder: Path) -> list[Result]:
    """All results there, in the order of the workloads."""
    found = [
        Result.from_json(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.*.*.json"))
    ]
    return sorted(found, key=lambda each: (str(each.about["model"]), NAMES.index(each.workload), each.mode.inputs))


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", metavar="URL", help="a running SGLang server that nobody else uses")
    parser.add_argument("--reward", metavar="URL", help="a server of a reward model, for particle_filter")
    parser.add_argument("--model", default="testbed", help="what to start, and what results are called (%(default)s)")
    parser.add_argument("--kind", choices=["testbed", "chat"], help="of prompts (default: chat unless --model testbed)")
    parser.add_argument("--workloads", type=_list, default=list(NAMES), metavar="A,B", help=", ".join(NAMES))
    parser.add_argument("--arms", type=_list, default=list(ARMS), metavar="A,B", help=", ".join(ARMS))
    parser.add_argument("--inputs", type=_list, default=["1", "64"], metavar="1,64", help="how many at once")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="SIZE=NUMBER", help="a size of the workloads")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results (%(default)s)")
    parser.add_argument("--page", type=Path, default=HERE.parent / "RESULTS.md", help="%(default)s")
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "ttsc-peers", help="%(default)s")
    options = parser.parse_args(argv)
    for given, known in ((options.workloads, NAMES), (options.arms, ARMS)):
        if unknown := [each for each in given if each not in known]:
            parser.error(f"no such thing: {', '.join(unknown)}; there are {', '.join(known)}")
    kind: Kind = options.kind or ("testbed" if options.model == "testbed" else "chat")
    try:
        changes = {name: int(number) for name, _, number in (each.partition("=") for each in options.set)}
        options.sizes = replace(Sizes.of(kind), **changes)
        options.modes = [Mode(int(number), options.sizes.alone) for number in options.inputs]
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    options.kind = kind
    return options


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


if __name__ == "__main__":
    sys.exit(main())
