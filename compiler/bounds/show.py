"""Expressions in reading order: `n * (rounds + 1)`, `4 * width * |tests|`."""

from __future__ import annotations

from ttsc.compiler.bounds.expr import ONE, Atom, Expr, Monomial, Symbol, difference


def show(e: Expr) -> str:
    """The expression as text. What all terms have in common stands before a parenthesis."""
    if e.infinite:
        return "unbounded"
    if not e.terms:
        return "0"
    common = _common(e)
    if len(e.terms) > 1 and common:
        rest = Expr(tuple((_without(m, common), c) for m, c in e.terms))
        return f"{_product(common)} * ({_terms(rest)})"
    return _terms(e)


def _terms(e: Expr) -> str:
    ordered = sorted(e.terms, key=lambda term: term[1] < 0)
    text = ""
    for monomial, coefficient in ordered:
        if not monomial:
            part = f"{abs(coefficient):,}"
        elif abs(coefficient) == 1:
            part = _product(monomial)
        else:
            part = f"{abs(coefficient):,} * {_product(monomial)}"
        if not text:
            text = part if coefficient > 0 else f"-{part}"
        else:
            text += f" + {part}" if coefficient > 0 else f" - {part}"
    return text


def _common(e: Expr) -> Monomial:
    shared = dict(e.terms[0][0])
    for monomial, _ in e.terms[1:]:
        powers = dict(monomial)
        shared = {each: min(power, powers[each]) for each, power in shared.items() if each in powers}
    return tuple(shared.items())


def _without(monomial: Monomial, common: Monomial) -> Monomial:
    taken = dict(common)
    return tuple((each, power - taken.get(each, 0)) for each, power in monomial if power > taken.get(each, 0))


def _product(monomial: Monomial) -> str:
    return " * ".join(_factor(each) for each, power in monomial for _ in range(power))


def _factor(each: Atom) -> str:
    if isinstance(each, Symbol):
        return "…" if each.name.startswith("…") else each.name
    args = [show(arg) for arg in each.args]
    match each.op:
        case "max" | "min":
            return f"{each.op}({', '.join(args)})"
        case "minus":
            return f"max(0, {_terms(difference(*each.args))})"
        case "ceil_div":
            return f"ceil({_grouped(each.args[0])} / {_grouped(each.args[1])})"
        case "floor_div":
            return f"floor({_grouped(each.args[0])} / {_grouped(each.args[1])})"
        case "power":
            return f"{_grouped(each.args[0])} ** {_grouped(each.args[1])}"
        case "pairs":
            n = each.args[0]
            return f"{_grouped(n)} * ({_terms(difference(n, ONE))}) / 2"


def _grouped(e: Expr) -> str:
    simple = len(e.terms) <= 1 and not (e.terms and (len(e.terms[0][0]) + (e.terms[0][1] != 1) > 1))
    return show(e) if simple else f"({show(e)})"
