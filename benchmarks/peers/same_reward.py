"""ttsc's library and its-hub's algorithms on the test bed with one reward model: right answers, tokens and seconds.

    python benchmarks/peers/same_reward.py
    python benchmarks/peers/same_reward.py --problems 20 --concurrency 4 --engine URL --reward URL

Best of n, beam search and the particle filter, both sides with the same n, temperature, limits and rewards (the sigmoid
of the process reward model's logit for the text so far), on the problems that the strategies are measured with. Neither
side's samples are the other's, so answers are compared by how many are right. Without --engine and --reward servers are
started; given ones must be used by nobody else. Writes --out, and RESULTS.md anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import run  # noqa: E402
from benchmarks.peers.arm_process import Arm, ArmFailed, ArmProcess, command, interpreter  # noqa: E402
from benchmarks.peers.server import TESTBED, Server, started  # noqa: E402
from benchmarks.peers.workloads import rendered  # noqa: E402
from benchmarks.strategies.run import PROBLEM_SEED  # noqa: E402
from benchmarks.testbed.inputs import rows  # noqa: E402
from ttsc.backends.protocol import Turn  # noqa: E402
from ttsc.backends.sglang.tokenizer import ModelTokenizer, load_tokenizer  # noqa: E402

HERE = Path(__file__).resolve().parent
TASK = ROOT / "programs" / "testbed" / "task.tts"
ANSWER = "A:([0-9]{2})"
TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One workload. `parameters`: of the library's program; `settings`: what its-hub's arm reads."""

    name: str
    parameters: dict[str, Any]
    settings: dict[str, Any]


def comparisons(n: int, width: int, temperature: float) -> list[Comparison]:
    """`n` samples, places of a level, or particles; `width` beams are kept."""
    step = {"temperature": temperature, "max_tokens": 16, "stop": ["\n"], "until": "\n", "final": "A:", "steps": 10}
    return [
        Comparison(
            "best_of_n",
            {"n": n, "temperature": temperature, "max_tokens": 96},
            {"n": n, "temperature": temperature, "max_tokens": 96},
        ),
        Comparison(
            "beam_search",
            {
                "width": width,
                "fanout": n // width,
                "levels": 10,
                "choose": "best",
                "temperature": temperature,
                "step_tokens": 16,
            },
            {**step, "n": n, "width": width},
        ),
        Comparison(
            "particle_filter",
            {"particles": n, "steps": 10, "step_tokens": 16, "temperature": temperature},
            {**step, "particles": n},
        ),
    ]


def data(made: Comparison, tokenizer: ModelTokenizer, questions: list[str], reward_url: str) -> dict[str, Any]:
    """The data file that both arms read: see README.md."""
    inputs = [
        {
            "values": {"question": question, **made.parameters},
            "messages": [{"role": "user", "content": question}],
            "ids": tokenizer.chat_ids([Turn("user", question)]),
            "text": rendered(tokenizer, [Turn("user", question)]),
        }
        for question in questions
    ]
    reward = {"url": reward_url, "text": rendered(tokenizer, [Turn("user", "{question}")]) + "{solution}"}
    settings = {**made.settings, "answer": ANSWER, "reward": reward}
    return {"workload": made.name, "settings": settings, "inputs": inputs}


def measured(
    policy: Server, prm: Server, name: str, file: Path, golds: list[str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for each side: warmed up on a few problems, then all of them from empty caches."""
    arms = {
        "ttsc": Arm("ttsc_arm.py", ("--program", f"std:{name}", "--task", str(TASK))),
        "its-hub": Arm("its_hub_arm.py", (), "its-hub"),
    }
    found = []
    served = str(policy.info()["served_model_name"])
    for title, arm in arms.items():
        argv = command(arm, interpreter(arm.environment), policy.url, served, name, file)
        with ArmProcess(argv, options.logs / f"same_reward.{name}.{title}.log") as process:
            process.run(0, list(range(min(2, len(golds)))), 2, TIMEOUT_S)
            policy.idle()
            policy.empty()
            prm.empty()
            before = policy.counts(), prm.counts()
            answer = process.run(1, list(range(len(golds))), options.concurrency, TIMEOUT_S)
            policy.idle()
            row = {
                "workload": name,
                "arm": title,
                "version": process.version,
                "seconds": answer["seconds"],
                "policy": asdict(policy.counts().since(before[0])),
                "prm": asdict(prm.counts().since(before[1])),
                "right": [int(said == gold) for said, gold in zip(answer["answers"], golds, strict=True)],
                "answers": answer["answers"],
            }
        print(f"{name}, {title}: {sum(row['right'])} of {len(golds)}, {row['seconds']:.1f} s", file=sys.stderr)
        found.append(row)
    return found


def main() -> int:
    """Entry point. 1: an arm failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", metavar="URL", help="a server of the test bed's policy")
    parser.add_argument("--reward", metavar="URL", help="a server of its process reward model")
    parser.add_argument("--reward-model", default="prm", help="folder of the reward model (%(default)s)")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=16, help="problems at once (%(default)s)")
    parser.add_argument("--n", type=int, default=16, help="samples, places of a level, particles (%(default)s)")
    parser.add_argument("--width", type=int, default=4, help="beams that are kept (%(default)s)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "same_reward.json")
    parser.add_argument("--page", type=Path, default=HERE.parent / "RESULTS.md")
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "ttsc-peers")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    problems = list(rows(options.problems, PROBLEM_SEED))
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        policy, prm = (
            Server(url or stack.enter_context(started(TESTBED / folder)))
            for url, folder in ((options.engine, "policy"), (options.reward, options.reward_model))
        )
        tokenizer = load_tokenizer(str(TESTBED / "policy"))
        found: list[dict[str, Any]] = []
        try:
            for made in comparisons(options.n, options.width, options.temperature):
                file = Path(scratch) / f"{made.name}.json"
                content = data(made, tokenizer, [str(each["question"]) for each in problems], prm.url)
                file.write_text(json.dumps(content), encoding="utf-8")
                golds = [str(each["gold"]) for each in problems]
                found += measured(policy, prm, made.name, file, golds, options)
        except (ArmFailed, TimeoutError) as error:
            print(error, file=sys.stderr)
            return 1
    content = {
        "command": " ".join(["python benchmarks/peers/same_reward.py", *sys.argv[1:]]),
        "settings": {name: getattr(options, name) for name in ("problems", "concurrency", "n", "width", "temperature")},
        "machine": run.machine(),
        "rows": found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content) + "\n", encoding="utf-8")
    run.write_page(options.out.parent, options.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
