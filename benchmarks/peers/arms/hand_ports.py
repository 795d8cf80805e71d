"""SGLang's own benchmark programs, written by hand: see `hand_programs`."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

from hand_client import WORTH_LEADING
from hand_fanout import fan_out, one_of_many
from hand_programs import Case, Ids, cut, last


async def multi_chain_reasoning(case: Case) -> str | None:
    """Chains from lead-ins of their own, then the answer with all in view."""
    settings, question = case.settings, case.values["question"]
    chain = settings["chain"]
    prompts = [case.chat(("user", question), ("assistant", lead)) for lead in settings["leads"]]
    requests = [case.request(ids, chain, "sample", (), i) for i, ids in enumerate(prompts)]
    replies = await fan_out(case.client, requests, case.warmth)
    stop = (chain.get("stop") or [None])[0]
    shown = "".join(
        settings["solution"].replace("{number}", str(i + 1)).replace("{chain}", cut(reply.text, stop))
        for i, reply in enumerate(replies)
    )
    joined = settings["join"] + shown + settings["conclude"]
    final = case.request(case.chat(("user", question), ("assistant", joined)), settings["final"], "sample.2")
    return last(re.compile(settings["answer"]), (await case.client.one(final)).text)


async def tree_of_thought_deep(case: Case) -> str:
    """Branches of every node, level after level: a node's children start when it is there, whatever its siblings do.

    The commonest answer of the leaves. `early`: what is left is aborted when nobody can catch up.
    """
    settings, client = case.settings, case.client
    branches, turns = settings["branches"], settings["turns"]
    pattern = re.compile(settings["answer"])
    pieces = [tuple(case.tokenizer.encode(turn)) for turn in turns]
    leaves: dict[int, str | None] = {}
    flying: set[str] = set()
    total = branches ** (len(turns) + 1)
    decided = asyncio.Event()

    def leaf(index: int, text: str) -> None:
        leaves[index] = last(pattern, text)
        votes = Counter(found for i in sorted(leaves) if (found := leaves[i]) is not None).most_common(2)
        second = votes[1][1] if len(votes) > 1 else 0
        if len(leaves) == total or (case.early and votes and votes[0][1] > second + total - len(leaves)):
            decided.set()

    async def node(ids: Ids, level: int, index: int) -> None:
        name, path = ("sample", ()) if level == 0 else ("branch", (level - 1,))
        rid = client.rid()
        flying.add(rid)
        reply = await client.one(case.request(ids, settings, name, path, index), rid)
        flying.discard(rid)
        if decided.is_set():
            return
        await after(ids, reply.ids, reply.text, level, index)

    async def after(ids: Ids, new: Ids, text: str, level: int, index: int) -> None:
        if level == len(turns):
            leaf(index, text)
            return
        spoken = new
        while spoken and spoken[-1] in case.tokenizer.eos_ids:
            spoken = spoken[:-1]
        prompt = (*ids, *spoken, *pieces[level])
        await asyncio.gather(*(node(prompt, level + 1, index * branches + j) for j in range(branches)))

    roots = [case.request(case.ids, settings, "sample", (), j) for j in range(branches)]
    if len(case.ids) >= WORTH_LEADING:
        replies = await fan_out(client, roots, case.warmth)
        work = [asyncio.ensure_future(after(case.ids, reply.ids, reply.text, 0, j)) for j, reply in enumerate(replies)]
    else:
        work = [asyncio.ensure_future(node(case.ids, 0, j)) for j in range(branches)]
    waiting = asyncio.gather(*work)
    watching = asyncio.ensure_future(decided.wait())
    await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done() and flying:
        await client.abort(list(flying))
    await waiting
    watching.cancel()
    votes = Counter(found for i in sorted(leaves) if (found := leaves[i]) is not None).most_common(1)
    return votes[0][0] if votes else ""


async def llm_judge(case: Case) -> str:
    """Judgements by several measures at once, then a grade with all in view."""
    settings, essay = case.settings, case.values["essay"]
    judgement = settings["judgement"]
    prompts = [case.chat(("user", essay), ("assistant", metric["text"])) for metric in settings["metrics"]]
    requests = [case.request(ids, judgement, "sample", (), i) for i, ids in enumerate(prompts)]
    replies = await fan_out(case.client, requests, case.warmth)
    stop = (judgement.get("stop") or [None])[0]
    lines = "".join(
        settings["line"].replace("{name}", metric["name"]).replace("{judgement}", cut(reply.text, stop))
        for metric, reply in zip(settings["metrics"], replies, strict=True)
    )
    begun = settings["join"] + lines + settings["conclude"]
    final = case.request(case.chat(("user", essay), ("assistant", begun)), settings["score"], "sample.2")
    return (await case.client.one(final)).text


async def tip_suggestion(case: Case) -> list[str]:
    """Tips one after the other; each is written out while the next ones are thought of."""
    settings, values = case.settings, case.values
    tip, paragraph = settings["tip"], settings["paragraph"]
    stop = (paragraph.get("stop") or [None])[0]
    item = settings["item"]

    async def written(i: int, text: str) -> str:
        form = values["form"].replace("{topic}", values["topic"]).replace("{tip}", text)
        request = case.request(case.chat(("user", form)), paragraph, "sample", (i,))
        return cut((await case.client.one(request)).text, stop)

    ids = (*case.ids, *case.tokenizer.encode(item.replace("{number}", "1")))
    writing: list[asyncio.Task[Any]] = []
    for i in range(settings["number"]):
        reply = await one_of_many(case.client, case.request(ids, tip, "branch", (i,)), case.warmth)
        text = cut(reply.text, (tip.get("stop") or [None])[0])
        writing.append(asyncio.ensure_future(written(i, text)))
        more = settings["after"] + item.replace("{number}", str(i + 2))
        ids = (*ids, *_kept(case, reply.ids, text), *case.tokenizer.encode(more))
    return list(await asyncio.gather(*writing))


def _kept(case: Case, ids: Ids, text: str) -> Ids:
    """The ids that `text`, the beginning of what `ids` say, was decoded from; a token cut in two is encoded again."""
    kept = len(ids)
    while kept and not text.startswith(case.tokenizer.decode(ids[:kept])):
        kept -= 1
    rest = text[len(case.tokenizer.decode(ids[:kept])) :]
    while kept and ids[kept - 1] in case.tokenizer.eos_ids:
        kept -= 1
    return (*ids[:kept], *case.tokenizer.encode(rest)) if rest else ids[:kept]
