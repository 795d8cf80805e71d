"""What simulated models make of candidates: verdicts, grades, rewards, log-probabilities, JSON."""

from __future__ import annotations

import json
import math
from functools import cache
from statistics import NormalDist, mean, pstdev

import pytest
from asked_of_simulated import SOLVE, TOKENIZER, WORKLOAD, generate, outcomes, prompt, reward, text
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulated_outcomes import SAYS, N, latents, near, samples

from ttsc.backends.protocol import EmbedRequest, Origin, ScoreRequest, Turn
from ttsc.backends.simulator.judging import is_right
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.compiler.cost.workload import Confidence, Question, Rewards, Verdicts
from ttsc.compiler.values.answers import last_boxed, last_number
from ttsc.compiler.values.schema import read, schema_text
from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, ListOf, OptionalOf, RecordType


@cache
def candidates(place: int = 1) -> tuple[list[Decoded], list[Decoded]]:
    """Right ones and wrong ones."""
    drawn = samples(place)
    return [each for each in drawn if latents(each)[-1].right], [each for each in drawn if not latents(each)[-1].right]


def verify(candidate: Decoded) -> tuple[int, ...]:
    return prompt(
        ("system", "Reply Yes if it is right, and No if not."), ("user", f"It says: {text(candidate)}\nRight?")
    )


def verdicts(says: object, found: list[Decoded], place: int = 1, **more: object) -> list[str]:
    asked = (generate(verify(each), seed, "judge", place, **more) for seed, each in enumerate(found))  # type: ignore[arg-type]
    return [text(says.decode(each)) for each in asked]  # type: ignore[attr-defined]


def test_verdicts_are_as_reliable_as_the_workload_says() -> None:
    right, wrong = candidates()
    accepted, rejected = verdicts(SAYS, right), verdicts(SAYS, wrong)
    assert set(accepted) | set(rejected) == {"Yes", "No"}
    assert near((each == "Yes" for each in accepted), 0.8)
    assert near((each == "Yes" for each in rejected), 0.3)


def test_verdicts_go_by_how_difficult_the_question_is() -> None:
    says = outcomes(verdicts={"judge": Verdicts(by_accuracy=((0.0, 0.0, 0.0), (0.4, 1.0, 1.0)), no_verdict=0.25)})
    easy, hard = candidates(1)[0], candidates(0)[0]
    assert set(verdicts(says, hard, 0)) == {"No", "Hm"}
    assert near((each == "Yes" for each in verdicts(says, easy, 1)), 0.75)


def test_whether_two_candidates_say_the_same() -> None:
    says = outcomes(verdicts={"default": Verdicts(1.0, 0.0)})
    right, wrong = candidates()
    other = next(each for each in wrong if latents(each)[-1].rank != latents(wrong[0])[-1].rank)
    for a, b, verdict in ((right[0], right[1], "Yes"), (right[0], wrong[0], "No"), (wrong[0], other, "No")):
        ids = prompt(("user", f"First: {text(a)}\nSecond: {text(b)}\nIs the answer the same? Yes or no."))
        assert text(says.decode(generate(ids, 1, "judge", 1))) == verdict


def test_a_judge_without_a_mark_in_front_of_it_looks_for_the_answer() -> None:
    says = outcomes(verdicts={"default": Verdicts(1.0, 0.0)})
    right = SAYS.answers(1).right
    for given_, verdict in ((right, "Yes"), (right + "0", "No"), ("7", "No")):
        ids = prompt(("system", "Yes or No?"), ("user", f"Is {given_} right?"))
        assert text(says.decode(generate(ids, 1, "judge", 1))) == verdict


def grade(candidate: Decoded, max_tokens: int = 4) -> str:
    ids = prompt(("system", "Grade it from 0 to 10, with a number."), ("user", f"{text(candidate)}\nGrade:"))
    return text(SAYS.decode(generate(ids, len(candidate.ids) + max_tokens, "judge", 1, max_tokens)))


def test_grades_are_whole_numbers_and_tell_right_from_wrong() -> None:
    right, wrong = ([int(grade(each)) for each in found] for found in candidates())
    assert min(*right, *wrong) >= 0 and max(*right, *wrong) <= 10
    assert mean(right) > mean(wrong) + 2


def test_a_reply_with_room_has_other_forms_of_a_judgement_too() -> None:
    says = outcomes(writing={**WORKLOAD.writing, "judge": WORKLOAD.writing["default"]})
    said = text(says.decode(generate(prompt(("user", f"What of it?\n{text(candidates()[0][0])}")), 1, "judge", 1)))
    assert said.startswith(("Yes", "No")) and last_number(said) is not None


def test_a_reply_in_a_form_of_its_own() -> None:
    from ttsc.compiler.cost.distributions import Lengths
    from ttsc.compiler.cost.workload import Writing

    says = outcomes(writing={**WORKLOAD.writing, "judge": Writing(Lengths.constant(9), answer="Score: {answer}!")})
    found = says.decode(generate(prompt(("user", f"Grade it.\n{text(candidates()[0][0])}")), 1, "judge", 1))
    assert text(found).startswith("Score: ") and "!" in text(found) and len(found.ids) == 9


def test_of_two_candidates_the_right_one_wins_more_often() -> None:
    right, wrong = candidates()
    wins = []
    for seed, (a, b) in enumerate(zip(right, wrong, strict=False)):
        pair = (text(a), text(b)) if seed % 2 else (text(b), text(a))
        ids = prompt(("user", f"A: {pair[0]}\nB: {pair[1]}\nWhich is better, A or B?"))
        said = text(SAYS.decode(generate(ids, seed, "judge", 1)))
        assert said in ("A", "B")
        wins.append(said == ("A" if seed % 2 else "B"))
    assert 0.7 < mean(wins) < 0.98


# --- reward models


def rewarded(found: list[Decoded], says: object = SAYS, input: int = 1) -> list[float]:
    return [says.rewards(reward((*SOLVE, *each.ids), input))[0] for each in found]  # type: ignore[attr-defined]


def test_rewards_have_the_moments_and_the_auc_of_the_workload() -> None:
    right, wrong = (rewarded(each) for each in candidates())
    assert mean(right) == pytest.approx(1.0, abs=4 / math.sqrt(len(right)))
    assert mean(wrong) == pytest.approx(-1.0, abs=6 / math.sqrt(len(wrong)))
    assert pstdev(right) == pytest.approx(1.0, rel=0.1) and pstdev(wrong) == pytest.approx(1.5, rel=0.1)
    above = mean(a > b for a in right[:400] for b in wrong[:400])
    assert above == pytest.approx(NormalDist().cdf(2 / math.sqrt(1 + 1.5**2)), abs=0.05)


def test_what_questions_have_in_common_and_limits_of_rewards() -> None:
    own = Rewards(0, 0.1, 0, 0.1, question_sd=5.0)
    says = outcomes(rewards={"default": own}, questions=tuple(Question(0.5) for _ in range(60)))
    found = [rewarded(candidates()[0][:5], says, place) for place in range(60)]
    assert pstdev(map(mean, found)) == pytest.approx(5, rel=0.35) and max(map(pstdev, found)) < 0.3
    bounded = outcomes(rewards={"default": Rewards(1, 5, 0, 5, low=0, high=3, whole=True)})
    assert set(rewarded(candidates()[0], bounded)) == {0.0, 1.0, 2.0, 3.0}


def test_rewards_of_steps_are_of_the_steps_so_far() -> None:
    says = outcomes(rewards={"default": Rewards(1, 0, -1, 0)})
    late = 0
    for each in candidates()[1][:200]:
        fine = [latent.fine for latent in latents(each)]
        ends = [place for place in range(1, len(each.ids)) if TOKENIZER.decode(each.ids[:place]).endswith("\n\n")]
        values = [says.rewards(reward((*SOLVE, *each.ids[:end]), 1))[0] for end in (*ends, len(each.ids))]
        assert values == [1.0 if right else -1.0 for right in fine]
        late += fine[0]
    assert late > 20
    closed = [*SOLVE, *candidates()[0][0].ids[:-1], *TOKENIZER.extension_ids(False, [Turn("user", "")])[:1]]
    assert says.rewards(reward(tuple(closed), 1)) == (1.0,)


def test_equal_requests_have_equal_rewards() -> None:
    assert rewarded(candidates()[0][:20]) == rewarded(candidates()[0][:20])
    assert len(set(rewarded(candidates()[0][:20]))) == 20


# --- log-probabilities, choices, vectors


def score(ids: tuple[int, ...], start: int, op: str = "logprob") -> ScoreRequest:
    return ScoreRequest("r", ids, start, origin=Origin("s1", op, "policy", 0, "s1#0", 1))


def test_log_probabilities_of_given_text() -> None:
    says = outcomes(confidence={"default": Confidence(-0.2, 0.0, -1.0, 0.0)})
    for found, level in zip(candidates(), (-0.2, -1.0), strict=True):
        values = [x for each in found[:100] for x in says.scores(score((*SOLVE, *each.ids), len(SOLVE)))]
        assert len(values) == sum(len(each.ids) for each in found[:100]) and max(values) <= 0
        assert mean(values) == pytest.approx(level, rel=0.06)


def test_choices_are_verdicts_or_answers() -> None:
    def odds(before: tuple[int, ...], option: str) -> float:
        span = TOKENIZER.encode(option)
        values = SAYS.scores(score((*before, *span), len(before), "choices"))
        assert len(values) == len(span)
        return math.exp(math.fsum(values))

    right, wrong = candidates()
    for found, rate in ((right, 0.8), (wrong, 0.3)):
        before = [verify(each) for each in found]
        assert near((odds(each, "Yes") > odds(each, "No") for each in before), rate)
    assert odds(SOLVE, SAYS.answers(1).right) > odds(SOLVE, "something else")


def test_candidates_with_the_same_answer_are_near_each_other() -> None:
    def vector(of: str) -> tuple[float, ...]:
        return SAYS.embed(EmbedRequest("r", tuple(TOKENIZER.encode(of))))

    def likeness(a: str, b: str) -> float:
        return sum(x * y for x, y in zip(vector(a), vector(b), strict=True))

    right, wrong = candidates()
    assert likeness(text(right[0]), text(right[1])) == pytest.approx(1)
    assert likeness(text(right[0]), text(wrong[0])) < 0.9
    assert likeness("the river Aller", "The Aller, the river") > likeness("the river Aller", "horses of Verden") + 0.3


# --- JSON

VERDICT = RecordType(
    "Verdict",
    (("right", BOOL), ("grade", INT), ("share", FLOAT), ("faults", ListOf(STR, 2)), ("note", OptionalOf(STR))),
)
SOLUTION = RecordType("Solution", (("steps", STR), ("answer", STR)))


@settings(deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([VERDICT, SOLUTION, ListOf(SOLUTION, 3), ListOf(INT), STR, OptionalOf(INT)])
)
def test_json_conforms(seed: int, kind: object) -> None:
    schema = schema_text(kind)  # type: ignore[arg-type]
    said = SAYS.decode(generate(SOLVE, seed, schema=schema))
    assert said.finish == "eos"
    read(text(said), schema)
    cut = SAYS.decode(generate(SOLVE, seed, schema=schema, max_tokens=3))
    assert len(cut.ids) <= 3


def test_limits_of_a_field_are_kept() -> None:
    schema = (
        '{"type":"object","properties":{"grade":{"type":"integer","minimum":3,"maximum":5},"kind":{"enum":["a","b"]}}}'
    )
    found = [json.loads(text(SAYS.decode(generate(SOLVE, seed, schema=schema)))) for seed in range(60)]
    assert {each["grade"] for each in found} == {3, 4, 5} and {each["kind"] for each in found} == {"a", "b"}


def test_json_answers_are_right_as_often_and_as_long_as_the_workload_says() -> None:
    found = [SAYS.decode(generate(SOLVE, seed, input=1, schema=schema_text(SOLUTION))) for seed in range(N)]
    assert near((json.loads(text(each))["answer"] == SAYS.answers(1).right for each in found), 0.5)
    assert mean(len(each.ids) for each in found) == pytest.approx(60, abs=3)


def test_json_verdicts_are_about_the_candidate() -> None:
    says = outcomes(verdicts={"default": Verdicts(1.0, 0.0)})
    for found, verdict in zip(candidates(), (True, False), strict=True):
        said = says.decode(generate(verify(found[0]), 1, "sample", 1, schema=schema_text(VERDICT)))
        assert json.loads(text(said))["right"] is verdict


# --- results


def test_whether_a_result_is_right() -> None:
    right, wrong = (text(each[0]) for each in candidates())
    answer = SAYS.answers(1).right
    known = [(right, True), (wrong, False), (answer, True), (last_boxed(wrong), False), (None, False), ("", False)]
    known += [(int(answer), True), (int(answer) + 1, False), ({"text": right, "score": 0}, True)]
    known += [(7.5, None), (True, None), ([right], None), ("neither", None)]
    assert [is_right(WORKLOAD, 1, value) for value, _ in known] == [expected for _, expected in known]
