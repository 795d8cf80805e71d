"""A rendered prompt is never larger than its bound: templates of every construct, with values of every kind."""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st

from ttsc.compiler.bounds.sources import measured, utf8
from ttsc.compiler.bounds.templates import message
from ttsc.compiler.values.templates import TemplateFailed, TemplateInvalid, render

TEXTS = st.text(alphabet='ab ß\n"\\\t\x01é{}', max_size=12)
SIMPLE = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
RECORDS = st.fixed_dictionaries({"text": TEXTS, "n": st.integers(-5, 10**6), "parts": st.lists(TEXTS, max_size=3)})
ARGUMENTS = st.fixed_dictionaries(
    {
        "s": TEXTS,
        "t": TEXTS,
        "x": SIMPLE,
        "xs": st.lists(TEXTS, max_size=4),
        "ns": st.lists(st.integers(), max_size=4),
        "r": RECORDS,
        "rs": st.lists(RECORDS, max_size=3),
    }
)
EXPRESSIONS = (
    "s",
    "t",
    "x",
    "xs",
    "ns",
    "r",
    "rs",
    "r.text",
    "r['n']",
    "r.parts",
    "rs[0].text",
    "xs[1]",
    "xs[0:2]",
    "s[1]",
    "s[1:]",
    "s ~ t ~ 3",
    "s + t",
    "s * 3",
    "xs + r.parts",
    "ns[0] + 7",
    "ns[0] * ns[0]",
    "ns[0] ** 2",
    "-ns[0]",
    "7 / 3",
    "7 // 2",
    "s if x else t",
    "x or s",
    "x and t",
    "x == s",
    "x is none",
    "not x",
    "['é', s]",
    "s|upper",
    "s|lower",
    "s|trim",
    "s|length",
    "xs|length",
    "xs|join",
    "xs|join(', ')",
    "rs|join('; ', attribute='text')",
    "xs|join(separator=t)",
    "xs|first",
    "xs|last",
    "xs|list",
    "s|list",
    "s|replace('a', t)",
    "s|replace('a', 'bcd', 1)",
    "x|default('none given')",
    "x|default(s, true)",
    "s|indent",
    "s|indent(3, true)",
    "s|indent('--')",
    "s|tojson",
    "r|tojson",
    "rs|tojson(2)",
    "s|string",
    "x|string",
    "x|int(5)",
    "x|float",
    "ns|first|round",
    "2.5|round(1)",
    "xs|d('')",
)


@st.composite
def templates(draw: st.DrawFn, depth: int = 0) -> str:
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 6 if depth < 2 else 2))
        expression = draw(st.sampled_from(EXPRESSIONS))
        inner = draw(templates(depth=depth + 1)) if kind > 2 else ""
        match kind:
            case 0:
                parts.append(draw(st.sampled_from(["Grade: ", "é\n", "x"])))
            case 1 | 2:
                parts.append(f"{{{{ {expression} }}}}")
            case 3:
                parts.append(f"{{% if {expression} %}}{inner}{{% else %}}{{{{ t }}}}{{% endif %}}")
            case 4:
                parts.append(f"{{% for each in xs %}}{{{{ loop.index }}}} {{{{ each }}}}{inner}{{% endfor %}}")
            case 5:
                parts.append(f"{{% for each in rs %}}{{{{ each.text }}}}{inner}{{% else %}}none{{% endfor %}}")
            case _:
                parts.append(f"{{% set s = {expression} %}}{inner}")
    return "".join(parts)


@settings(max_examples=400, deadline=None)
@given(templates(), ARGUMENTS)
def test_no_message_is_larger_than_its_bound(template: str, arguments: dict[str, object]) -> None:
    note(template)
    try:
        text = render(template, arguments)
    except (TemplateFailed, TemplateInvalid):
        return
    bound = message(template, {name: measured(value) for name, value in arguments.items()}, utf8, literal=False)
    note(f"{text!r} {bound}")
    assert utf8(text) <= (bound.tokens.number or 0)
    assert len(text) <= (bound.chars.number or 0)
