"""Chat templates and ids: a continuation extends its parent's ids, and reads as the template would have written it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from ttsc.backends.protocol import EngineError, ModelNotFound, RequestRefused, Role, Turn
from ttsc.backends.sglang.chat_template import ChatTemplate
from ttsc.backends.sglang.tokenizer import ModelTokenizer, load_tokenizer, tokenizer_for_server

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Reasoning models drop earlier thoughts, and open a new one in the generation prompt.
THINKING = (
    "{%- for message in messages %}"
    "{%- set content = message.content %}"
    "{%- if message.role == 'assistant' and '</think>' in content %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>\n' }}{%- endif %}"
)
# Shows the model nothing but the last user turn, unless the conversation ends with the assistant's.
FORGETFUL = (
    "{{ bos_token }}{% set last = messages[-1] %}{% if last.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\n' + last.content + '<|im_end|>' }}{% else %}"
    "{{ '<|im_start|>user\n' + last.content + '<|im_end|>\n<|im_start|>assistant\n' }}{% endif %}"
)
ALTERNATING = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + '</s>' }}{% endif %}"
    "{% endfor %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(
        ["the answer is four\n\nthe user and the assistant\n" * 4, "think, then answer"], trainer
    )
    return tokenizer


def sentence_piece() -> Tokenizer:
    """Like Llama 2's: a space is put in front of a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.Split(Regex("\n"), "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz[]/INST.,0123456789\n▁"))
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", *SPECIAL], initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(["the answer is four the user and the assistant"] * 4, trainer)
    return tokenizer


def build(template: str | None, eos: str, make: Callable[[], Tokenizer] = byte_level) -> ModelTokenizer:
    tokenizer = make()
    return ModelTokenizer(tokenizer, template, {"bos_token": "<s>", "eos_token": eos}, [tokenizer.token_to_id(eos)])


TEMPLATES = {
    "chatml": build(CHATML, "<|im_end|>"),
    "llama": build(LLAMA, "</s>"),
    "thinking": build(THINKING, "<|im_end|>"),
    "forgetful": build(FORGETFUL, "<|im_end|>"),
    "alternating": build(ALTERNATING, "</s>"),
    "sentence_piece": build(ALTERNATING, "</s>", sentence_piece),
    "base_model": build(None, "</s>"),
}
USER = Turn("user", "what is two and two")


def spelled(tokenizer: ModelTokenizer, ids: list[int]) -> str:
    return tokenizer._tokenizer.decode(ids, skip_special_tokens=False)


def test_a_root_is_what_the_template_renders() -> None:
    chatml = TEMPLATES["chatml"]
    ids = chatml.chat_ids([Turn("system", "be brief"), USER])
    text = "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n" + USER.text
    text += "<|im_end|>\n<|im_start|>assistant\n"
    assert spelled(chatml, ids) == text
    assert ids == chatml.encode(text)


def test_an_open_assistant_turn_stays_open_and_its_parent_is_a_prefix() -> None:
    for name, tokenizer in TEMPLATES.items():
        parent = tokenizer.chat_ids([USER])
        child = tokenizer.chat_ids([USER, Turn("assistant", "\nfour")])
        assert child[: len(parent)] == parent, name
        assert tokenizer.decode(child[len(parent) :]).strip() == "four", name


def test_a_conversation_does_not_begin_with_the_assistant() -> None:
    with pytest.raises(RequestRefused):
        TEMPLATES["chatml"].chat_ids([Turn("assistant", "hello")])


def test_ends_of_turn_come_from_the_configuration_and_the_template() -> None:
    llama = TEMPLATES["llama"]
    assert llama.eos_ids == {llama.encode("</s>")[0], llama.encode("<|eot_id|>")[0]}
    assert TEMPLATES["base_model"].eos_ids == {TEMPLATES["base_model"].encode("</s>")[0]}


@pytest.mark.parametrize(
    ("name", "end", "expected"),
    [
        ("chatml", "<|im_end|>", "\n<|im_start|>user\nand three<|im_end|>\n<|im_start|>assistant\n"),
        (
            "llama",
            "<|eot_id|>",
            "<|start_header_id|>user<|end_header_id|>\n\nand three<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("thinking", "<|im_end|>", "\n<|im_start|>user\nand three<|im_end|>\n<|im_start|>assistant\n<think>\n"),
        ("forgetful", "<|im_end|>", "<|im_start|>user\nand three<|im_end|>\n<|im_start|>assistant\n"),
        ("alternating", "</s>", "[INST] and three [/INST]"),
    ],
)
def test_an_extension_closes_the_turn_once(name: str, end: str, expected: str) -> None:
    tokenizer = TEMPLATES[name]
    more = [Turn("user", "and three")]
    assert spelled(tokenizer, tokenizer.extension_ids(True, more)) == expected
    assert spelled(tokenizer, tokenizer.extension_ids(False, more)) == end + expected


def test_an_extension_may_open_the_next_turn() -> None:
    tokenizer = TEMPLATES["chatml"]
    closed = tokenizer.extension_ids(True, [USER])
    opened = tokenizer.extension_ids(True, [USER, Turn("assistant", "wait")])
    assert opened == closed + tokenizer.encode("wait")
    assert spelled(tokenizer, tokenizer.extension_ids(False, [Turn("assistant", "wait")])) == (
        "<|im_end|>\n<|im_start|>assistant\nwait"
    )


def test_no_space_is_put_where_a_text_goes_on() -> None:
    tokenizer = TEMPLATES["sentence_piece"]
    tail = tokenizer.extension_ids(True, [Turn("user", "and three")])
    whole = tokenizer.encode("</s>[INST] and three [/INST]")
    assert tail == whole[1:]


def test_a_base_model_gets_labelled_paragraphs() -> None:
    tokenizer = TEMPLATES["base_model"]
    assert not tokenizer.has_chat_template
    assert spelled(tokenizer, tokenizer.chat_ids([Turn("system", "facts"), USER])) == (
        "facts\n\nUser: what is two and two\n\nAssistant:"
    )
    assert spelled(tokenizer, tokenizer.extension_ids(False, [USER])) == "\n\nUser: what is two and two\n\nAssistant:"


def test_a_refusing_template_says_why() -> None:
    with pytest.raises(RequestRefused, match="must alternate"):
        TEMPLATES["alternating"].chat_ids([USER, USER])
    with pytest.raises(RequestRefused, match="does not compile"):
        ChatTemplate("{% if %}", {})


def test_a_template_that_never_shows_the_answer_is_refused() -> None:
    mute = build("{{ messages[0].content }}", "</s>")
    with pytest.raises(RequestRefused, match="leaves out"):
        mute.extension_ids(True, [USER])


TEXT = st.text(alphabet="the answr \n.,0123éß中", max_size=30)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(set(TEMPLATES) - {"sentence_piece"})), turns=TURNS, ended=st.booleans(), open_text=TEXT
)
def test_a_parents_ids_are_always_a_prefix_of_its_childs(
    name: str, turns: list[tuple[str, str]], ended: bool, open_text: str
) -> None:
    """And for templates that do not rewrite history, the ids are those of the whole conversation rendered at once."""
    tokenizer = TEMPLATES[name]
    end = [] if not tokenizer.has_chat_template else [_end_id(tokenizer)]
    history: list[Turn] = []
    ids: list[int] = []
    for question, answer in turns:
        user = Turn("user", question)
        grown = ids + tokenizer.extension_ids(ended, [user]) if ids else tokenizer.chat_ids([user])
        assert grown[: len(ids)] == ids
        history.append(user)
        if name in ("chatml", "llama") and all(turn.text == turn.text.strip() for turn in history):
            assert spelled(tokenizer, grown) == spelled(tokenizer, tokenizer.chat_ids(history))
        ids = grown + tokenizer.encode(answer) + (end if ended else [])
        history.append(Turn("assistant", answer))
    child = ids + tokenizer.extension_ids(ended, [Turn("user", "x"), Turn("assistant", open_text)])
    assert child[: len(ids)] == ids


def _end_id(tokenizer: ModelTokenizer) -> int:
    """The end token that the template itself writes."""
    closed = tokenizer.extension_ids(False, [USER])
    return next(number for number in closed if number in tokenizer.eos_ids)


# -- the template's environment ---------------------------------------------------------------------------------


def render(text: str, **special: str) -> str:
    return ChatTemplate(text, special, now=datetime(2026, 1, 2)).render(
        [{"role": "user", "content": "é"}], add_generation_prompt=True
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ strftime_now('%d %b %Y') }}", "02 Jan 2026"),
        ("{{ {'b': '<é>', 'a': 1} | tojson }}", '{"b": "<é>", "a": 1}'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=1, sort_keys=true) }}", '{\n "a": 2,\n "b": 1\n}'),
        ("{% for n in [1, 2, 3] %}{% if n == 2 %}{% continue %}{% endif %}{{ n }}{% endfor %}", "13"),
        ("{% for n in [1, 2, 3] %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}", "1"),
        ("    {% if true %}\nx\n    {% endif %}\ny", "x\ny"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "é!"),
        ("{{ bos_token }}{{ tools }}{{ documents }}{{ undefined_thing }}", "<s>NoneNone"),
        ("{% set ns = namespace(n=0) %}{% set ns.n = 2 %}{{ ns.n }}", "2"),
    ],
)
def test_templates_find_what_transformers_gives_them(text: str, expected: str) -> None:
    assert render(text, bos_token="<s>") == expected


@pytest.mark.parametrize("text", ["{{ messages.append(1) }}", "{{ ''.__class__.__mro__ }}{{ x.__globals__ }}"])
def test_templates_are_not_trusted(text: str) -> None:
    with pytest.raises(RequestRefused):
        render(text)


# -- loading ----------------------------------------------------------------------------------------------------


def save(folder: Path, **files: object) -> Path:
    byte_level().save(str(folder / "tokenizer.json"))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


ROOT: tuple[Turn, ...] = (USER,)


def test_a_model_folder_is_read(tmp_path: Path) -> None:
    end, header, stop = (byte_level().token_to_id(token) for token in ("<|im_end|>", "<|eot_id|>", "</s>"))
    save(
        tmp_path,
        tokenizer_config={"bos_token": {"content": "<s>"}, "eos_token": "<|im_end|>", "chat_template": CHATML},
        generation_config={"eos_token_id": [end, header]},
        config={"text_config": {"eos_token_id": stop}},
    )
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.eos_ids == {end, header, stop}
    assert spelled(tokenizer, tokenizer.chat_ids(ROOT)).startswith("<|im_start|>user")
    assert load_tokenizer(tmp_path / "tokenizer.json").eos_ids == tokenizer.eos_ids
    assert tokenizer.decode(tokenizer.encode("the answer<|im_end|>")) == "the answer"


def test_a_template_file_wins_and_named_templates_have_a_default(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D{{ messages[0].content }}"}]
    save(tmp_path, tokenizer_config={"chat_template": named})
    assert spelled(load_tokenizer(tmp_path), load_tokenizer(tmp_path).chat_ids(ROOT)).startswith("D")
    (tmp_path / "chat_template.jinja").write_text("J{{ messages[0].content }}\n")
    assert spelled(load_tokenizer(tmp_path), load_tokenizer(tmp_path).chat_ids(ROOT)) == "Jwhat is two and two"


def test_missing_and_broken_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        load_tokenizer(tmp_path)
    assert "--tokenizer" in caught.value.hint
    (tmp_path / "tokenizer.model").write_bytes(b"")
    with pytest.raises(ModelNotFound) as caught:
        load_tokenizer(tmp_path)
    assert "SentencePiece" in caught.value.hint
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(EngineError, match="cannot be read"):
        load_tokenizer(tmp_path)
    save(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineError, match=r"config\.json cannot be read"):
        load_tokenizer(tmp_path)


def test_an_override_wins_over_what_the_server_says(tmp_path: Path) -> None:
    save(tmp_path, tokenizer_config={"chat_template": CHATML})
    role: Role = "user"
    tokenizer = tokenizer_for_server("/nowhere/else", "http://127.0.0.1:1", override=tmp_path)
    assert tokenizer.chat_ids([Turn(role, "x")])
    assert tokenizer_for_server(str(tmp_path), "http://127.0.0.1:1").chat_ids(ROOT) == tokenizer.chat_ids(ROOT)
