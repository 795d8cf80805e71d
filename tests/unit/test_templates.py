"""Prompt templates: what they can say, and what a hostile one cannot do."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ttsc.compiler.values.templates import TemplateFailed, TemplateInvalid, is_static, render, variables


def test_text_without_syntax_is_its_own_result() -> None:
    text = "100% {plain} \\boxed{} }} \r\n"
    assert is_static(text)
    assert render(text, {}) == text
    assert variables(text) == ()


def test_variables_are_in_order_of_appearance() -> None:
    assert variables("{{ question }} {% for d in drafts %}{{ d }}{{ loop.index }}{% endfor %}{{ question }}") == (
        "question",
        "drafts",
    )
    assert variables("{% set a = 3 %}{{ a }}{% raw %}{{ x }}{% endraw %}") == ()


@pytest.mark.parametrize(
    ("template", "args", "expected"),
    [
        (
            "{% for d in drafts %}\n{{ loop.index }}. {{ d }}\n{% endfor %}\nend\n",
            {"drafts": ("x", "y")},
            "1. x\n2. y\nend\n",
        ),
        ("{{ a }} {{ b }} {{ c }} {{ d }}", {"a": True, "b": None, "c": 1.5, "d": ("é", 1)}, 'true none 1.5 ["é", 1]'),
        ("{{ a ~ (b ~ 1)|upper }}", {"a": "x", "b": "y"}, "xY1"),
        ("{% for i in a ~ b %}{{ i }},{% endfor %}", {"a": "x", "b": "y"}, "x,y,"),
        ("{{ 'many' if n > 2 else 'few' }} {{ n + 1 }} {{ xs[0] }} {{ xs[1:]|join('/') }}", {"n": 3, "xs": list("pqr")},
         "many 4 p q/r"),
        ("{{ r.a }}{{ r['a'] }}", {"r": {"a": 1}}, "11"),
        ("{{ c.text }} {{ c.tokens }} {{ c }}", {"c": SimpleNamespace(text="t", tokens=3)}, "t 3 t"),
        ("{{ x|default('none yet') }}", {}, "none yet"),
        ("{{ x|trim|lower|replace('a', 'b')|length }}", {"x": " AA "}, "2"),
        ("{{ 'a\nb'|indent(2) }} {{ 2.567|round(1) }} {{ '7'|int + 1 }} {{ xs|first }}{{ xs|last }}", {"xs": "pq"},
         "a\n  b 2.6 8 pq"),
        ("{{ x|tojson }}", {"x": ["</b>", {"k": None}]}, '["</b>", {"k": null}]'),
        ("{{ xs|join(', ', attribute='text') }}", {"xs": [SimpleNamespace(text="t")]}, "t"),
        ("<b>{{ x }}</b>", {"x": "<i>"}, "<b><i></b>"),
        ("{{ question }}\n", {"question": "{{ 7 * 7 }}"}, "{{ 7 * 7 }}\n"),
    ],
)  # fmt: skip
def test_rendering(template: str, args: dict[str, object], expected: str) -> None:
    assert render(template, args) == expected


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("a\n{{ x", 2, "unexpected end"),
        ("{% if x %}", 1, "unexpected end"),
        ("\n{% include 'x' %}", 2, "`include`"),
        ("{% import 'x' as y %}", 1, "`import`"),
        ("{% from 'x' import y %}", 1, "`import`"),
        ("{% extends 'x' %}", 1, "`extends`"),
        ("{% macro f() %}{% endmacro %}", 1, "`macro`"),
        ("{% call x() %}{% endcall %}", 1, "`call`"),
        ("{% block x %}{% endblock %}", 1, "`block`"),
        ("{% filter upper %}x{% endfilter %}", 1, "`filter`"),
        ("{% set x %}y{% endset %}", 1, "`set`"),
        ("{% for a in x recursive %}{{ a }}{% endfor %}", 1, "`recursive`"),
        ("{{ ''.__class__.__mro__ }}", 1, "`__mro__`"),
        ("{{ x['__class__'] }}", 1, "`__class__`"),
        ("{{ x|attr('__class__') }}", 1, "no filter `attr`"),
        ("{{ x|map('upper') }}", 1, "no filter `map`"),
        ("{{ x is filter }}", 1, "no test `filter`"),
        ("{{ x|_loop(1) }}", 1, "no filter `_loop`"),
        ("{{ self.__init__.__globals__ }}", 1, "`__globals__`"),
        ("{{ self }}", 1, "`self`"),
        ("{{ _x }}", 1, "`_x`"),
        ("{{ x.upper() }}", 1, "a call"),
        ("{{ '{0.__class__}'.format(x) }}", 1, "a call"),
        ("{{ range(10) }}", 1, "a call"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", 1, "a call"),
        ("{{ lipsum.__globals__['os'] }}", 1, "`__globals__`"),
        ("{{ namespace(a=1) }}", 1, "a call"),
        ("{{ x|join(*y) }}", 1, "`*` arguments"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 1, "nested too deeply"),
        ("{{ 1" + " + 1" * 5000 + " }}", 1, "nested too deeply"),
        ("{{ x }}" * 50_000, 1, "longer than"),
    ],
)
def test_invalid_templates(template: str, line: int, words: str) -> None:
    with pytest.raises(TemplateInvalid) as caught:
        variables(template)
    assert words in caught.value.message
    assert caught.value.line == line
    with pytest.raises(TemplateInvalid):
        render(template, {"x": "a", "y": []})


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ x }}", "`x` is undefined"),
        ("{{ lipsum }}", "undefined"),
        ("{{ config }}", "undefined"),
        ("{{ loop }}", "undefined"),
        ("{{ secret[key] }}", "no field `__class__`"),
        ("{{ secret.password }}", "no field `password`"),
        ("{{ word.upper }}", "no field `upper`"),
        ("{{ record.items }}", "no field `items`"),
        ("{% for a in many %}{{ loop.cycle }}{% endfor %}", "no field `cycle`"),
        ("{% for a in many %}{{ loop }}{% endfor %}", "`loop` itself"),
        ("{{ many[key] }}", "no field"),
        ("{{ many[100000] }}", "outside"),
        ("{{ '%s' % word }}", "`%` is not allowed"),
        ("{{ '%1000000000d' % 5 }}", "`%` is not allowed"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ many - 1 }}", "not allowed"),
    ],
)
def test_failing_templates(template: str, words: str) -> None:
    args = {
        "secret": SimpleNamespace(password="p"),
        "word": "w",
        "key": "__class__",
        "record": {"a": 1},
        "many": tuple(range(100)),
    }
    with pytest.raises(TemplateFailed) as caught:
        render(template, args)
    assert words in caught.value.message


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 9 ** 99999999 }}",
        "{{ word|indent(1000000000) }}",
        "{{ word|replace('a', long) }}",
        "{{ 'a'|replace('a', long)|replace('a', long) }}",
        "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in many %}{% for b in many %}{{ word }}{% endfor %}{% endfor %}",
        "{% for a in many %}{% for b in many %}{% if long[1:] == long %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in many %}{% for b in many %}{% if 'b' in long %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in many %}{{ (long|upper)|length }}{% endfor %}",
        "{% set x = long %}" + "{% set x = x ~ x %}" * 40 + "{{ x|length }}",
        "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
        "{% set x = [1] %}" + "{% set x = x + x %}" * 40 + "{{ x|length }}",
        "{% for a in many %}{{ many|join(long) }}{% endfor %}",
        "{{ long|join(long) }}",
        "{{ 1e308 * 10 ** 70 // 1 }}",
        "{{ ('9' * 100000)|int + 1 }}{{ long * 100 }}",
    ],
)
def test_work_and_size_are_bounded(template: str) -> None:
    started = time.monotonic()
    with pytest.raises(TemplateFailed):
        render(template, {"many": list(range(1000)), "word": "a" * 1000, "long": "a" * 50_000})
    assert time.monotonic() - started < 5


def test_output_is_bounded_without_syntax_too() -> None:
    with pytest.raises(TemplateFailed):
        render("a" * 1_000_001, {})
