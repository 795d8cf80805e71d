"""What simulated models write comes out as the workload says: accuracies, lengths, steps, revisions, cuts.

Rates are compared within four standard errors of as many draws; seeds are fixed, so nothing here happens by chance.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from statistics import mean

import pytest
from asked_of_simulated import SOLVE, TOKENIZER, WORKLOAD, generate, outcomes, prompt, text

from ttsc.backends.protocol import Turn
from ttsc.backends.simulator.latents import Latent, last_mark, sight
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.backends.simulator.tokenizer import ASSISTANT, END
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import AtTemperature, Question, Revisions, Writing
from ttsc.compiler.values.answers import last_boxed

N = 1600
SAYS = outcomes()


def near(found: Iterable[bool], rate: float) -> bool:
    drawn = list(found)
    return abs(mean(drawn) - rate) <= 4 * math.sqrt(max(rate * (1 - rate), 1e-4) / len(drawn))


def latents(decoded: Decoded) -> tuple[Latent, ...]:
    return sight((ASSISTANT, *decoded.ids)).marks


@cache
def samples(input: int = 0, **more: object) -> list[Decoded]:
    return [SAYS.decode(generate(SOLVE, seed, input=input, **more)) for seed in range(N)]  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_samples_are_right_as_often_as_the_workload_says(place: int) -> None:
    question, right = WORKLOAD.questions[place], SAYS.answers(place).right
    found = [last_boxed(text(each)) for each in samples(place)]
    assert near((each == right for each in found), question.accuracy)
    assert SAYS.decode(generate(SOLVE, 1, input=place + 3)) != SAYS.decode(generate(SOLVE, 1, input=place))
    assert SAYS.answers(place + 3).right == right


@pytest.mark.parametrize("collision", [0.1, 0.5, 1.0])
def test_wrong_answers_agree_as_often_as_the_workload_says(collision: float) -> None:
    says = outcomes(collision=collision, questions=(Question(0.0),))
    found = [last_boxed(text(says.decode(generate(SOLVE, seed)))) for seed in range(N)]
    assert says.answers(0).right not in found
    assert near((a == b for a, b in zip(found[::2], found[1::2], strict=True)), collision)


def test_named_answers_come_with_their_chances() -> None:
    question = Question(0.5, (("12", 0.5), ("14", 0.3), ("", 0.1)), "12")
    says = outcomes(questions=(question,))
    found = [last_boxed(text(says.decode(generate(SOLVE, seed)))) for seed in range(N)]
    assert near((each == "12" for each in found), 0.5)
    assert near((each == "14" for each in found), 0.3)
    assert near((each is None for each in found), 0.1)


@pytest.mark.parametrize(("right", "others"), [("B", "ACDE"), ("no", ("yes",)), ("3.5", None), ("Rome", None)])
def test_made_up_answers_are_of_the_kind_of_the_right_one(right: str, others: Iterable[str] | None) -> None:
    answers = outcomes(questions=(Question(0.2, gold=right),)).answers(0)
    wrong = {answers.text(rank) for rank in range(1, 20)}
    assert right not in wrong
    if others is not None:
        assert wrong == set(others)
    elif right == "3.5":
        assert all(float(each) != 3.5 for each in wrong) and len(wrong) == 19
    else:
        assert all(each.startswith("Rome ") for each in wrong) and len(wrong) == 19


@pytest.mark.parametrize("skill", [-1.0, 0.7])
def test_skill_moves_accuracy_on_the_logit_scale(skill: float) -> None:
    says = outcomes(writing={"default": Writing(Lengths.constant(30), skill=skill)})
    right = (latents(says.decode(generate(SOLVE, seed, input=0)))[-1].right for seed in range(N))
    assert near(right, 1 / (1 + math.exp(-(math.log(0.2 / 0.8) + skill))))


def test_skill_goes_by_temperature() -> None:
    writing = Writing(Lengths.constant(30), by_temperature=((0.2, -1.0), (1.0, 1.0)))
    says = outcomes(writing={"default": writing}, questions=(Question(0.5),))
    for temperature, rate in ((0.2, 0.2689), (0.6, 0.5), (1.5, 0.7311)):
        found = (says.decode(generate(SOLVE, seed, temperature=temperature)) for seed in range(N))
        assert near((latents(each)[-1].right for each in found), rate)


def test_answers_go_by_temperature() -> None:
    """Between two temperatures that were measured, a mixture; a wrong answer may be that of one of them alone."""
    cool = AtTemperature(0.2, 0.9, (("12", 0.9), ("15", 0.1)))
    warm = AtTemperature(1.0, 0.3, (("12", 0.3), ("14", 0.5), ("15", 0.2)))
    question = Question(0.3, warm.answers, "12", by_temperature=(cool, warm))
    says = outcomes(questions=(question,))
    for temperature, rates in ((0.1, (0.9, 0.0, 0.1)), (0.6, (0.6, 0.25, 0.15)), (1.5, (0.3, 0.5, 0.2))):
        found = [last_boxed(text(says.decode(generate(SOLVE, seed, temperature=temperature)))) for seed in range(N)]
        for answer, rate in zip(("12", "14", "15"), rates, strict=True):
            assert near((each == answer for each in found), rate), (temperature, answer)


def test_lengths_are_those_of_the_workload() -> None:
    found = [len(each.ids) for each in samples()]
    assert set(found) == {40, 60, 80}
    assert near((each == 40 for each in found), 1 / 3)
    assert all(each.finish == "eos" and each.ids[-1] == END for each in samples())


def test_max_tokens_cuts() -> None:
    found = samples(max_tokens=60)
    assert {(len(each.ids), each.finish) for each in found} == {(40, "eos"), (60, "eos"), (60, "length")}
    assert all(each.matched is None and END not in each.ids for each in found if each.finish == "length")


def test_a_text_that_was_cut_is_finished_by_the_next_request() -> None:
    """By as many tokens in all as one that was not cut, and with the answer that it was heading for."""
    totals: list[int] = []
    for seed in range(N):
        first = SAYS.decode(generate(SOLVE, seed, max_tokens=30))
        assert first.finish == "length"
        second = SAYS.decode(generate((*SOLVE, *first.ids), seed))
        assert second.finish == "eos"
        totals.append(len(first.ids) + len(second.ids))
        rank = latents(first)[-1].rank
        assert last_boxed(text(first) + text(second)) == SAYS.answers(0).text(rank)
    assert set(totals) == {40, 60, 80} and near((each == 80 for each in totals), 1 / 3)


def test_an_answer_that_was_cut_is_finished() -> None:
    whole = SAYS.decode(generate(SOLVE, 3))
    for cut in range(2, len(whole.ids)):
        rest = SAYS.decode(generate((*SOLVE, *whole.ids[:cut]), 3))
        assert last_boxed(text(Decoded((*whole.ids[:cut], *rest.ids), "eos", END))) == last_boxed(text(whole))


def test_a_stop_string_ends_a_text_at_its_first_token() -> None:
    form = {"default": Writing(Lengths((40, 60)), answer="Answer: {answer}")}
    for seed in range(50):
        found = outcomes(writing=form).decode(generate(SOLVE, seed, stop=("Answer:",), op="branch"))
        assert (found.finish, found.matched) == ("stop", "Answer:")
        assert text(found).endswith("Answer:") and text(found).count("Answer:") == 1
        other = SAYS.decode(generate(SOLVE, seed, stop=("END",)))
        assert (other.finish, other.matched, len(other.ids) in (40, 60, 80)) == ("stop", "END", True)
        assert last_boxed(text(other)) is not None


def test_who_must_go_on_goes_on_to_the_end() -> None:
    found = SAYS.decode(generate(SOLVE, 1, max_tokens=300, ignore_eos=True))
    assert (len(found.ids), found.finish, END in found.ids) == (300, "length", False)


def test_at_temperature_zero_the_same_prompt_says_the_same() -> None:
    cold = {SAYS.decode(generate(SOLVE, seed, temperature=0.0)).ids for seed in range(20)}
    warm = {SAYS.decode(generate(SOLVE, seed, temperature=0.5)).ids for seed in range(20)}
    assert (len(cold), len(warm)) == (1, 20)
    right = [
        latents(SAYS.decode(generate(prompt(("user", f"Question {i}")), 0, input=0, temperature=0.0)))[-1].right
        for i in range(N)
    ]
    assert near(right, 0.2)


def test_lead_ins_are_answered_at_once() -> None:
    ids = prompt(("user", "What is it?"), ("assistant", "The answer is"))
    found = [SAYS.decode(generate(ids, seed, max_tokens=12)) for seed in range(N)]
    assert all(len(each.ids) <= 4 and each.finish == "eos" for each in found)
    assert near((text(each).strip() == SAYS.answers(0).right for each in found), 0.2)
    boxed = (*SOLVE, *TOKENIZER.encode(" so \\boxed{"))
    assert text(SAYS.decode(generate(boxed, 1, max_tokens=12))).endswith("}")


def test_logprobs_are_one_for_each_token_and_tell_right_from_wrong() -> None:
    right, wrong = [], []
    for seed in range(600):
        found = SAYS.decode(generate(SOLVE, seed, input=1, logprobs=True))
        assert found.logprobs is not None and len(found.logprobs) == len(found.ids) and max(found.logprobs) <= 0
        assert found.ids == SAYS.decode(generate(SOLVE, seed, input=1)).ids
        (right if latents(found)[-1].right else wrong).append(mean(found.logprobs))
    assert mean(right) == pytest.approx(-0.3, abs=0.03) and mean(wrong) == pytest.approx(-0.5, abs=0.04)


# --- steps


@cache
def walked(seed: int, input: int, delimiter: str = "\n\n") -> tuple[list[Decoded], str]:
    """A solution written step by step, and its text."""
    ids, parts = SOLVE, []
    while not parts or parts[-1].finish == "stop":
        parts.append(SAYS.decode(generate(ids, seed * 100 + len(parts), "branch", input, stop=(delimiter,))))
        ids = (*ids, *parts[-1].ids)
    return parts, "".join(map(text, parts))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_solutions_written_step_by_step_are_right_as_often(place: int) -> None:
    found = [walked(seed, place) for seed in range(N)]
    right = SAYS.answers(place).right
    assert near((last_boxed(said) == right for _, said in found), WORKLOAD.questions[place].accuracy)
    assert near((len(parts) == 2 for parts, _ in found), 0.5)
    assert {len(parts) for parts, _ in found} == {2, 4}
    assert all(len(part.ids) in (15, 20) for parts, _ in found for part in parts)
    assert all(part.finish == "eos" for parts, _ in found for part in parts[-1:])


def test_a_step_that_is_wrong_is_not_made_good_by_those_after_it() -> None:
    wrong_seen = 0
    for seed in range(300):
        parts, _ = walked(seed, 1, "\n")
        fine = [latents(each)[0].fine for each in parts]
        assert fine == sorted(fine, reverse=True)
        wrong_seen += not fine[-1]
    assert 100 < wrong_seen < 200


def test_whole_solutions_go_wrong_at_a_step_too() -> None:
    """And as often there as step by step: the first of J steps, given that the whole is right with chance 1/2."""
    found = [latents(each) for each in samples(1)]
    assert near((len(each) == 2 for each in found), 0.5)
    first = [not each[0].fine for each in found]
    stepwise = [not latents(walked(seed, 1)[0][0])[0].fine for seed in range(N)]
    assert abs(mean(first) - mean(stepwise)) < 4 * math.sqrt(2 * 0.25 / N)
    assert all(each[-1].right == each[-1].fine for each in found)


def test_half_a_solution_that_is_fine_is_worth_more() -> None:
    """What is missing of a solution is right with the chance of its remaining steps."""
    steps = (SAYS.decode(generate(SOLVE, seed, "branch", 0, stop=("\n\n",))) for seed in range(N))
    ids = (*SOLVE, *next(each.ids for each in steps if latents(each)[-1].fine))
    rest = [SAYS.decode(generate(ids, seed, "branch", 0)) for seed in range(N)]
    share = mean(latents(each)[-1].right for each in rest)
    assert share > 0.2 + 4 * math.sqrt(0.25 / N)


# --- revisions


def refined(drafted: Decoded) -> tuple[int, ...]:
    return (*SOLVE, *drafted.ids, *TOKENIZER.extension_ids(True, [Turn("user", "That is not right. Try again.")]))


def forced(drafted: Decoded) -> tuple[int, ...]:
    return (*SOLVE, *drafted.ids[:-1], *TOKENIZER.encode("Wait, let me check.\n"))


def summed_up(drafted: Decoded) -> tuple[int, ...]:
    return prompt(("user", f"Someone says: {text(drafted)}\nWhat do you say?"))


@pytest.mark.parametrize(
    ("ask", "op"), [(refined, "refine"), (forced, "branch"), (summed_up, "sample")], ids=["refined", "forced", "shown"]
)
def test_revisions_fix_and_break_as_often_as_the_workload_says(
    ask: Callable[[Decoded], tuple[int, ...]], op: str
) -> None:
    drafts = samples(1)
    again = [SAYS.decode(generate(ask(each), seed, op, 1)) for seed, each in enumerate(drafts)]
    pairs = [(latents(a)[-1].right, latents(b)[-1].right) for a, b in zip(drafts, again, strict=True)]
    assert near((after for before, after in pairs if not before), 0.4)
    assert near((not after for before, after in pairs if before), 0.1)
    assert all(last_boxed(text(b)) == SAYS.answers(1).text(latents(b)[-1].rank) for b in again)


def test_revisions_have_rates_of_their_own_by_kind() -> None:
    says = outcomes(revisions={"default": Revisions(0, 0), "refine": Revisions(fixes=1, breaks=0)})
    draft = next(each for each in samples(0) if not latents(each)[-1].right)
    assert latents(says.decode(generate(refined(draft), 1, "refine")))[-1].right
    assert not latents(says.decode(generate(forced(draft), 1, "branch")))[-1].right


def test_after_budget_forcing_the_answer_is_the_candidates_own() -> None:
    draft = samples(0)[0]
    ids = (*SOLVE, *draft.ids[:-1], *TOKENIZER.encode("\nAnswer:"))
    for seed in range(10):
        assert text(SAYS.decode(generate(ids, seed, "branch", max_tokens=12))).strip() == last_boxed(text(draft))


# --- the same everywhere


def test_outcomes_are_the_same_in_every_process() -> None:
    program = (
        "import sys; sys.path.insert(0, 'tests/unit')\n"
        "from asked_of_simulated import SOLVE, generate, outcomes\n"
        "print([outcomes(7).decode(generate(SOLVE, s, 'branch', stop=('\\n',))).ids for s in range(5)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and b"(" in said.pop()


def test_another_seed_is_another_sample() -> None:
    assert outcomes(1).decode(generate(SOLVE, 5)).ids != outcomes(2).decode(generate(SOLVE, 5)).ids


def test_a_candidates_mark_survives_templates_and_strips() -> None:
    found = last_mark(f"\n  - {text(samples(1)[0])}".strip().upper())
    assert found is not None and found[0] == latents(samples(1)[0])[-1]
