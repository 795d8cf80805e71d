"""Workloads as TOML: read, checked, written. docs/workloads.md describes the format.

Reading reports everything that is wrong with a file at once, each with its place.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from ttsc.compiler.cost.distributions import Lengths, beta_means
from ttsc.compiler.cost.workload import (
    AtTemperature,
    Confidence,
    Question,
    Revisions,
    Rewards,
    Verdicts,
    Workload,
    Writing,
)
from ttsc.compiler.cost.workload_document import TABLES, document_of

T = TypeVar("T")

LEAST_COLLISION = 0.01
_HEAD = ("name", "collision", "samples", "questions", "question")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where in the file ("writing.judge.tokens", "line 3"), what, and what to do."""

    place: str
    message: str
    hint: str = ""


class WorkloadInvalid(ValueError):
    """A text is no workload. `faults`: everything that was found, never empty."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{each.place}: {each.message}" for each in faults))
        self.faults = faults


def parse_workload(text: str, name: str = "workload") -> Workload:
    """The workload a TOML text describes; `name` unless it says its own. Raises `WorkloadInvalid`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WorkloadInvalid(Fault("the file", f"it is no TOML: {error}")) from None
    reader = _Reader()
    workload = reader.workload(document, name)
    if reader.faults:
        raise WorkloadInvalid(*reader.faults)
    return replace(workload, hash=content_hash(workload))


def workload_text(workload: Workload) -> str:
    """The TOML that reads as this workload: distributions as their values, tables in the order of their names."""
    import tomli_w

    return tomli_w.dumps(document_of(workload))


def content_hash(workload: Workload) -> str:
    """Of what a workload says: its name, how it is written and comments make no difference."""
    document = {name: each for name, each in document_of(workload).items() if name != "name"}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def default_workload() -> Workload:
    """The built-in one, for when none is given: short word problems, answered by a small model.

    Nobody measured it. Sixteen inputs whose accuracies spread from hopeless to easy (beta, mean 0.57); solutions of 72
    tokens on average; steps of 24, two to five to a solution; verifiers and reward models that help but err.
    """
    workload = Workload(
        name="built-in",
        questions=tuple(Question(round(each, 6)) for each in beta_means(2.0, 1.5, 16)),
        writing={
            "default": Writing(Lengths.lognormal(72, 0.35), Lengths((2, 3, 4, 5)), _BOTH),
            "branch": Writing(Lengths.lognormal(24, 0.3), Lengths((2, 3, 4, 5)), _BOTH),
            "judge": Writing(Lengths.constant(2)),
        },
        verdicts={"default": Verdicts(0.85, 0.25)},
        rewards={
            "default": Rewards(1.0, 1.0, -1.0, 1.0),
            "judge": Rewards(8.0, 1.5, 4.5, 2.5, low=0.0, high=10.0, whole=True),
        },
        revisions={"default": Revisions(0.15, 0.05)},
        confidence={"default": Confidence()},
        collision=0.3,
    )
    return replace(workload, hash=content_hash(workload))


_BOTH = "\\boxed{{{answer}}}\nAnswer: {answer}"
"""Both ways in which the programs of the repository ask for the answer."""


# --- reading --------------------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def workload(self, document: Mapping[str, Any], name: str) -> Workload:
        self._unknown("", document, (*_HEAD, *TABLES))
        questions = self._questions(document)
        writing = self._table(document, "writing", self._writing)
        if not writing:
            self._fault("writing", "nothing says how long texts are", "add [writing.default] with `tokens`")
        collision = self._number(document, "", "collision", 0.3, LEAST_COLLISION, 1)
        samples = document.get("samples", 0)
        if not isinstance(samples, int) or isinstance(samples, bool) or samples < 0:
            self._fault("samples", f"{samples!r} is no number of samples")
            samples = 0
        said = document.get("name", name)
        if not isinstance(said, str):
            self._fault("name", f"{said!r} is no text")
        return Workload(
            name=str(said),
            questions=questions,
            writing=writing,
            verdicts=self._table(document, "verdicts", self._verdicts),
            rewards=self._table(document, "rewards", lambda place, table: self._numbers(place, table, Rewards)),
            revisions=self._table(document, "revisions", lambda place, table: self._numbers(place, table, Revisions)),
            confidence=self._table(document, "confidence", lambda at, table: self._numbers(at, table, Confidence)),
            collision=collision,
            samples=samples,
        )

    def _fault(self, place: str, message: str, hint: str = "") -> None:
        self.faults.append(Fault(place, message, hint))

    def _unknown(self, place: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                where = f"{place}.{name}" if place else name
                self._fault(where, "unknown name", f"here may stand {', '.join(known)}")

    def _table(
        self, document: Mapping[str, Any], name: str, read: Callable[[str, Mapping[str, Any]], T]
    ) -> dict[str, T]:
        tables = document.get(name, {})
        if not isinstance(tables, Mapping):
            self._fault(name, "it is no table", f"write [{name}.default]")
            return {}
        found: dict[str, T] = {}
        for key, table in tables.items():
            if isinstance(table, Mapping):
                found[key] = read(f"{name}.{key}", table)
            else:
                self._fault(f"{name}.{key}", "it is no table", f"write [{name}.default], or a kind's name for default")
        return found

    # --- questions ---

    def _questions(self, document: Mapping[str, Any]) -> tuple[Question, ...]:
        listed, named = document.get("question"), document.get("questions")
        if (listed is None) == (named is None):
            self._fault("question", "inputs are described by [questions] or by [[question]] tables, one of them")
            return (Question(0.5),)
        if listed is not None:
            if not isinstance(listed, list) or not listed:
                self._fault("question", "it is no list of tables", "write [[question]] before each")
                return (Question(0.5),)
            return tuple(self._listed(f"question {i}", each) for i, each in enumerate(listed, 1))
        if not isinstance(named, Mapping):
            self._fault("questions", "it is no table", "write [questions] with `values` or `beta`")
            return (Question(0.5),)
        return self._drawn(named)

    def _drawn(self, table: Mapping[str, Any]) -> tuple[Question, ...]:
        self._unknown("questions", table, ("values", "beta", "count", "prompt_tokens"))
        accuracies: tuple[float, ...] = ()
        match table:
            case {"values": [*values]} if "beta" not in table and "count" not in table:
                accuracies = tuple(each for each in values if _is_number(each) and 0 <= each <= 1)
                if len(accuracies) != len(values):
                    self._fault("questions.values", "accuracies are numbers from 0 to 1")
            case {"beta": [a, b]} if "values" not in table and all(_is_number(each) and each > 0 for each in (a, b)):
                count = table.get("count", 32)
                if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= 100_000:
                    accuracies = beta_means(a, b, count)
                else:
                    self._fault("questions.count", f"{count!r} is no number of inputs")
            case _:
                self._fault("questions", "they have no accuracies", "write `values = [0.2, 0.7]`, or `beta = [2, 1]`")
        if not accuracies:
            if not any(each.place.startswith("questions") for each in self.faults):
                self._fault("questions.values", "there are none")
            return (Question(0.5),)
        prompt = self._prompt_tokens("questions", table)
        return tuple(Question(each, prompt_tokens=prompt) for each in accuracies)

    def _listed(self, place: str, table: object) -> Question:
        if not isinstance(table, Mapping):
            self._fault(place, "it is no table")
            return Question(0.5)
        self._unknown(place, table, ("accuracy", "answers", "gold", "prompt_tokens", "weight", "by_temperature"))
        given = table.get("answers", {})
        answers: dict[str, float] = {}
        if isinstance(given, Mapping) and all(_is_number(each) and each >= 0 for each in given.values()):
            answers = dict(given)
        else:
            self._fault(
                f"{place}.answers", "answers have probabilities", 'write `answers = { "12" = 0.6, "14" = 0.1 }`'
            )
        if math.fsum(answers.values()) > 1 + 1e-6:
            self._fault(f"{place}.answers", f"their probabilities sum up to {math.fsum(answers.values()):g}")
        gold = table.get("gold")
        if gold is not None and not isinstance(gold, str):
            self._fault(f"{place}.gold", "it is no text", f'write `gold = "{gold}"`')
            gold = str(gold)
        known = "accuracy" in table or not answers
        right = answers.get(gold, 0.0) if gold is not None else max(answers.values(), default=0.0)
        accuracy = self._number(table, place, "accuracy", None, 0, 1) if known else min(1.0, right)
        if answers and known and gold is not None and gold in answers and abs(right - accuracy) > 1e-3:
            self._fault(f"{place}.accuracy", f"it is {accuracy:g}, and the probability of {gold!r} is {right:g}")
        weight = self._number(table, place, "weight", 1.0, 0, math.inf)
        rows = self._warm(f"{place}.by_temperature", table.get("by_temperature", []), gold)
        return Question(accuracy, tuple(answers.items()), gold, self._prompt_tokens(place, table), weight, rows)

    def _warm(self, place: str, rows: object, gold: str | None) -> tuple[AtTemperature, ...]:
        """Rows of a question; each is read as one, of the same right answer."""
        if not isinstance(rows, list) or not all(isinstance(each, Mapping) for each in rows):
            self._fault(place, "it is no list of tables", "write [[question.by_temperature]] before each")
            return ()
        found = []
        for number, row in enumerate(rows, 1):
            at = f"{place} {number}"
            self._unknown(at, row, ("temperature", "accuracy", "answers"))
            told = {name: row[name] for name in ("accuracy", "answers") if name in row}
            read = self._listed(at, told if gold is None else {**told, "gold": gold})
            found.append(AtTemperature(self._number(row, at, "temperature", None, 0, 100), read.accuracy, read.answers))
        degrees = [each.temperature for each in found]
        if not self.faults and degrees != sorted(set(degrees)):
            self._fault(place, "temperatures are not ascending")
        return tuple(found)

    def _prompt_tokens(self, place: str, table: Mapping[str, Any]) -> int | None:
        value = table.get("prompt_tokens")
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            return value
        self._fault(f"{place}.prompt_tokens", f"{value!r} is no number of tokens")
        return None

    # --- kinds ---

    def _writing(self, place: str, table: Mapping[str, Any]) -> Writing:
        self._unknown(place, table, tuple(each.name for each in fields(Writing)))
        tokens = self._lengths(f"{place}.tokens", table.get("tokens"))
        steps = self._lengths(f"{place}.steps", table["steps"]) if "steps" in table else None
        if steps is not None and steps.values[0] < 1:
            self._fault(f"{place}.steps", "a solution has at least one step")
        answer = table.get("answer", Writing(tokens).answer)
        if not isinstance(answer, str) or not _takes_answer(answer):
            self._fault(
                f"{place}.answer", f"{answer!r} has no place for the answer", "write `answer = 'Answer: {answer}'`"
            )
            answer = "{answer}"
        warm = "temperature" in table
        temperature = self._number(table, place, "temperature", 0.0, 0, math.inf) if warm else None
        skill = self._number(table, place, "skill", 0.0, -50, 50)
        return Writing(tokens, steps, answer, temperature, skill, self._by_temperature(place, table))

    def _by_temperature(self, place: str, table: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
        rows = table.get("by_temperature", [])
        pairs = isinstance(rows, list) and all(
            isinstance(row, list) and len(row) == 2 and all(_is_number(each) for each in row) for row in rows
        )
        if pairs and [row[0] for row in rows] == sorted({row[0] for row in rows}):
            return tuple((row[0], row[1]) for row in rows)
        hint = "write `by_temperature = [[0.5, 0.2], [1.0, 0.0]]`: temperatures, and skill relative to the others"
        self._fault(f"{place}.by_temperature", "it is no list of pairs, ascending in the first", hint)
        return ()

    def _lengths(self, place: str, table: object) -> Lengths:
        try:
            match table:
                case {"values": [*values], **rest} if not rest and all(_is_count(each) for each in values):
                    return Lengths(tuple(sorted(values)))
                case {"constant": value, **rest} if not rest and _is_count(value):
                    return Lengths.constant(value)
                case {"lognormal": {"mean": mean, "cv": cv, **more}, **rest} if (
                    not rest and not more and _is_number(mean) and _is_number(cv)
                ):
                    return Lengths.lognormal(mean, cv)
                case {"quantiles": [*pairs], **rest} if not rest and all(_is_pair(each) for each in pairs):
                    return Lengths.from_quantiles([(share, value) for share, value in pairs])
        except ValueError as error:
            self._fault(place, str(error))
            return Lengths.constant(1)
        what = "nothing says how long they are" if table is None else f"{_short(table)} is no distribution of lengths"
        ways = "{ values = [80, 120] }, { constant = 100 }, { lognormal = { mean = 100, cv = 0.5 } }"
        self._fault(place, what, f"write one of {ways}, {{ quantiles = [[0, 20], [0.5, 90], [1, 400]] }}")
        return Lengths.constant(1)

    def _verdicts(self, place: str, table: Mapping[str, Any]) -> Verdicts:
        plain = {name: value for name, value in table.items() if name != "by_accuracy"}
        found = self._numbers(place, plain, Verdicts)
        for name in ("true_positive", "false_positive", "no_verdict"):
            if not 0 <= getattr(found, name) <= 1:
                self._fault(f"{place}.{name}", "it is no probability")
        rows = table.get("by_accuracy", [])
        shares = isinstance(rows, list) and all(
            isinstance(row, list) and len(row) == 3 and all(_is_number(each) and 0 <= each <= 1 for each in row)
            for row in rows
        )
        if not shares or [row[0] for row in rows] != sorted({row[0] for row in rows}):
            rows = "[[0.0, 0.7, 0.4], [0.5, 0.9, 0.2]]"
            hint = f"write `by_accuracy = {rows}`: from this accuracy on, true and false positives"
            self._fault(f"{place}.by_accuracy", "it is no list of three shares each, ascending in the first", hint)
            return found
        return replace(found, by_accuracy=tuple((row[0], row[1], row[2]) for row in rows))

    def _numbers(self, place: str, table: Mapping[str, Any], kind: type[T]) -> T:
        """A dataclass of numbers and bools."""
        known = {each.name: each for each in fields(kind) if each.name != "by_accuracy"}  # type: ignore[arg-type]
        self._unknown(place, table, tuple(known))
        found: dict[str, Any] = {}
        for name, value in table.items():
            if name not in known:
                continue
            if known[name].default is False:
                if not isinstance(value, bool):
                    self._fault(f"{place}.{name}", f"{value!r} is neither true nor false")
                    continue
            elif not _is_number(value):
                self._fault(f"{place}.{name}", f"{value!r} is no number")
                continue
            elif kind is Revisions and not 0 <= value <= 1:
                self._fault(f"{place}.{name}", "it is no probability")
            elif name.endswith("_sd") and value < 0:
                self._fault(f"{place}.{name}", "a standard deviation is not negative")
            found[name] = value
        return kind(**found)

    def _number(
        self, table: Mapping[str, Any], place: str, name: str, default: float | None, low: float, high: float
    ) -> float:
        value = table.get(name, default)
        where = f"{place}.{name}" if place else name
        if value is None:
            self._fault(where, "it is missing")
        elif not _is_number(value) or not low <= value <= high:
            wanted = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number, {low:g} or more"
            self._fault(where, f"{_short(value)} is not {wanted}")
        else:
            return float(value)
        return low


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(each) for each in value)


def _takes_answer(form: str) -> bool:
    try:
        return form.format(answer="\0") != form.format(answer="")
    except (LookupError, ValueError):
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
