"""The built-in model's real tokenizer, compared with what transformers makes of the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.protocol import Turn
from ttsc.backends.sglang.chat_template import ChatTemplate
from ttsc.backends.sglang.launcher import resolve
from ttsc.backends.sglang.tokenizer import ModelTokenizer, load_tokenizer

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("launched_engine")]
MODEL = "smollm2-135m"

TEXT = st.text(max_size=40).filter(lambda text: "<|" not in text)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def folder(launched_engine: None) -> Path:
    return Path(resolve(MODEL, print))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ModelTokenizer:
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def test_ends_of_turn(tokenizer: ModelTokenizer) -> None:
    assert tokenizer.has_chat_template
    assert tokenizer.eos_ids == {2}
    assert tokenizer.encode("<|im_end|>") == [2]


@settings(deadline=None, max_examples=150)
@given(system=st.none() | TEXT, turns=TURNS, ended=st.booleans())
def test_a_parents_ids_are_always_a_prefix_of_its_childs(
    tokenizer: ModelTokenizer, system: str | None, turns: list[tuple[str, str]], ended: bool
) -> None:
    """And when the model ends its turns, the ids are at every step those of the whole conversation rendered at once."""
    history = [] if system is None else [Turn("system", system)]
    ids: list[int] = []
    for question, answer in turns:
        user = Turn("user", question)
        history.append(user)
        grown = ids + tokenizer.extension_ids(ended, [user]) if ids else tokenizer.chat_ids(history)
        assert grown[: len(ids)] == ids
        if ended:
            assert grown == tokenizer.chat_ids(history)
        ids = grown + tokenizer.encode(answer) + ([2] if ended else [])
        history.append(Turn("assistant", answer))


@settings(deadline=None, max_examples=60)
@given(turns=TURNS)
def test_ids_are_those_of_transformers(theirs: Any, tokenizer: ModelTokenizer, turns: list[tuple[str, str]]) -> None:
    conversation = [Turn(role, text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)]
    conversation.append(Turn("user", "and?"))
    messages = [{"role": turn.role, "content": turn.text} for turn in conversation]
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert tokenizer.chat_ids(conversation) == list(ids)
    text = turns[0][0]
    assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False)
    assert tokenizer.decode(tokenizer.encode(text)) == theirs.decode(theirs.encode(text), skip_special_tokens=True)


@pytest.mark.parametrize(
    "template",
    [
        "{{ {'b': '<é>', 'a': [1, none, true]} | tojson }}{{ {'b': 1} | tojson(indent=2) }}",
        "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}\n    {{- m.content | trim }}\n{% endfor %}",
        "  {% if messages %}\nx{% endif %}\n  {%- set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}",
        "{{ messages[0]['content'][:2] + messages | length | string }}{{ strftime_now('%Y') }}{{ undefined_thing }}",
        "{% macro say(m) %}[{{ m.role }}]{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
    ],
)
def test_templates_render_as_transformers_renders_them(template: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": "user", "content": "  hello "}, {"role": "assistant", "content": "good\n\nday"}]
    theirs, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True)
    assert ChatTemplate(template, {}).render(messages, add_generation_prompt=True) == theirs[0]
