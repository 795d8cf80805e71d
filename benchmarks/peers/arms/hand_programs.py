"""The workloads, written by hand against `hand_client`: a coroutine per input, nothing waits for what it does not need.

Each takes a `Case` and returns the answer of one input. `early` versions stop when the result is plain to see: a
majority that nobody can catch up with, a greatest grade.
"""

from __future__ import annotations

import asyncio
import math
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from hand_client import WORTH_LEADING, Client, Reply, Request
from hand_fanout import Warmth, fan_out, fan_out_until, one_of_many
from seeds import numbers_of, request_seed

from ttsc.backends.protocol import Turn
from ttsc.backends.sglang.tokenizer import ModelTokenizer

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One input of one command. `nodes`: the program's nodes by what they do, which seeds derive from."""

    client: Client
    prm: Client | None
    tokenizer: ModelTokenizer
    settings: dict[str, Any]
    values: dict[str, Any]
    ids: Ids
    nodes: dict[str, str]
    seed: int
    number: int
    warmth: Warmth
    early: bool

    def request(
        self, ids: Ids, options: dict[str, Any], node: str, path: tuple[int, ...] = (), index: int = 0
    ) -> Request:
        """A request with the seed that ttsc gives it."""
        seed = request_seed(self.seed, self.number, self.nodes[node], path, index)
        stop = options.get("stop") or [None]
        return Request(ids, options["temperature"], options["max_tokens"], seed, stop[0])

    def chat(self, *turns: tuple[str, str]) -> Ids:
        """A conversation's ids; a last assistant turn is left open."""
        return tuple(self.tokenizer.chat_ids([Turn(role, text) for role, text in turns]))  # type: ignore[arg-type]


async def self_consistency(case: Case) -> str:
    """n samples, the commonest answer."""
    settings = case.settings
    requests = [case.request(case.ids, settings, "sample", (), i) for i in range(settings["n"])]
    if case.early:
        return await fan_out_until(case.client, requests, case.warmth, _majority(settings)) or ""
    replies = dict(enumerate(await fan_out(case.client, requests, case.warmth)))
    return _majority(settings)(replies) or ""


def _majority(settings: dict[str, Any]) -> Any:
    pattern, n = re.compile(settings["answer"]), settings["n"]

    def decide(replies: dict[int, Reply]) -> str | None:
        votes = Counter(found for i in sorted(replies) if (found := last(pattern, replies[i].text)) is not None)
        ranked = votes.most_common(2)
        if not ranked:
            return None
        second = ranked[1][1] if len(ranked) > 1 else 0
        outstanding = n - len(replies)
        return ranked[0][0] if not outstanding or ranked[0][1] > second + outstanding else None

    return decide


async def first_finish(case: Case) -> str | None:
    """n samples, the shortest. `early`: as soon as one has ended, the others are stopped."""
    settings = case.settings
    requests = [case.request(case.ids, settings, "sample", (), i) for i in range(settings["n"])]

    def shortest(replies: dict[int, Reply]) -> Reply | None:
        return min((replies[i] for i in sorted(replies)), key=lambda reply: len(reply.ids), default=None)

    if case.early:
        found = await fan_out_until(case.client, requests, case.warmth, shortest)
    else:
        found = shortest(dict(enumerate(await fan_out(case.client, requests, case.warmth))))
    return None if found is None else last(re.compile(settings["answer"]), found.text)


async def best_of_n(case: Case) -> str | None:
    """n samples, each graded when it is complete; the greatest grade, at a tie the first."""
    settings, client = case.settings, case.client
    n, judge = settings["n"], settings["judge"]
    requests = [case.request(case.ids, settings, "sample", (), i) for i in range(n)]
    rids = [client.rid() for _ in range(2 * n)]
    leading = await case.warmth.missing(len(case.ids)) >= WORTH_LEADING

    async def graded(i: int, sampling: Any) -> tuple[float, str]:
        reply = await sampling
        if reply.aborted:
            return -1.0, ""
        form = judge["messages"][0]["content"]
        text = form.replace("{question}", case.values["question"]).replace("{solution}", reply.text)
        request = case.request(case.chat(("user", text)), judge, "judge", (i,))
        verdict = await client.one(request, rids[n + i])
        found = last(re.compile(judge["score"]), verdict.text)
        return min(max(float(found or 0.0), 0.0), judge["maximum"]), reply.text

    first = asyncio.Event()
    tasks: list[asyncio.Task[tuple[float, str]]] = []
    if leading:
        tasks.append(asyncio.ensure_future(graded(0, client.lead(requests[0], rids[0], first))))
        await first.wait()
    case.warmth.computed()
    for i in range(len(tasks), n):
        tasks.append(asyncio.ensure_future(graded(i, client.one(requests[i], rids[i]))))
    pattern = re.compile(settings["answer"])
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        complete = next((i for i, task in enumerate(tasks) if not task.done()), n)
        if case.early and any(tasks[i].result()[0] >= judge["maximum"] for i in range(complete)):
            break
    if pending:
        await client.abort([rids[k] for i, task in enumerate(tasks) if not task.done() for k in (i, n + i)])
        await asyncio.wait(pending)
    grades = [task.result() for task in tasks[:complete]] if pending else [task.result() for task in tasks]
    best = max(range(len(grades)), key=lambda i: (grades[i][0], -i))
    return last(pattern, grades[best][1])


async def verify_refine(case: Case) -> str:
    """A draft, looked at, asked for again in the same conversation while it is wrong."""
    settings, values = case.settings, case.values
    pattern = re.compile(settings["answer"])
    ids, node, path = case.ids, "sample", ()
    for number in range(settings["rounds"] + 1):
        reply = await one_of_many(case.client, case.request(ids, settings, node, path), case.warmth)
        answer = last(pattern, reply.text) or ""
        if answer == values["expected"] or number == settings["rounds"]:
            return answer
        ids = (*ids, *reply.ids)
        ended = bool(ids) and ids[-1] in case.tokenizer.eos_ids
        ids = (*ids, *case.tokenizer.extension_ids(ended, [Turn("user", values["again"])]))
        node, path = "refine", (number,)
    raise AssertionError("the last round returns")


@dataclass(frozen=True, slots=True)
class Particle:
    ids: Ids
    text: str = ""
    ended: bool = False
    score: float = 0.0


async def particle_filter(case: Case) -> str | None:
    """A population, each rewarded when its step is there, drawn anew when all are; what has ended is not asked."""
    settings, prm = case.settings, case.prm
    assert prm is not None
    closing = _closing(case.tokenizer)
    cloud = [Particle(())] * settings["particles"]
    first = asyncio.Event()
    leading = await case.warmth.missing(len(case.ids)) >= WORTH_LEADING
    for step in range(settings["steps"]):

        async def grown(i: int, particle: Particle, step: int = step) -> Particle:
            if particle.ended:
                return particle
            request = case.request((*case.ids, *particle.ids), settings, "branch", (step,), i)
            if leading and step == 0 and i == 0:
                reply = await case.client.lead(request, case.client.rid(), first)
            else:
                if leading and step == 0:
                    await first.wait()
                case.warmth.computed()
                reply = await case.client.one(request)
            ids = (*particle.ids, *reply.ids)
            spoken = ids
            while spoken and spoken[-1] in case.tokenizer.eos_ids:
                spoken = spoken[:-1]
            reward = await prm.reward((*case.ids, *spoken, *closing))
            return Particle(ids, particle.text + reply.text, reply.ended, _sigmoid(reward))

        cloud = list(await asyncio.gather(*(grown(i, each) for i, each in enumerate(cloud))))
        cloud = _resampled(cloud, numbers_of(case.seed, case.number, case.nodes["resample"], (step,)))
        if all(each.ended for each in cloud):
            break
    best = max(range(len(cloud)), key=lambda i: (cloud[i].score, -i))
    return last(re.compile(settings["answer"]), cloud[best].text)


def _resampled(cloud: list[Particle], numbers: Any) -> list[Particle]:
    """Independent draws, with the odds of the scores as weights."""
    clamped = [min(max(each.score, 1e-6), 1 - 1e-6) for each in cloud]
    logits = [math.log(p / (1 - p)) for p in clamped]
    top = max(logits)
    ends = list(accumulate(math.exp(logit - top) for logit in logits))
    return [cloud[min(len(cloud) - 1, bisect_right(ends, numbers.random() * ends[-1]))] for _ in cloud]


def _closing(tokenizer: ModelTokenizer) -> Ids:
    """What ends an assistant's turn: a reward model has read whole turns."""
    following = tokenizer.extension_ids(False, [Turn("user", "")])
    ends = [place for place, token in enumerate(following) if token in tokenizer.eos_ids]
    return tuple(following[: ends[0] + 1]) if ends else ()


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-min(x, 745)))
    power = math.exp(max(x, -745))
    return power / (1 + power)


def last(pattern: re.Pattern[str], text: str) -> str | None:
    """The last match's first group."""
    found = None
    for match in pattern.finditer(text):
        found = match[1]
    return found


def cut(text: str, stop: str | None) -> str:
    """A text up to where it was stopped."""
    at = text.find(stop) if stop else -1
    return text if at < 0 else text[:at]
