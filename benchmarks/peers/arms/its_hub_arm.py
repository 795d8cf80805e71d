"""The arm of its-hub 1.2.0 (with its `lm` extra): self-consistency in three variants, best-of-n, particle filtering.

Set up as somebody who knows it would, and measured as it is:

- Every algorithm gets an orchestrator of its own without a limit. One with a limit (the default is 32) loses a
  permit per waiter that is cancelled: BetaSelfConsistency with a larger budget hangs for ever after two runs.
- One language model for the process, so that its session's connections are used again from run to run. aiohttp's
  connector opens 100 connections at most, its default, which its-hub leaves: further requests wait for one. The
  step algorithms open a session of their own at every step; nothing can be done about that from outside.
- The votes look at the same answers as the other arms (a projection function); its own regular-expression
  projection takes the first match. An answer that can't be read is a vote for None: it has no abstention. Ties are
  drawn by lot.
- The judge is its LLMJudge with the workload's prompt and a number for an answer instead of its JSON, so that
  prompts and answers of the judge are as long as in the other arms. It starts when the last sample is complete.
- Particle filtering: the system's message goes into the language model, since the algorithm flattens a list of
  messages to "role: text". It takes max_steps + 1 steps, hence max_steps = steps - 1. A particle that ends with the
  end-of-text token goes on for all steps unless its text holds the stop token. Rewards: one POST per step with all
  texts.
- It sends no seed. On a server with deterministic inference all its samples would be the same: votes unanimous, and
  no judge asked, since best-of-n skips it where all texts are equal. A seed of its own is added to each request.
- It has no parameter for `ignore_eos` and SGLang's other fields; where a workload sets them they are added to its
  requests.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import logging
import math
import random
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import numpy
from data_file import Input, Task, filled, first_seeds, last_match, task
from its_hub.api import AbstractOutcomeRewardModel, AbstractProcessRewardModel, ChatMessage
from its_hub.core.algorithms.adaptive_self_consistency import AdaptiveSelfConsistency
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.beta_self_consistency import BetaSelfConsistency
from its_hub.core.algorithms.bon import BestOfN
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering
from its_hub.core.algorithms.self_consistency import SelfConsistency
from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
from its_hub.core.lms.step_generation import StepGeneration
from its_hub.core.orchestrator import LMOrchestrator
from its_hub.core.reward_models.llm_judge import LLMJudge
from serve_arm import Outcome, arguments, serve

VOTES = {"self_consistency": "its_hub", "adaptive": "its_hub_adaptive", "beta": "its_hub_beta"}
"""The variants of the vote, and the arm's name for each."""

# What a request may ask for that its-hub has no parameter for.
_EXTRA_FIELDS = ("ignore_eos", "top_p", "top_k", "min_p")


class CountingModel(OpenAICompatibleLanguageModel):  # type: ignore[misc]
    """Its language model, which counts its requests and adds the fields that it does not know."""

    def __init__(self, task: Task, settings: Mapping[str, Any], **more: Any) -> None:
        super().__init__(
            endpoint=f"{task.url}/v1",
            api_key="EMPTY",
            model_name=task.model,
            temperature=settings["temperature"],
            max_completion_tokens=settings["max_tokens"],
            stop=settings.get("stop") or None,
            **more,
        )
        self.calls = 0
        self.seeds = itertools.count()
        self._extra = {name: settings[name] for name in _EXTRA_FIELDS if name in settings}

    def _prepare_request_data(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        # Called once per attempt, right before it is sent.
        self.calls += 1
        return {**super()._prepare_request_data(*arguments, **keywords), **self._extra, "seed": next(self.seeds)}


class WorkloadJudge(LLMJudge):  # type: ignore[misc]
    """Its judge with a workload's prompt and a number for an answer; an answer without one is below every grade."""

    def __init__(self, model: CountingModel, settings: Mapping[str, Any], question: str) -> None:
        super().__init__(lm=model, response_format=None)
        self._settings = settings
        self._question = question

    def _build_judge_prompt(self, conversation: list[ChatMessage]) -> list[ChatMessage]:
        places = {"question": self._question, "solution": conversation[-1].content or ""}
        return [
            ChatMessage(role=message["role"], content=filled(message["content"], **places))
            for message in self._settings["messages"]
        ]

    def _parse_score(self, response_content: str) -> float:
        grade = last_match(self._settings["score"], response_content)
        return -math.inf if grade is None else float(grade)


class ServedRewardModel(AbstractProcessRewardModel):  # type: ignore[misc]
    """Rewards from a reward model that SGLang serves: the sigmoid of its logit for the whole text so far.

    its-hub hands over steps without what ended the last one, which a reward model of steps has read: `step_end`, where
    the solution goes on. `final` is what only a last step says.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: Mapping[str, Any],
        question: str,
        step_end: str = "",
        final: str = "",
    ) -> None:
        self.calls = 0
        self._step_end, self._final = step_end, final
        self._session = session
        self._url = f"{settings['url'].rstrip('/')}/classify"
        self._template = settings["text"]
        self._question = question

    async def ascore(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        texts = [filled(self._template, question=self._question, solution=self._as_generated(text)) for text in steps]
        self.calls += 1
        async with self._session.post(self._url, json={"text": texts}) as response:
            response.raise_for_status()
            rewards = await response.json()
        return [1 / (1 + math.exp(-reward["embedding"][0])) for reward in rewards]

    def score(self, prompt_or_messages: Any, steps: list[str]) -> list[float]:
        raise NotImplementedError("its-hub's algorithms score asynchronously")

    def _as_generated(self, text: str) -> str:
        """A solution that ended, or one whose last step ended."""
        last = text.rpartition(self._step_end)[2] if self._step_end else text
        return text if self._final and self._final in last else text + self._step_end


class ServedOutcomeModel(AbstractOutcomeRewardModel):  # type: ignore[misc]
    """The same rewards, of whole solutions."""

    def __init__(self, rewards: ServedRewardModel) -> None:
        self._rewards = rewards

    async def ascore(self, conversations: Any, orchestrator: Any = None, **more: Any) -> list[float]:
        return await self._rewards.ascore(None, [conversation[-1].content or "" for conversation in conversations])

    def score(self, conversations: Any, **more: Any) -> list[float]:
        raise NotImplementedError("its-hub's best of n scores asynchronously")


class ItsHub:
    """its-hub with a workload's settings."""

    def __init__(self, task: Task, vote: str) -> None:
        self._task = task
        self._settings = task.settings
        self._vote_algorithm = vote
        self._workloads: dict[str, Callable[[Input], Awaitable[str]]] = {
            "self_consistency": self._vote,
            "best_of_n": self._best_of_n,
            "particle_filter": self._particle_filter,
            "beam_search": self._beam_search,
        }
        self._model = CountingModel(task, task.settings)
        self._judge_model = CountingModel(task, task.settings["judge"]) if "judge" in task.settings else self._model
        # Whatever sends requests in a run besides these two.
        self._others: list[CountingModel | ServedRewardModel] = []
        self._seeds = itertools.count()
        self._session = aiohttp.ClientSession()

    async def warm(self) -> None:
        """Do what only a process's first request costs, with a prompt that no input shares."""
        await self._model.agenerate_single([ChatMessage(role="user", content="Hello")], max_completion_tokens=1)

    async def run(self, seed: int, indices: list[int], concurrency: int) -> Outcome:
        """The workload on some inputs, so many at once. The seed is for what its-hub draws by itself."""
        one = self._workloads.get(self._task.workload)
        if one is None:
            raise NotImplementedError(f"its-hub has no {self._task.workload}")
        random.seed(seed)
        numpy.random.seed(seed % 2**32)
        self._others = []
        self._model.calls = self._judge_model.calls = 0
        self._model.seeds = self._seeds = first_seeds(seed)
        places = asyncio.Semaphore(concurrency)

        async def placed(item: Input) -> str | None:
            async with places:
                return self._answer(await one(item))

        # A group: where one input fails the others end with it, and no request of theirs runs into the next command.
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(placed(self._task.inputs[index])) for index in indices]
        except BaseExceptionGroup as failed:
            raise _first(failed) from failed
        calls = sum(each.calls for each in {self._model, self._judge_model, *self._others})
        return Outcome([task.result() for task in tasks], calls)

    def _answer(self, text: str) -> str | None:
        pattern = self._settings.get("answer")
        return text if pattern is None else last_match(pattern, text)

    async def _vote(self, item: Input) -> str:
        shared = {"consistency_space_projection_func": self._answer, "orchestrator": LMOrchestrator(max_concurrency=-1)}
        # Thresholds: its defaults, written out.
        match self._vote_algorithm:
            case "adaptive":
                algorithm = AdaptiveSelfConsistency(0.75, **shared)
            case "beta":
                algorithm = BetaSelfConsistency(0.95, **shared)
            case _:
                algorithm = SelfConsistency(**shared)
        return _content(await algorithm.ainfer(self._model, _messages(item), self._settings["n"]))

    async def _best_of_n(self, item: Input) -> str:
        """By a judge's grade, or by a reward model's."""
        if "reward" in self._settings:
            rewards = ServedRewardModel(self._session, self._settings["reward"], item["values"]["question"])
            self._others.append(rewards)
            algorithm = BestOfN(ServedOutcomeModel(rewards), LMOrchestrator(max_concurrency=-1))
            return _content(await algorithm.ainfer(self._model, _messages(item), self._settings["n"]))
        judge = WorkloadJudge(self._judge_model, self._settings["judge"], item["values"]["question"])
        algorithm = BestOfN(judge, LMOrchestrator(max_concurrency=-1))
        return _content(await algorithm.ainfer(self._model, _messages(item), self._settings["n"]))

    async def _particle_filter(self, item: Input) -> str:
        model, user, steps, rewards = self._by_steps(item)
        return _content(await ParticleFiltering(steps, rewards).ainfer(model, user, self._settings["particles"]))

    async def _beam_search(self, item: Input) -> str:
        model, user, steps, rewards = self._by_steps(item)
        algorithm = BeamSearch(steps, rewards, beam_width=self._settings["width"])
        return _content(await algorithm.ainfer(model, user, self._settings["n"]))

    def _by_steps(self, item: Input) -> tuple[CountingModel, str, StepGeneration, ServedRewardModel]:
        settings = self._settings
        *system, user = item["messages"]
        if len(system) > 1 or user["role"] != "user":
            raise NotImplementedError("its-hub's algorithms over steps take a user's message, and a system's before it")
        model = CountingModel(self._task, settings, system_prompt=system[0]["content"] if system else None)
        final = settings.get("final")
        rewards = ServedRewardModel(
            self._session, settings["reward"], item["values"]["question"], settings["until"], final or ""
        )
        model.seeds = self._seeds
        self._others += [model, rewards]
        steps = StepGeneration(
            max_steps=settings["steps"] - 1,
            step_token=settings["until"],
            stop_token=final,
            temperature=settings["temperature"],
        )
        return model, user["content"], steps, rewards

    async def close(self) -> None:
        """Close the connections."""
        await self._model.close()
        await self._judge_model.close()
        await self._session.close()


def _first(error: BaseException) -> BaseException:
    """What went wrong first, out of groups and of its-hub's summaries of groups."""
    while True:
        group = error if isinstance(error, BaseExceptionGroup) else error.__cause__
        if not isinstance(group, BaseExceptionGroup):
            return error
        error = group.exceptions[0]


def _messages(item: Input) -> list[ChatMessage]:
    return [ChatMessage(role=message["role"], content=message["content"]) for message in item["messages"]]


def _content(message: Mapping[str, Any]) -> str:
    return message["content"] or ""


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--algorithm", choices=VOTES, default="self_consistency", help="the vote of self_consistency")
    options = parser.parse_args()
    # It logs every retry, and warns of its own deprecated calls at every step.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    warnings.simplefilter("ignore", DeprecationWarning)
    peer = ItsHub(task(options), options.algorithm)
    try:
        await peer.warm()
        name = VOTES[options.algorithm] if options.workload == "self_consistency" else "its_hub"
        await serve(name, importlib.metadata.version("its-hub"), peer.run)
    finally:
        await peer.close()


if __name__ == "__main__":
    asyncio.run(main())
