"""The IR: a dataflow graph in static single assignment form with structured, bounded regions.

Read it as a grammar. A `Program` has parameters and one `Block`; a block has parameters, nodes in an order that
respects data dependencies, and yields. A node defines one value (`If`, `Repeat` and `Offline` define several). Blocks
inside `Map`, `Dag`, `If` and `Repeat` may use values of the blocks around them; that of `Offline` sees its params only.
Nothing else orders execution: a node may run as soon as its operands are there, and the elements of a list are
separate events.

Ids are given once, by the builder, from the operation and its place in the source; passes keep them. Random seeds
derive from them, so a pass that preserves values must not rename a `Generate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ttsc.compiler.ir.rules import FirstFinished as FirstFinished
from ttsc.compiler.ir.rules import Greatest as Greatest
from ttsc.compiler.ir.rules import Leading as Leading
from ttsc.compiler.ir.rules import Majority as Majority
from ttsc.compiler.ir.rules import Quantified as Quantified
from ttsc.compiler.ir.rules import Rule as Rule
from ttsc.compiler.ir.rules import Sequential as Sequential
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import Interval as Interval
from ttsc.compiler.values.types import Type
from ttsc.grammar.source import NOWHERE, Span

Constant = str | int | float | bool | None | Abstain | tuple["Constant", ...]


def _span() -> Span:
    return field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA name (`%sample1`) and its type."""

    id: str
    type: Type


# --- nodes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Const:
    result: Value
    value: Constant
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Turn:
    """A context: `parent` (a Context, a Candidate, or None for a new conversation) and one chat message after it.

    `template` is a sandboxed Jinja template over `args`; when `literal`, it is the message itself and there are no
    args.
    """

    result: Value
    parent: Value | None
    role: Literal["system", "user", "assistant"]
    template: str
    args: tuple[tuple[str, Value], ...] = ()
    literal: bool = False
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Generate:
    """`count` continuations of `source` (a Context or Candidate, or a list of them: count each, in order):
    list[Candidate].

    `options`: temperature, top_p, top_k, min_p, max_tokens, until (a str, or any of a list of them: generation stops
    there), `stop_below` (a float) and `window`: it is stopped where its confidence falls below; `top_logprobs`; each a
    value, and `engine` (a record: the engine's own options by name). An option that is a list is a grid: continuation i
    of each source takes element i modulo its length; of `until`, a list of lists. `schema`: the JSON schema (its text,
    or "") that constrains the output. `logprobs`, `confidences`: the candidates know the log-probability, the
    confidence (of `top_logprobs` most probable tokens) of each of their tokens.
    `delimiter`: whether the `until` text stays in the candidate ("keep") or is cut off ("drop").
    `finished`: what happens to a source candidate that already ended by itself: passed through once ("freeze"), left
    out ("drop"), or continued like any other ("continue"). `op` is the operation in the source: sample, branch,
    refine, judge. Scheduling, set by passes and never by the builder: `stream` (a decision reads tokens as they come),
    `share_prefix` (one request warms a cold shared prefix before the others go), and `waves`: the one selection that
    reads the candidates says how many it is sure to need; the others are not started ("gated"), or come after what is
    needed for sure ("ranked").
    """

    result: Value
    op: Literal["sample", "branch", "refine", "judge"]
    source: Value
    count: Value
    options: tuple[tuple[str, Value], ...]
    model: str
    delimiter: Literal["keep", "drop"] = "keep"
    finished: Literal["freeze", "drop", "continue"] = "continue"
    schema: str = ""
    logprobs: bool = False
    confidences: bool = False
    stream: bool = False
    share_prefix: bool = False
    waves: Literal["", "gated", "ranked"] = ""
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Force:
    """`text` (a str, or a list of token ids) appended to what each source candidate has generated, as if the model had
    said it: Candidate or list of them.
    """

    result: Value
    source: Value
    text: Value
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Cut:
    """The beginning of what a source candidate has generated, open again: Candidate or list of them.

    `at`: an int, so many tokens; or a str, everything before the first token at whose end the text holds it.
    """

    result: Value
    source: Value
    at: Value
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Score:
    """What a model makes of given text, without decoding: list[float].

    logprob: the log-probability of each token of `given` (a str) after `source`; without `given`, of what the candidate
    generated. choices: for each of `given` (list[str]), the sum of its tokens' log-probabilities after `source`.
    reward: a reward model's raw output for the candidate cut at the end of each step (`given`: the delimiter, a str),
    or without `given` for the whole. embed: the vector of `source` (a str).
    """

    result: Value
    kind: Literal["logprob", "choices", "reward", "embed"]
    source: Value
    given: Value | None
    model: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Draw:
    """A seeded random operation on values (`values/draws.py`, where `attr` and `args` of each are listed): like `Pure`,
    with random numbers that depend on the run's seed, the node and its rounds alone. resample: a pool by weights.
    select: nodes of a tree. shuffle: a list. random: a number from 0 to below another.
    """

    result: Value
    op: Literal["resample", "select", "shuffle", "random"]
    args: tuple[Value, ...]
    attr: str = ""
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Extern:
    """A call of a host function by its declared name, arguments in declared order.

    `after`: a bool that orders the calls of environment externs: the call begins when it is there.
    """

    result: Value
    name: str
    args: tuple[Value, ...]
    after: Value | None = None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Pure:
    """A deterministic operation on values: arithmetic, text, records, lists (`values/pure.py`). `attr` is a static
    argument.
    """

    result: Value
    op: str
    args: tuple[Value, ...]
    attr: str = ""
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Map:
    """`body` for each element of `over`, each as soon as its element is there.

    mode "map": the list of what the body yields. mode "filter": the elements for which it yields true.
    `body.params` is the element. An element that fails is missing from the result; the others are not held up.
    """

    result: Value
    over: Value
    body: Block
    mode: Literal["map", "filter"] = "map"
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Dag:
    """`body` for each element of `over` as soon as those it needs are done: list of what the body yields, in the order
    of `over`.

    `needs` (list[list[int]]): for each element the indices of the others. `body.params`: the element, and the list of
    the values of those it needs, in the order it names them. `invalid`: what is done about an index that does not
    exist, a self-reference, or the edge that closes a cycle ("fail": the run fails; "drop": the edge is left out).
    An element fails with one that it needs.
    """

    result: Value
    over: Value
    needs: Value
    body: Block
    invalid: Literal["fail", "drop"] = "fail"
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Offline:
    """`body` computed once for each distinct set of `inputs` (its params), and kept between runs.

    `key` names the computation: a digest of its id and its body as the builder made them (`ir/offline.py`), which
    passes leave alone. What is kept belongs to the key, the inputs' values and the models; the seeds inside derive from
    those and not from the run's. Results are data: no candidates or contexts.
    """

    results: tuple[Value, ...]
    id: str
    key: str
    inputs: tuple[Value, ...]
    body: Block
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Select:
    """A named reduction of a list, with its decision rule.

    vote: over answers (list[str] or list[str?]) and `weights` (list[float] or None) -> str; `otherwise` if there is no
    vote (of its type, which may be optional). best: over a list and `keys` (list[float] or list[list[float]]) -> an
    element. keep: the same and `count` -> list. stop_first: over candidates and `count` -> list[Candidate]. leading:
    over a list and `count` -> list. any, all: over list[bool] -> bool.
    `early`, set by a pass: stop what is outstanding as soon as the rule is decided; otherwise wait for all.
    """

    result: Value
    op: Literal["vote", "best", "keep", "stop_first", "leading", "any", "all"]
    over: Value
    rule: Rule
    keys: Value | None = None
    weights: Value | None = None
    count: Value | None = None
    otherwise: Value | None = None
    early: bool = False
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class If:
    """One of two blocks runs; its yields are the results.

    `ahead`, set by a pass: these blocks start before the condition is known, and one that turns out not to be the one
    is given up.
    """

    results: tuple[Value, ...]
    id: str
    condition: Value
    then: Block
    otherwise: Block
    ahead: Literal["", "then", "otherwise", "both"] = ""
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Repeat:
    """`body` runs at most `limit` times. Its params carry values from round to round, beginning with `init`.

    The body yields the next carried values and, last, a bool: true ends the loop. Results are the last carried values.
    `ahead`, set by a pass: a round starts before the bool of the one before is known, and is given up if it is true.
    """

    results: tuple[Value, ...]
    id: str
    limit: Value
    init: tuple[Value, ...]
    body: Block
    ahead: bool = False
    span: Span = _span()


Node = Const | Turn | Generate | Force | Cut | Score | Draw | Extern | Pure | Map | Dag | Offline | Select | If | Repeat


@dataclass(frozen=True, slots=True)
class Block:
    params: tuple[Value, ...]
    nodes: tuple[Node, ...]
    yields: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A program's parameter. Without default it must be given; with `tunable` an optimizer may choose it.

    `oracle`: it knows the answer, and may be given in evaluation only. `known`: its value was compiled in, which is the
    default, and no other may be given.
    """

    value: Value
    name: str
    default: Constant = None
    required: bool = True
    tunable: Interval | tuple[Constant, ...] | None = None
    oracle: bool = False
    known: bool = False


@dataclass(frozen=True, slots=True)
class ModelRole:
    """A declared model role and the model it is bound to unless told otherwise."""

    name: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ExternSignature:
    """What the host must supply: parameter names and types, and the result's type.

    "environment": calls have side effects, are made in order and never in vain. "oracle": evaluation only.
    """

    name: str
    parameters: tuple[tuple[str, Type], ...]
    returns: Type
    kind: Literal["plain", "environment", "oracle"] = "plain"


@dataclass(frozen=True, slots=True)
class StoreSlot:
    """A store the program reads or appends to. `value`: what it holds at the start (list of the item type)."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Limit:
    """One clause of a budget, in the unit of its resource: tokens, calls, seconds, FLOPs, US dollars."""

    resource: Literal["tokens", "calls", "latency", "flops", "eflops", "cost"]
    amount: float


@dataclass(frozen=True, slots=True)
class Program:
    """One compiled program. `body.params`: the parameters' values, then the stores'. `body.yields`: the result, then
    what each store holds at the end, then, if it calls environments, a bool that is there when the last call has ended.
    """

    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    models: tuple[ModelRole, ...]
    externs: tuple[ExternSignature, ...]
    body: Block
    stores: tuple[StoreSlot, ...] = ()
    budget: tuple[Limit, ...] = ()
    span: Span = _span()
