"""The Jinja sandbox behind `templates.py`.

Three walls, each enough against the known escapes:
1. The syntax tree is checked against a list of allowed nodes. No calls, macros, imports, includes, blocks, private
   names.
2. Attributes reach record fields, candidate fields and loop counters, never a Python attribute of any other object.
3. Work is metered. The tree is rewritten so that loops, concatenations, comparisons and slices pass through filters
   that draw on one budget per rendering; binary operators are intercepted by Jinja's own hook; output is counted as it
   streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.exceptions import TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ttsc.compiler.values.filters import FILTERS, METERED, TESTS
from ttsc.compiler.values.metering import MAX_NESTING, MAX_TEMPLATE, Budget, Exhausted, Unsuitable, measured, spend, use
from ttsc.compiler.values.pure import EvaluationFailed, text_of
from ttsc.compiler.values.templates import TemplateFailed, TemplateInvalid
from ttsc.compiler.values.types import CANDIDATE_FIELDS

_LOOP_FIELDS = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0"}
)
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign, nodes.Name, nodes.Const,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.CondExpr,
    nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.List, nodes.Tuple, nodes.Concat, nodes.Keyword,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow,
)  # fmt: skip
_FORBIDDEN_NAMES = {
    nodes.Include: "`include`", nodes.Import: "`import`", nodes.FromImport: "`import`", nodes.Extends: "`extends`",
    nodes.Macro: "`macro`", nodes.CallBlock: "`call`", nodes.Block: "`block`", nodes.FilterBlock: "`filter` block",
    nodes.With: "`with`", nodes.AssignBlock: "`set` block", nodes.Call: "a call", nodes.Dict: "a dictionary",
    nodes.ScopedEvalContextModifier: "`autoescape`",
}  # fmt: skip
_RESERVED = frozenset({"self", "super", "caller", "varargs", "kwargs"})
_MAX_POWER_BITS = 256


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template that passed the checks, the names it takes from outside, and whether it has only text and names."""

    template: Template
    variables: tuple[str, ...]
    plain: bool


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja without globals, with our filters, and with attribute access reduced to fields."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._field(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping) or isinstance(argument, str):
            return self._field(obj, argument)
        if isinstance(obj, str | list | tuple) and isinstance(argument, int):
            try:
                return obj[argument]
            except IndexError:
                return self.undefined(f"index {argument} is outside of a list of {len(obj)}")
        return self.undefined(obj=obj, name=str(argument))

    def _field(self, obj: Any, name: Any) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, Mapping):
            return obj[name] if name in obj else self.undefined(f"there is no field `{name}`")
        if isinstance(obj, LoopContext):
            return getattr(obj, name) if name in _LOOP_FIELDS else self.undefined(f"`loop` has no field `{name}`")
        if isinstance(obj, str | int | float | list | tuple) or obj is None or name not in CANDIDATE_FIELDS:
            return self.undefined(f"there is no field `{name}`")
        return getattr(obj, name, self.undefined(f"there is no field `{name}`"))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise Unsuitable("calls are not allowed in prompts")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Undefined):
                side._fail_with_undefined_error()
        return _binary(operator, left, right)


def compiled(template: str) -> Compiled:
    """Parse, check and compile. Raises `TemplateInvalid`."""
    if len(template) > MAX_TEMPLATE:
        raise TemplateInvalid(f"template longer than {MAX_TEMPLATE} characters", 1)
    try:
        tree = _ENVIRONMENT.parse(template)
    except TemplateSyntaxError as failure:
        raise TemplateInvalid(_lower(failure.message or "invalid template"), failure.lineno) from failure
    except (RecursionError, ValueError, OverflowError, MemoryError) as failure:
        raise TemplateInvalid("the template is nested too deeply or cannot be read", 1) from failure
    _check(tree, 0)
    free = find_undeclared_variables(tree)
    names = [node.name for node in tree.find_all(nodes.Name) if node.name in free]
    plain = all(isinstance(node, nodes.Output | nodes.TemplateData | nodes.Name) for node in tree.find_all(nodes.Node))
    try:
        _meter(tree)
        code = _ENVIRONMENT.from_string(tree)
    except (TemplateError, SyntaxError, RecursionError, ValueError, MemoryError) as failure:
        raise TemplateInvalid("the template cannot be compiled", 1) from failure
    return Compiled(code, tuple(dict.fromkeys(names)), plain)


def rendered(program: Compiled, args: Mapping[str, object], limit: int) -> str:
    """Render within the limits. Raises `TemplateFailed`."""
    pieces: list[str] = []
    size = 0
    try:
        with use(Budget()):
            for piece in program.template.generate(dict(args)):
                size += len(piece)
                if size > limit:
                    raise TemplateFailed(f"the text is longer than {limit} characters")
                pieces.append(piece)
    except UndefinedError as failure:
        raise TemplateFailed(_lower(failure.message or "undefined value").replace("'", "`")) from failure
    except (Exhausted, Unsuitable, EvaluationFailed) as failure:
        raise TemplateFailed(str(failure)) from failure
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as failure:
        raise TemplateFailed(f"the template does not fit these arguments: {failure}") from failure
    except (RecursionError, MemoryError) as failure:
        raise TemplateFailed("the template needs too much memory") from failure
    return "".join(pieces)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


# --- wall 1: the tree -----------------------------------------------------------------------------------------------


def _check(node: nodes.Node, depth: int) -> None:
    if depth > MAX_NESTING:
        raise TemplateInvalid("the template is nested too deeply", node.lineno)
    problem = _problem(node)
    if problem:
        raise TemplateInvalid(problem, node.lineno)
    for child in node.iter_child_nodes():
        _check(child, depth + 1)


def _problem(node: nodes.Node) -> str | None:
    if not isinstance(node, _ALLOWED):
        name = _FORBIDDEN_NAMES.get(type(node), f"`{type(node).__name__.lower()}`")
        hint = "; use a filter, as in `{{ x | trim }}`" if isinstance(node, nodes.Call) else ""
        return f"{name} is not allowed in prompts{hint}"
    match node:
        case nodes.Name(name=name) if name.startswith("_") or name in _RESERVED:
            return f"the name `{name}` is not allowed in prompts"
        case nodes.Getattr(attr=name) if name.startswith("_"):
            return f"the field `{name}` is not allowed in prompts"
        case nodes.Getitem(arg=nodes.Const(value=str() as name)) if name.startswith("_"):
            return f"the field `{name}` is not allowed in prompts"
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"there is no filter `{name}` in prompts"
        case nodes.Filter(node=None):
            return "a `filter` block is not allowed in prompts"
        case nodes.Filter() | nodes.Test() if node.dyn_args is not None or node.dyn_kwargs is not None:
            return "`*` arguments are not allowed in prompts"
        case nodes.Test(name=name) if name not in TESTS:
            return f"there is no test `{name}` in prompts"
        case nodes.For(recursive=True):
            return "`recursive` is not allowed in prompts"
    return None


# --- wall 3: metering -----------------------------------------------------------------------------------------------


def _meter(node: nodes.Node) -> int:
    """Rewrite the tree in place, bottom up, and count its nodes: what one pass through it costs."""
    cost = 1 + sum(_meter(child) for child in list(node.iter_child_nodes()))
    for field, value in list(node.iter_fields()):
        if isinstance(value, nodes.Concat):
            setattr(node, field, _joined(value))
        elif isinstance(value, list):
            setattr(node, field, [_joined(v) if isinstance(v, nodes.Concat) else v for v in value])
    match node:
        case nodes.For():
            node.iter = _through("_loop", node.iter, nodes.Const(cost))
        case nodes.Assign():
            node.node = _through("_kept", node.node)
        case nodes.Getitem(arg=nodes.Slice()):
            node.node = _through("_read", node.node)
        case nodes.Compare() | nodes.Operand():
            node.expr = _through("_read", node.expr)
    return cost


def _joined(node: nodes.Concat) -> nodes.Filter:
    """`a ~ b` through a filter that counts."""
    return _through("_concat", nodes.List(node.nodes, lineno=node.lineno))


def _through(name: str, node: nodes.Node, *args: nodes.Expr) -> nodes.Filter:
    made = nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)
    return made.set_environment(_ENVIRONMENT)  # type: ignore[return-value]


def _binary(operator: str, left: Any, right: Any) -> Any:
    """The intercepted operators: numbers within bounds, and joining of texts or lists."""
    spend(1)
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        spend(len(left) + len(right))
        return measured(left + right)
    if operator == "+" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
        spend(len(left) + len(right))
        return measured([*left, *right])
    if operator == "*" and isinstance(left, str) and isinstance(right, int):
        spend(len(left) * max(right, 0))
        return measured(left * right)
    if not all(isinstance(side, int | float) for side in (left, right)):
        raise Unsuitable(f"`{operator}` is not allowed between these values in prompts")
    if operator == "**" and (abs(right) > _MAX_POWER_BITS or int(left).bit_length() * abs(right) > _MAX_POWER_BITS):
        raise Exhausted("the number is too large")
    return measured(_ARITHMETIC[operator](left, right))


_ARITHMETIC: dict[str, Any] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "//": lambda a, b: a // b, "%": lambda a, b: a % b, "**": lambda a, b: a**b,
}  # fmt: skip


def _shown(value: Any) -> str:
    """What `{{ value }}` writes."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, LoopContext):
        raise Unsuitable("`loop` itself cannot be written; use `loop.index`")
    spend(1)
    text = text_of(measured(value))
    spend(len(text))
    return text


def _environment() -> _Environment:
    env = _Environment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
        finalize=_shown, optimized=False, cache_size=0, extensions=(),
    )  # fmt: skip
    env.globals.clear()
    env.filters = {**FILTERS, **METERED}
    env.tests = dict(TESTS)
    env.policies.clear()
    return env


_ENVIRONMENT = _environment()
