"""What a known pattern is expected to give and to take, by closed forms: accuracy, counts and seconds of one input.

Assumed: samples are independent, and as long whether right or wrong; all of a pool decode together, an input by itself.
Lengths, accuracies and verdicts are those of the workload, the answers of a wrong sample its histogram or `collision`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ttsc.compiler.cost.closed.choosing import best_of_each, score_levels
from ttsc.compiler.cost.closed.draws import Standings
from ttsc.compiler.cost.closed.patterns import Amount, Check, Pattern, Setting
from ttsc.compiler.cost.closed.stopping import windowed
from ttsc.compiler.cost.closed.timing import Prompt, Timing, judged, raced
from ttsc.compiler.cost.closed.verified import rates, verified_vote
from ttsc.compiler.cost.closed.voting import Votes, wrong_answers
from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.steps import Machine
from ttsc.compiler.cost.workload import Question, Rewards, Verdicts, Workload, Writing, of_kind
from ttsc.compiler.ir.nodes import Sequential

GRADES = Rewards(8.0, 1.5, 4.5, 2.5, low=0.0, high=10.0, whole=True)
"""Of judges, where the workload says nothing of theirs: what the simulator takes, too."""

_ROWS = 2048
"""Sequences of votes that are drawn where there is no sum, over all inputs together."""

_MOST_STANDINGS = 40

_EXACT_WORK = 3e7
"""Beyond so many operations votes are drawn and not summed: `most` squared times the answers, over all inputs."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one input, on average. error: standard error of the accuracy, 0 where it is exact. counts: by model role.
    votes: how many candidates are there when it is decided.
    """

    accuracy: float
    error: float
    counts: Mapping[str, Counts]
    seconds: float
    votes: float


@dataclass
class Forecast:
    """Closed forms of one pattern on one workload, for settings whose pools have at most `most` candidates.

    machines: by model role. prompts: by node. Tables that settings share are made once.
    """

    pattern: Pattern
    workload: Workload
    machines: Mapping[str, Machine]
    prompts: Mapping[str, Prompt]
    most: int
    seed: int = 0
    _votes: dict[tuple[float, ...], Votes] = field(default_factory=dict)
    _wrongs: dict[Question, tuple[tuple[float, ...], float]] = field(default_factory=dict)
    _questions: dict[float, tuple[Question, ...]] = field(default_factory=dict)
    _standings: dict[tuple[int | tuple[float, ...], ...], Standings] = field(default_factory=dict)

    def at(self, setting: Setting) -> Expected:
        """Raises `KeyError` for a kind of request that the workload says nothing of."""
        n, chances, valid = self._pool(setting)
        if self._degrees(setting) == 0:  # all samples are one
            accuracy, error, _ = self._outcome(setting, 1, chances, valid)
            finished = (0.0,) * (n - 1) + (1.0,)
        else:
            accuracy, error, finished = self._outcome(setting, n, chances, valid)
        return self.ended(setting, finished, accuracy, error)

    def ended(
        self, setting: Setting, finished: Sequence[float], accuracy: float, error: float = 0.0, warm: bool = False
    ) -> Expected:
        """What it takes if it ends after i + 1 candidates with chance `finished[i]`. warm: the pool's prompt is in the
        cache since the same input ran before.
        """
        pattern = self.pattern
        n, chances, valid = self._pool(setting)
        lengths = _capped(self._written().tokens, pattern.pool.max_tokens, setting)
        timing = self._timing(setting, n, lengths, finished, chances, valid, warm)
        counts = {pattern.pool.role: timing.counts}
        seconds = timing.seconds
        if pattern.check is not None:
            checked = self._checked(setting, pattern.check, n, finished)
            counts[pattern.check.role] = counts.get(pattern.check.role, Counts()) + checked.counts
            seconds += checked.seconds
        votes = math.fsum((i + 1) * chance for i, chance in enumerate(finished))
        return Expected(accuracy, error, counts, seconds, votes)

    def standings(self, setting: Setting) -> Standings:
        """Draws of the votes of a setting's samples."""
        _, chances, valid = self._pool(setting)
        return self._drawn(self._masses(self._asked(setting), chances, _rounded(valid, 128)))

    def _pool(self, setting: Setting) -> tuple[int, list[float], float]:
        """Candidates, the chance of each input that one is right, and the chance that one ends by itself."""
        pool, writing = self.pattern.pool, self._written()
        skill = writing.skill_at(self._degrees(setting))
        chances = [skilled(each.accuracy, skill) for each in self._asked(setting)]
        return _number(pool.count, setting, 1), chances, _valid(writing.tokens, pool.max_tokens, setting)

    def _asked(self, setting: Setting) -> tuple[Question, ...]:
        """The inputs, as samples at the setting's temperature are."""
        degrees = self._degrees(setting)
        if degrees not in self._questions:
            self._questions[degrees] = tuple(each.at(degrees) for each in self.workload.questions)
        return self._questions[degrees]

    def _degrees(self, setting: Setting) -> float:
        temperature = self.pattern.pool.temperature.of(setting)
        return float(temperature) if isinstance(temperature, int | float) else 0.7

    def _written(self) -> Writing:
        return _writing(self.workload, self.pattern.pool.node, "sample", self.pattern.pool.role)

    def _outcome(
        self, setting: Setting, n: int, chances: Sequence[float], valid: float
    ) -> tuple[float, float, tuple[float, ...]]:
        """Accuracy, its error, and the chance that it is decided after each number of candidates."""
        pattern, questions = self.pattern, self._asked(setting)
        everything = (0.0,) * (n - 1) + (1.0,)
        match pattern.choice:
            case "one":
                return self._mean([p * valid for p in chances]), 0.0, everything
            case "best":
                assert pattern.check is not None
                levels = score_levels(self._rewards(pattern.check))
                return self._mean(best_of_each([p * valid for p in chances], n, *levels)), 0.0, everything
            case "race":
                k = min(_number(pattern.count, setting, 1), n)
                finished = (0.0,) * (k - 1) + (1.0,) + (0.0,) * (n - k)
                accuracy, error = self._voted(questions, chances, _finished_share(valid, k, n), k)
                return accuracy, error, finished if pattern.early else everything
            case "vote":
                if isinstance(pattern.rule, Sequential):
                    rule = pattern.rule
                    table = self._drawn(self._masses(questions, chances, _rounded(valid, 128)))
                    found = table.stopped(n, rule.stop, rule.confidence, rule.share, rule.window)
                    return found.right, found.error, found.votes
                accuracy, error = self._voted(questions, chances, valid, n)
            case "verified":
                assert pattern.check is not None
                verdicts = self._verdicts(pattern.check)
                told = [rates(verdicts, each.accuracy) for each in self.workload.questions]
                parts = []
                for each, p, rate in zip(questions, chances, told, strict=True):
                    right, answered = self._answered(each, p, valid)
                    parts.append(verified_vote(self._table(each), right, n, rate, pattern.otherwise, answered))
                accuracy, error = self._mean(parts), 0.0
        if not pattern.early:
            return accuracy, error, everything
        masses = self._masses(questions, chances, _rounded(valid, 32))
        if pattern.choice == "verified":
            masses = [
                tuple(share * (rate.right if i == 0 else rate.wrong) for i, share in enumerate(each))
                for each, rate in zip(masses, told, strict=True)
            ]
        return accuracy, error, self._drawn(masses, _ROWS // 4).stopped(n, "exact").votes

    def _voted(
        self, questions: Sequence[Question], chances: Sequence[float], valid: float, n: int
    ) -> tuple[float, float]:
        """The accuracy of a vote of n, summed exactly or drawn."""
        kinds = {self._wrong(each)[0] for each in questions}
        if sum(self.most**2 * len(each) * math.log(self.most + 1) for each in kinds) <= _EXACT_WORK:
            parts = []
            for each, p in zip(questions, chances, strict=True):
                right, answered = self._answered(each, p, valid)
                parts.append(self._table(each).accuracy(right, n, answered))
            return self._mean(parts), 0.0
        found = self._drawn(self._masses(questions, chances, valid)).stopped(n, "exact")
        return found.right, found.error

    def _timing(
        self,
        setting: Setting,
        n: int,
        lengths: Lengths,
        finished: Sequence[float],
        chances: Sequence[float],
        valid: float,
        warm: bool,
    ) -> Timing:
        pattern, questions = self.pattern, self._asked(setting)
        machine, prompt = self.machines[pattern.pool.role], self.prompts[pattern.pool.node]
        prompt = replace(prompt, computed=prompt.others) if warm else prompt
        rule = pattern.rule
        if not isinstance(rule, Sequential) or not rule.wave or not pattern.early:
            return raced(machine, prompt, lengths, n, finished)
        if rule.stop == "esc":
            ended = self._mean([windowed(each, n, rule.window) for each in self._masses(questions, chances, 1.0)])
            if valid < 1:
                ended = math.fsum((i + 1) * chance for i, chance in enumerate(finished))
            rounds = {min(rule.window, n): ended / min(rule.window, n)}
        else:
            table = self._drawn(self._masses(questions, chances, _rounded(valid, 128)))
            rounds = table.rounds(n, rule.stop, rule.confidence, rule.share, rule.wave)
        total = Timing(Counts(), 0.0)
        for size, times in rounds.items():
            once = raced(machine, prompt, lengths, size, (0.0,) * (size - 1) + (1.0,))
            total = Timing(total.counts + once.counts.times(times), total.seconds + once.seconds * times)
        return total

    def _checked(self, setting: Setting, check: Check, n: int, finished: Sequence[float]) -> Timing:
        most = check.max_tokens
        if check.kind == "reward":
            lengths = Lengths((0,))
        else:
            lengths = _capped(_writing(self.workload, check.node, "judge", check.role).tokens, most, setting)
        asked = math.fsum((i + 1) * chance for i, chance in enumerate(finished))
        return judged(self.machines[check.role], self.prompts[check.node], lengths, asked)

    def _verdicts(self, check: Check) -> Verdicts:
        found = of_kind(self.workload.verdicts, check.node, "judge", check.role)
        return Verdicts() if found is None else found

    def _rewards(self, check: Check) -> Rewards:
        """A judge's grades have no default among reward models' outputs."""
        if check.kind == "reward":
            return of_kind(self.workload.rewards, check.node, "reward", check.role) or Rewards()
        named = {name: each for name, each in self.workload.rewards.items() if name != "default"}
        return of_kind(named, check.node, "judge", check.role) or GRADES

    def _masses(self, questions: Sequence[Question], chances: Sequence[float], valid: float) -> list[tuple[float, ...]]:
        masses = []
        for question, p in zip(questions, chances, strict=True):
            wrong, silent = self._wrong(question)
            masses.append((p * valid, *((1 - p) * (1 - silent) * valid * share for share in wrong)))
        return masses

    def _answered(self, question: Question, p: float, valid: float) -> tuple[float, float]:
        """P(right | it gives an answer), P(it gives one)."""
        answers = p + (1 - p) * (1 - self._wrong(question)[1])
        return (p / answers if answers else 0.0), valid * answers

    def _wrong(self, question: Question) -> tuple[tuple[float, ...], float]:
        """Of samples that are not right: chances of the answers of those that give one, and the share of those that
        give none. Measured as far as the workload lists them; the rest by `collision`.
        """
        if question not in self._wrongs:
            self._wrongs[question] = _wrong_of(question, self.workload.collision)
        return self._wrongs[question]

    def _table(self, question: Question) -> Votes:
        wrong, _ = self._wrong(question)
        if wrong not in self._votes:
            self._votes[wrong] = Votes(wrong, self.most)
        return self._votes[wrong]

    def _drawn(self, masses: Sequence[tuple[float, ...]], rows: int = _ROWS) -> Standings:
        key: tuple[int | tuple[float, ...], ...] = (rows, *masses)
        if key not in self._standings:
            if len(self._standings) >= _MOST_STANDINGS:
                del self._standings[next(iter(self._standings))]
            draws = max(16, rows // len(masses))
            weights = [each.weight for each in self.workload.questions]
            self._standings[key] = Standings(masses, self.most, draws, self.seed, weights)
        return self._standings[key]

    def _mean(self, values: Sequence[float]) -> float:
        weights = [each.weight for each in self.workload.questions]
        return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / math.fsum(weights)


def _finished_share(valid: float, k: int, n: int) -> float:
    """The chance that one of the first k of n to finish gives an answer: one that is cut off comes after all others."""
    there = [math.comb(n, i) * valid**i * (1 - valid) ** (n - i) for i in range(n + 1)]
    return math.fsum(chance * min(i, k) for i, chance in enumerate(there)) / k


def _rounded(share: float, parts: int) -> float:
    """So that settings that differ little share draws."""
    return max(1, round(share * parts)) / parts


def skilled(accuracy: float, skill: float) -> float:
    """An accuracy moved by `skill` on the logit scale; 0 and 1 stay."""
    if not 0 < accuracy < 1 or skill == 0:
        return accuracy
    return 1 / (1 + math.exp(-(math.log(accuracy / (1 - accuracy)) + skill)))


def _wrong_of(question: Question, collision: float) -> tuple[tuple[float, ...], float]:
    made_up = wrong_answers(collision)
    gold = question.gold
    if gold is None and question.answers:
        gold = max(question.answers, key=lambda each: each[1])[0]
    listed = [(text, share) for text, share in question.answers if text != gold and share > 0]
    if not listed:
        return made_up, 0.0
    rest = max(0.0, 1 - question.accuracy - math.fsum(share for _, share in listed))
    total = rest + math.fsum(share for _, share in listed)
    silent = math.fsum(share for text, share in listed if not text) / total
    if silent >= 1:
        return made_up, 1.0
    said = [share / total for text, share in listed if text]
    said += [rest / total * share for share in made_up] if rest > 1e-6 else []
    whole = math.fsum(said)
    return tuple(sorted((each / whole for each in said), reverse=True)), silent


def _writing(workload: Workload, node: str, op: str, role: str) -> Writing:
    found = of_kind(workload.writing, node, op, role)
    if found is None:
        raise KeyError(f"{op}:{role}")
    return found


def _number(amount: Amount, setting: Setting, least: int) -> int:
    value = amount.of(setting)
    assert isinstance(value, int)
    return max(least, value)


def _capped(lengths: Lengths, most: Amount, setting: Setting) -> Lengths:
    cap = most.of(setting)
    return lengths.capped(cap) if isinstance(cap, int) else lengths


def _valid(lengths: Lengths, most: Amount, setting: Setting) -> float:
    """P(a sample ends by itself): one that is cut off gives no answer."""
    cap = most.of(setting)
    return 1 - lengths.survival(cap) if isinstance(cap, int) else 1.0
