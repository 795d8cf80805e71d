"""Score: what a model makes of given text. Requests go the way of generations: lane, gate, limits, retries, aborts.

Ids are those of the scoring role's own tokenizer. Where it also made the candidate's ids they are used as they are,
and the engine finds them in its prefix cache; else the conversation is rendered by that role's chat template and what
was generated is encoded again, from its text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ttsc.backends.protocol import AbilityMissing, ContextTooLong, Embedded, Rewarded, Scored, Tokenizer, Turn
from ttsc.compiler.ir.nodes import Score
from ttsc.runtime.blocks import Job
from ttsc.runtime.failures import INVALID_ARGUMENT, REWARD_SHAPE, engine_failure, failed
from ttsc.runtime.flights import Ticket
from ttsc.runtime.records import Site
from ttsc.runtime.session import Lane
from ttsc.runtime.values import (
    CandidateValue,
    Ids,
    as_candidate,
    generated_ids,
    ids_of_beginning,
    open_ids,
    prompt_ids,
)
from ttsc.runtime.work import Answer, Embedding, Rewarding, Scoring, Work, most_tokens


async def execute_score(job: Job, node: Score) -> None:
    source = await job.complete(node.source)
    given = await job.complete(node.given) if node.given is not None else None
    scorer = Scorer(job, node)
    match node.kind:
        case "logprob":
            result = await scorer.logprobs(as_candidate(source), given)
        case "choices":
            result = await scorer.choices(as_candidate(source), given)
        case "reward":
            result = await scorer.rewards(as_candidate(source), given)
        case "embed":
            result = await scorer.vector(source)
    job.cell.resolve(result)


class Scorer:
    """The requests of one Score node."""

    def __init__(self, job: Job, node: Score) -> None:
        self._job = job
        self._node = node
        self._lane: Lane = job.run.lane(node.model)
        self._tokenizer: Tokenizer = self._lane.engine.tokenizer

    async def logprobs(self, source: CandidateValue, text: object) -> tuple[float, ...]:
        """Of each token of `text` after `source`; without a text of each token that the candidate generated, the one
        that ended its turn included.
        """
        if text is None:
            before = prompt_ids(source.context, self._tokenizer)
            return (await self._scored(source, [(before, generated_ids(source, self._tokenizer))]))[0]
        if not isinstance(text, str):
            raise failed(INVALID_ARGUMENT, f"the text to score must be a str; it is {text!r}")
        return (await self._scored(source, [(self._open(source), tuple(self._tokenizer.encode(text)))]))[0]

    async def choices(self, source: CandidateValue, texts: object) -> tuple[float, ...]:
        """For each text the sum of its tokens' log-probabilities after `source`."""
        if not isinstance(texts, list | tuple) or any(not isinstance(text, str) or not text for text in texts):
            raise failed(INVALID_ARGUMENT, f"choices must be a list of texts, none of them empty; they are {texts!r}")
        before = self._open(source)
        spans = [(before, tuple(self._tokenizer.encode(str(text)))) for text in texts]
        return tuple(math.fsum(logprobs) for logprobs in await self._scored(source, spans))

    async def rewards(self, source: CandidateValue, delimiter: object) -> tuple[float, ...]:
        """The reward at the end of each step (what ends with `delimiter`, or with the text), or of the whole turn."""
        if delimiter is not None and (not isinstance(delimiter, str) or not delimiter):
            raise failed(INVALID_ARGUMENT, f"steps end with a text that is not empty, not with {delimiter!r}")
        context = prompt_ids(source.context, self._tokenizer)
        generated = open_ids(source, self._tokenizer)
        if delimiter is None:
            prompts = [(*context, *generated, *self._closing())]
        else:
            text = self._tokenizer.decode(generated)
            cuts = [ids_of_beginning(generated, end, self._tokenizer)[0] for end in step_ends(text, delimiter)]
            prompts = [(*context, *cut) for cut in cuts]
        self._without_images(source)
        answers = await self._ask([(prompt, Rewarding()) for prompt in prompts], source)
        return tuple(self._reward(answer) for answer in answers)

    async def vector(self, text: object) -> tuple[float, ...]:
        """The embedding of a text. One text is embedded once in a session."""
        if not isinstance(text, str):
            raise failed(INVALID_ARGUMENT, f"only a text can be embedded, not {text!r}")
        kept = self._lane.embeddings.get(text)
        if kept is not None:
            return kept
        answer = (await self._ask([(tuple(self._tokenizer.encode(text)), Embedding())], None))[0]
        assert isinstance(answer, Embedded)
        self._lane.embeddings.put(text, answer.vector)
        return answer.vector

    # --- ids ---

    def _open(self, source: CandidateValue) -> Ids:
        """The conversation up to where something may be said next in the assistant's turn."""
        return (*prompt_ids(source.context, self._tokenizer), *open_ids(source, self._tokenizer))

    def _closing(self) -> Ids:
        """What ends an assistant's turn, up to and with the token that does: a reward model has read whole turns."""
        following = self._tokenizer.extension_ids(False, [Turn("user", "")])
        ends = [place for place, token in enumerate(following) if token in self._tokenizer.eos_ids]
        return tuple(following[: ends[0] + 1]) if ends else ()

    # --- requests ---

    async def _scored(self, source: CandidateValue, spans: Sequence[tuple[Ids, Ids]]) -> list[tuple[float, ...]]:
        """Log-probabilities of each span after what stands before it. Nothing is asked about an empty span."""
        self._without_images(source)
        asked = [((*before, *span), Scoring(len(before))) for before, span in spans if span]
        answers = iter(await self._ask(asked, source))
        found: list[tuple[float, ...]] = []
        for _, span in spans:
            answer = next(answers) if span else None
            assert answer is None or isinstance(answer, Scored)
            found.append(() if answer is None else answer.logprobs)
        return found

    async def _ask(self, asked: Sequence[tuple[Ids, Work]], source: CandidateValue | None) -> list[Answer]:
        """The answers in order. The longest prompts go first: what they share with others is computed once."""
        for ids, work in asked:
            self._fits(most_tokens(work, ids))
        order = sorted(range(len(asked)), key=lambda index: -len(asked[index][0]))
        job = self._job
        flights = {index: job.fly(self._lane, self._ticket(index, *asked[index], source)) for index in order}
        answers: list[Answer] = []
        try:
            for index in range(len(asked)):
                answer = await flights[index].outcome.wait()
                assert isinstance(answer, Scored | Rewarded | Embedded)
                answers.append(answer)
        finally:
            for flight in flights.values():
                flight.abandon()
        return answers

    def _ticket(self, index: int, ids: Ids, work: Work, source: CandidateValue | None) -> Ticket:
        run, base = self._job.run, None if source is None else source.context.base
        request = run.requests.get(self._node.result.id)
        lineage = () if source is None else source.requests or (base.requests if base is not None else ())
        return Ticket(
            node=self._node.result.id,
            op=self._node.kind,
            role=self._node.model,
            index=index,
            input_index=run.input_index,
            ids=ids,
            work=work,
            share_prefix="share_prefixes" in run.plan.passes,
            parent=lineage[-1] if lineage else None,
            emit=run.emit,
            on_tokens=lambda _: None,
            starting=run.starting,
            site=Site(self._node.result.id, self._job.scope.path, index),
            critical=0 if request is None else request.critical,
        )

    def _fits(self, tokens: int) -> None:
        info = self._lane.engine.info
        if tokens > info.context_tokens:
            raise engine_failure(
                ContextTooLong(
                    f"{tokens} tokens to score exceed the context of {info.context_tokens} tokens of {info.model}",
                    "shorten the text",
                )
            )

    def _without_images(self, source: CandidateValue) -> None:
        if source.context.images:
            raise engine_failure(AbilityMissing("text after pictures can't be scored", "score it without the pictures"))

    def _reward(self, answer: Answer) -> float:
        """The head's one output; of two labels how much more the second one gets, whose sigmoid is its probability."""
        assert isinstance(answer, Rewarded)
        match answer.values:
            case (value,):
                return value
            case (first, second):
                return second - first
        raise failed(
            REWARD_SHAPE,
            f"the model of role `{self._node.model}` gives {len(answer.values)} numbers where a reward model gives one",
            "serve a reward model with one label, or with two of which the second means good",
        )


def step_ends(text: str, delimiter: str) -> list[int]:
    """Where steps end, in characters: after each delimiter, and at the end of the text if it goes on after the last."""
    ends: list[int] = []
    at = text.find(delimiter)
    while at >= 0:
        ends.append(at + len(delimiter))
        at = text.find(delimiter, ends[-1])
    if len(text) > (ends[-1] if ends else 0):
        ends.append(len(text))
    return ends
