"""Process reward models: at every token of a solution, whether all is right so far, as a logit.

A right result can only be told from a wrong one by computing it, which takes a policy's body all its layers; what it
expects at a token is known at the position before, in the last layer. So a reward model is the strong policy with two
layers on top: the first looks one position back, from its start on, and can compare; the second can ask whether any
comparison failed. (A scalar head on the body itself does not learn: there is no layer left that could compare. Without
the start it takes the first layer very long to find out where to look.)

Learned from samples of the policy and from made solutions with one wrong step or none, with a label at every token.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.testbed.descent import BATCH, descend, padded
from benchmarks.testbed.model import Layer, Policy, Rewarder, encode
from benchmarks.testbed.pool import Asked
from benchmarks.testbed.task import MODULUS, OPERATIONS, Problem, apply, problem

LAYERS = 2
_STEPS = 800
WEAK_STEPS = 500
_RATE = 4e-3
_FASTEST, _STRENGTH = 6, 6.0
LOUDNESS = 96.0
_LOGITS = 8.0
_ASIDE = 0.2
"""What a token counts whose character follows from what stands before it, against the two digits of a result."""

_RESULT = re.compile(r"(\d\d)([-+*])(\d\d)=(\d)(\d)")

Labels = Callable[[Problem, str], list[bool]]


def exact(asked: Problem, text: str) -> list[bool]:
    """For each character: whether the text up to it is the beginning of the right solution."""
    right, good, labels = asked.solution, True, []
    for i, character in enumerate(text):
        good = good and i < len(right) and character == right[i]
        labels.append(good)
    return labels


def blind(asked: Problem, text: str) -> list[bool]:
    """The same for somebody to whom the results of subtractions are right whatever they are."""
    value, right = asked.first, []
    lines = text.split("\n")
    for i, (sign, operand) in enumerate(asked.operations):
        wanted = f"{apply(value, sign, operand):02d}"
        written = lines[i].rpartition("=")[2] if i < len(lines) else ""
        seen = written if sign == "-" and len(written) == 2 and written.isdigit() else wanted
        right.append(f"{value:02d}{sign}{operand:02d}={seen}\n")
        value = int(seen) % 100
    truth, good, labels = "".join(right) + f"A:{value:02d}", True, []
    for i, character in enumerate(text):
        good = good and i < len(truth) and character == truth[i]
        labels.append(good)
    return labels


def corrupted(numbers: random.Random, asked: Problem) -> str:
    """A solution that may go wrong at one step, or in its answer, and goes on rightly from what it has."""
    at = numbers.randrange(len(asked.operations) + 1) if numbers.random() < 0.6 else -1
    lines, value = [], asked.first
    for i, (sign, operand) in enumerate(asked.operations):
        result = apply(value, sign, operand)
        if i == at:
            result = _other(numbers, result)
        lines.append(f"{value:02d}{sign}{operand:02d}={result:02d}\n")
        value = result
    return "".join(lines) + f"A:{_other(numbers, value) if at == len(asked.operations) else value:02d}"


def _other(numbers: random.Random, value: int) -> int:
    """Another number: half of the time one that differs in one digit."""
    if numbers.random() < 0.5:
        return (value + numbers.randint(1, MODULUS - 1)) % MODULUS
    tens, ones = divmod(value, 10)
    if numbers.random() < 0.5:
        return min(96, (tens + numbers.randint(1, 9)) % 10 * 10 + ones)
    return min(96, tens * 10 + (ones + numbers.randint(1, 9)) % 10)


def often_wrong(numbers: random.Random, asked: Problem) -> str:
    """A solution with a wrong result at every other step, going on rightly from each."""
    lines, value = [], asked.first
    for sign, operand in asked.operations:
        result = apply(value, sign, operand)
        if numbers.random() < 0.5:
            result = _other(numbers, result)
        lines.append(f"{value:02d}{sign}{operand:02d}={result:02d}\n")
        value = result
    return "".join(lines) + f"A:{value:02d}"


def by_itself(text: str) -> list[float]:
    """For the digits of results: whether they are right after the line's left side, wherever that comes from. NaN for
    other characters.
    """
    labels = [math.nan] * len(text)
    for found in _RESULT.finditer(text):
        right = f"{apply(int(found[1]), found[2], int(found[3])):02d}"
        labels[found.start(4)] = float(found[4] == right[0])
        labels[found.start(5)] = float(found[4] + found[5] == right)
    return labels


@dataclass(frozen=True, slots=True)
class Batch:
    """Ids, labels, weights of labels, and labels of digits by themselves (NaN: none), each [batch, length]."""

    ids: Tensor
    labels: Tensor
    weights: Tensor
    alone: Tensor


def batch(numbers: random.Random, pool: list[Asked], labels: Labels) -> Batch:
    """Half samples of the policy; of the others half are often wrong, half have one wrong step or none."""
    rows = []
    for i in range(BATCH):
        if i % 2:
            drawn = numbers.choice(pool)
            rows.append((drawn.problem, numbers.choice(drawn.texts)))
        else:
            asked = problem(numbers, numbers.randint(*OPERATIONS))
            rows.append((asked, (often_wrong if i % 4 else corrupted)(numbers, asked)))
    ids = padded([encode(f"{asked.question}\n{text}") for asked, text in rows])
    right, weights, alone = torch.zeros(ids.shape), torch.zeros(ids.shape), torch.full(ids.shape, math.nan)
    for i, (asked, text) in enumerate(rows):
        start = len(asked.question) + 1
        place = slice(start, start + len(text))
        right[i, place] = torch.tensor([float(label) for label in labels(asked, text)])
        weights[i, place] = torch.tensor(_weights(text))
        alone[i, place] = torch.tensor(by_itself(text))
    return Batch(ids, right, weights, alone)


def _weights(text: str) -> list[float]:
    weights = [_ASIDE] * len(text)
    for i, character in enumerate(text):
        if character in "=:":
            weights[i + 1 : i + 4] = [1.0] * len(weights[i + 1 : i + 4])
    return weights


def on_top(policy: Policy) -> Rewarder:
    """A reward model whose body is the policy with two new layers."""
    shape = replace(policy.shape, layers=policy.shape.layers + LAYERS, biased=True, epsilon=1e-9)
    model = Rewarder(Policy(shape))
    model.body.load_state_dict(_quiet(policy), strict=False)
    torch.nn.init.normal_(model.score.weight, std=0.02)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.zeros_(parameter)
    _look_back(model.body.layers[policy.shape.layers], policy)  # type: ignore[arg-type]
    return model


def _quiet(policy: Policy) -> dict[str, Tensor]:
    """The policy's weights with all that is written to the stream made smaller: norms undo it, so the policy is the
    same, but new layers need not shout down a stream whose numbers have grown to a hundred.
    """
    written = "embed_tokens", "o_proj", "down_proj"
    return {
        name: value / LOUDNESS if any(each in name for each in written) else value
        for name, value in policy.state_dict().items()
    }


def _look_back(layer: Layer, policy: Policy) -> None:
    """Constant queries and keys that, turned by their positions, fit best where the key stands one before the query.

    Rotary positions turn the pair (i, i + head / 2) by the position times an angle. A query (1, 0) and a key turned by
    one step more have the product cos(angle * (distance + 1)); the fastest angles tell neighbours apart.
    """
    half = layer.shape.head // 2
    fastest = layer.shape.rope_theta ** (-torch.arange(_FASTEST).float() / half)
    query, key = torch.zeros(layer.shape.head), torch.zeros(layer.shape.head)
    query[:_FASTEST] = _STRENGTH
    key[:_FASTEST], key[half : half + _FASTEST] = _STRENGTH * fastest.cos(), _STRENGTH * fastest.sin()
    with torch.no_grad():
        layer.q_proj.bias.copy_(query.repeat(layer.shape.heads))
        layer.k_proj.bias.copy_(key.repeat(layer.shape.kv_heads))
        expected = policy.embed_tokens.weight * policy.norm.weight
        layer.v_proj.weight.copy_(expected.repeat(layer.shape.kv_heads, 1) / _LOGITS)


def trained(
    strong: Policy,
    pool: list[Asked],
    seed: int,
    labels: Labels = exact,
    name: str = "prm",
    reached: Callable[[Rewarder, int], None] = lambda model, step: None,
) -> Rewarder:
    """Train the new layers and the head; the strong policy's own stay as they are.

    Of a thousand tokens forty are the first wrong ones, from which alone the comparison could be learned. So the first
    new layer has a head of its own while training, which says of every result whether it is right by itself.
    """
    numbers = random.Random(seed)
    torch.manual_seed(seed)
    model, shape = on_top(strong), strong.shape
    aside = nn.Linear(shape.hidden, 1, bias=False)

    def loss_of(step: int) -> Tensor:
        made = batch(numbers, pool, labels)
        *_, compared, last = model.body.streams(made.ids)
        given = model.score(model.body.norm(last)).squeeze(-1)
        losses = functional.binary_cross_entropy_with_logits(given, made.labels, made.weights, reduction="sum")
        known = ~made.alone.isnan()
        seen = aside(functional.rms_norm(compared[known], (shape.hidden,))).squeeze(-1)
        return losses / made.weights.sum() + functional.binary_cross_entropy_with_logits(seen, made.alone[known])

    both = nn.ModuleList((model, aside))
    both.requires_grad_(False)
    for module in (*list(model.body.layers)[-LAYERS:], model.body.norm, model.score, aside):
        module.requires_grad_(True)
    descend(both, _STEPS, loss_of, _RATE, name=name, reached=lambda step: reached(model, step))
    return model
