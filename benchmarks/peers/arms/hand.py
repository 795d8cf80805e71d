"""A client written by hand for SGLang, as well as we can: `python arms/hand.py [--early] …`.

Without `--early` it waits for all candidates; with it, it stops where the result is plain to see. It runs on uvloop,
sends ids and own seeds, keeps its connections, shares a cold prefix, judges each candidate when it is complete.
"""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version

import hand_ports
import hand_programs
import uvloop
from hand_client import Client
from hand_fanout import Warmth
from hand_programs import Case
from serve_arm import Outcome, arguments, serve

from ttsc.backends.sglang.tokenizer import load_tokenizer

PROGRAMS = {
    each.__name__: each
    for each in (
        hand_programs.self_consistency,
        hand_programs.first_finish,
        hand_programs.best_of_n,
        hand_programs.verify_refine,
        hand_programs.particle_filter,
        hand_ports.multi_chain_reasoning,
        hand_ports.tree_of_thought_deep,
        hand_ports.llm_judge,
        hand_ports.tip_suggestion,
    )
}


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--early", action="store_true", help="stop where the result is plain to see")
    options = parser.parse_args()
    data = json.loads(options.data.read_text())
    settings, nodes = data["settings"], data["nodes"]
    program = PROGRAMS[options.workload]
    tokenizer = load_tokenizer(data["tokenizer"])
    client = Client(options.url, tuple(tokenizer.eos_ids))
    prm = Client(settings["reward"]["url"], ()) if "reward" in settings else None
    ids = [tuple(each["ids"]) for each in data["inputs"]]

    async def run(seed: int, indices: list[int], concurrency: int) -> Outcome:
        warmth = Warmth([ids[index] for index in indices])
        room = asyncio.Semaphore(concurrency)
        before = client.calls + (prm.calls if prm else 0)

        async def one(number: int, index: int) -> object:
            values = data["inputs"][index]["values"]
            case = Case(
                client, prm, tokenizer, settings, values, ids[index], nodes, seed, number, warmth, options.early
            )
            async with room:
                return await program(case)

        answers = await asyncio.gather(*(one(number, index) for number, index in enumerate(indices)))
        return Outcome(answers, client.calls + (prm.calls if prm else 0) - before)

    try:
        await serve("hand_early" if options.early else "hand_wait", f"aiohttp {version('aiohttp')}", run)
    finally:
        await client.close()
        if prm is not None:
            await prm.close()


if __name__ == "__main__":
    uvloop.run(main())
