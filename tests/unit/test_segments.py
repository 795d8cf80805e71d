"""Encoding by lines gives the ids that the tokenizer itself gives, and is left alone where it might not."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from ttsc.backends.sglang.segments import Segments

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
PIECES = [
    "\n",
    "\r\n",
    "\n\n",
    " ",
    "  ",
    "\t",
    "a",
    "The",
    "x",
    "éa",
    "e\u0301",
    "\u0301",
    "12",
    "345",
    "'s",
    "?!",
    "<e>",
    "·",
]


def by_words(pattern: str) -> pre_tokenizers.PreTokenizer:
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), level])


def trained(words: pre_tokenizers.PreTokenizer, *, added: tuple[AddedToken, ...] = (), nfc: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = words
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["The answer\n\nThe end? \n x 12\n345 's\r\n" * 9], trainer)
    tokenizer.add_special_tokens([AddedToken("<e>", special=True), *added])
    return tokenizer


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
CUT = {
    "GPT-2": trained(GPT2),
    "digits": trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])),
    "Qwen": trained(by_words(QWEN), nfc=True),
    "Llama 3": trained(by_words(LLAMA)),
}


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_the_ids_are_those_of_the_whole(name: str, text: str) -> None:
    tokenizer = CUT[name]
    assert Segments(tokenizer).encode(text) == tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", CUT)
def test_a_line_is_encoded_once(name: str) -> None:
    asked = Mock(wraps=CUT[name])
    asked.model, asked.pre_tokenizer, asked.normalizer = (
        CUT[name].model,
        CUT[name].pre_tokenizer,
        CUT[name].normalizer,
    )
    segments = Segments(asked)
    segments.encode("The first\nThe second\nA question")
    asked.encode.reset_mock()
    segments.encode("The first\nThe second\nAnother one")
    assert [call.args[0] for call in asked.encode.call_args_list] == ["Another one"]


@pytest.mark.parametrize(
    "tokenizer",
    [
        trained(by_words(r"[^ ]+| +")),
        trained(pre_tokenizers.Metaspace()),
        trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        trained(GPT2, added=(AddedToken("A:\nThe", special=True),)),
        trained(GPT2, added=(AddedToken("Then", lstrip=True),)),
        Tokenizer(models.BPE()),
    ],
    ids=[
        "a pattern across lines",
        "no pattern",
        "a space in front",
        "a token of two lines",
        "a token that strips",
        "bare",
    ],
)
def test_what_reaches_across_a_line_is_encoded_as_a_whole(tokenizer: Tokenizer) -> None:
    text = "A:\nThe answer\nThen the end"
    asked = Mock(wraps=tokenizer)
    asked.model, asked.pre_tokenizer, asked.normalizer = tokenizer.model, tokenizer.pre_tokenizer, tokenizer.normalizer
    segments = Segments(asked)
    asked.encode.reset_mock()
    assert segments.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids
    assert [call.args[0] for call in asked.encode.call_args_list] == [text]
