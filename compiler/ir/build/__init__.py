"""The checked program as a graph."""

from __future__ import annotations

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build.logprobs import with_logprobs
from ttsc.compiler.ir.build.statements import Returns, StatementBuilder
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.check import Checked
from ttsc.compiler.values.types import Interval
from ttsc.grammar.diagnostics import InternalError


def build(checked: Checked, name: str) -> ir.Program:
    """The graph of one program of a checked file. Raises KeyError if there is none of that name."""
    program = next((p for p in checked.programs if p.name == name), None)
    if program is None:
        raise KeyError(name)
    return build_program(program)


def build_program(program: typed.Program) -> ir.Program:
    """The graph of a checked program."""
    name = program.name
    builder = StatementBuilder(program.returns, frozenset(p.name for p in program.parameters))
    parameters = tuple(_parameter(p) for p in program.parameters)
    stores = tuple(ir.StoreSlot(s.name, builder.fresh(f"store_{s.name}", s.symbol.type)) for s in program.stores)
    env = {p.symbol: q.value for p, q in zip(program.parameters, parameters, strict=True)}
    env.update((s.symbol, slot.value) for s, slot in zip(program.stores, stores, strict=True))
    with builder.block() as nodes:
        if program.environment is not None:
            env[program.environment] = builder.const(True)
        exit_ = builder.statements(program.body, env)
    if not isinstance(exit_, Returns):
        raise InternalError(f"program '{name}' passed the check and can end without returning")
    built = ir.Program(
        program.name,
        program.doc,
        parameters,
        tuple(ir.ModelRole(m.name, m.default) for m in program.models),
        tuple(builder.externs.values()),
        ir.Block(
            (*(p.value for p in parameters), *(slot.value for slot in stores)),
            tuple(nodes),
            (
                exit_.value,
                *(env[store.symbol] for store in program.stores),
                *(() if program.environment is None else (env[program.environment],)),
            ),
        ),
        stores,
        tuple(ir.Limit(limit.resource, limit.amount) for limit in program.budget),
        program.span,
    )
    return with_logprobs(built)


def _parameter(p: typed.Parameter) -> ir.Parameter:
    tunable: Interval | tuple[ir.Constant, ...] | None
    if isinstance(p.tunable, Interval):
        tunable = Interval(p.tunable.low, p.tunable.high)
    else:
        tunable = p.tunable
    return ir.Parameter(ir.Value(p.name, p.type), p.name, p.default, p.required, tunable, p.oracle)
