"""Grammars for editors and documentation: made from the language's tables, up to date, right about every program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regex
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, String, Token

from ttsc import keywords, textmate
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.source import Source
from ttsc.pygments_lexer import TtsLexer

ROOT = Path(__file__).resolve().parents[2]
GRAMMARS = (ROOT / "editors" / "tts.tmLanguage.json", ROOT / "editors" / "vscode" / "tts.tmLanguage.json")
EXTENSION = ROOT / "editors" / "vscode"
PROGRAMS = sorted(file for folder in ("programs", "stdlib", "tests/errors") for file in (ROOT / folder).rglob("*.tts"))


def patterns(rule: Any) -> Iterator[str]:
    """Every regular expression of a grammar."""
    if isinstance(rule, dict):
        yield from (value for key, value in rule.items() if key in {"match", "begin", "end"} and isinstance(value, str))
        rule = list(rule.values())
    if isinstance(rule, list):
        for part in rule:
            yield from patterns(part)


# --- TextMate


@pytest.mark.parametrize("file", GRAMMARS, ids=lambda file: file.parent.name)
def test_the_committed_grammar_is_the_generated_one(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == textmate.text(), "run: python -m ttsc.textmate " + " ".join(
        map(str, GRAMMARS)
    )


def test_the_generator_writes_its_files(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    subprocess.run([sys.executable, "-m", "ttsc.textmate", *map(str, files)], check=True, timeout=60)
    assert [json.loads(file.read_text(encoding="utf-8"))["scopeName"] for file in files] == ["source.tts"] * 2


def test_every_expression_of_the_grammar_is_one() -> None:
    found = list(patterns(textmate.grammar()))
    assert len(found) > 20
    for pattern in found:
        regex.compile(pattern)


def test_every_included_rule_exists() -> None:
    text = textmate.text()
    rules = textmate.grammar()["repository"]
    for name in re.findall(r'"include": "#(\w+)"', text):
        assert name in rules


def scopes(line: str) -> dict[str, str]:
    """What the grammar's one-line rules say of a line: matched text to scope, in the order of the rules."""
    rules = textmate.grammar()
    result: dict[str, str] = {}
    taken: set[int] = set()
    todo = [rules["repository"][include["include"][1:]] for include in rules["patterns"]]
    while todo:
        rule = todo.pop(0)
        todo = [*(rule.get("patterns", []) if "match" not in rule and "begin" not in rule else []), *todo]
        if "match" not in rule:
            continue
        for match in regex.finditer(rule["match"], line):
            if taken & set(range(*match.span())):
                continue
            taken |= set(range(*match.span()))
            if "name" in rule:
                result[match[0]] = rule["name"]
            for group, capture in rule.get("captures", {}).items():
                if match[int(group)]:
                    result[match[int(group)]] = capture.get("name", "captured")
    return result


@pytest.mark.parametrize("word", sorted(keywords.KEYWORDS - {"while"}))
def test_every_word_of_the_language_is_coloured(word: str) -> None:
    declares = word in keywords.DECLARATIONS
    line = f"{word} thing" if declares else f"{word} let" if word == "offline" else f"  {word} x"
    scope = scopes(line).get(word, "")
    assert scope.split(".")[0] in {"storage", "keyword", "constant"}, scope


@pytest.mark.parametrize("word", sorted({*keywords.STATEMENTS, *keywords.DECLARATIONS}))
def test_a_word_of_the_language_may_be_a_field_or_an_argument(word: str) -> None:
    found = scopes(f"f(a.{word}, {word}=1)")
    assert found.get(word, "variable.parameter.tts") == "variable.parameter.tts"


@pytest.mark.parametrize("name", keywords.BUILTINS)
def test_every_operator_and_function_is_coloured(name: str) -> None:
    assert scopes(f"xs |> {name}")[name] == "support.function.tts"
    assert scopes(f"let y = {name}(xs)")[name] == "support.function.tts"


def test_every_sign_is_coloured() -> None:
    assert {"|>", "=>", "->", "==", "..", "+="} <= set(keywords.signs())
    for sign in keywords.signs():
        assert scopes(f"a {sign} b")[sign].startswith("keyword.operator")


# --- the VS Code extension


def test_the_extension_loads_what_is_in_its_folder() -> None:
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    contributes = package["contributes"]
    (language,), (coloured,) = contributes["languages"], contributes["grammars"]
    assert (language["id"], language["extensions"]) == ("tts", [".tts"])
    for path in (package["main"], language["configuration"], coloured["path"]):
        assert (EXTENSION / path).is_file()
    assert coloured["scopeName"] == textmate.grammar()["scopeName"]
    settings = json.loads((EXTENSION / language["configuration"]).read_text(encoding="utf-8"))
    assert settings["comments"]["lineComment"] == "#"
    for pattern in [settings["wordPattern"], *settings["indentationRules"].values()]:
        regex.compile(pattern)


def test_the_extension_asks_for_settings_and_commands_that_it_declares() -> None:
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    script = (EXTENSION / "extension.js").read_text(encoding="utf-8")
    properties = package["contributes"]["configuration"]["properties"]
    for name in re.findall(r'\.get\("([\w.]+)"\)', script):
        assert f"ttsc.{name}" in properties
    declared = {command["command"] for command in package["contributes"]["commands"]}
    assert set(re.findall(r'registerCommand\("([\w.]+)"', script)) == declared
    required = set(re.findall(r'require\("([\w-]+)', script)) - {"vscode"}
    assert required == set(package["dependencies"])


def test_the_extension_starts_a_command_that_exists() -> None:
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    command = package["contributes"]["configuration"]["properties"]["ttsc.server.command"]["default"]
    assert command[0] == "ttsc"
    done = subprocess.run([sys.executable, "-m", *command, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- Pygments


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_program_is_lexed_without_errors(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tokens = list(TtsLexer(stripnl=False, ensurenl=False).get_tokens(text))
    assert "".join(value for _, value in tokens) == text
    if file.parent.name != "errors":
        assert not [value for kind, value in tokens if kind is Error]


@pytest.mark.parametrize(
    "file", [file for file in PROGRAMS if file.parent.name != "errors"], ids=lambda file: file.name
)
def test_the_lexers_agree_on_words_and_strings(file: Path) -> None:
    """What the compiler's lexer takes for a word of the language or a string is coloured as one."""
    text = file.read_text(encoding="utf-8")
    colours: list[Any] = []
    for kind, value in TtsLexer(stripnl=False, ensurenl=False).get_tokens(text):
        colours.extend([kind] * len(value))
    for token in Lexer(Source("x", text)).tokens:
        if token.text in keywords.KEYWORDS and token.kind != "NAME":
            assert colours[token.start] in Keyword or colours[token.start] in Operator.Word, token
        elif token.kind in {"STRING", "MODULE_DOC"}:
            assert colours[token.start] in String
        elif token.kind in {"INT", "FLOAT", "QUANTITY"}:
            assert colours[token.start] in Number
        elif token.kind == "NAME":
            assert colours[token.start] not in String and colours[token.start] not in Comment


def test_pygments_finds_the_lexer() -> None:
    assert isinstance(get_lexer_by_name("tts"), TtsLexer)
    assert isinstance(get_lexer_for_filename("a.tts"), TtsLexer)


def test_parts_of_a_program_are_told_apart() -> None:
    code = 'prompt solve(q: str) { user "Say {{ q }}\\n" }  # note\nlet x = xs |> vote(by=boxed, model=policy)[0].model'
    found = [(kind, value) for kind, value in TtsLexer().get_tokens(code) if kind is not Token.Text.Whitespace]
    for expected in [
        (Keyword.Declaration, "prompt"),
        (Name.Function, "solve"),
        (Keyword.Type, "str"),
        (Keyword.Pseudo, "user"),
        (String.Interpol, "{{ q }}"),
        (String.Escape, "\\n"),
        (Comment.Single, "# note"),
        (Keyword, "let"),
        (Name.Builtin, "vote"),
        (Name.Variable, "model"),
        (Name.Attribute, "model"),
        (Operator, "|>"),
        (Number, "0"),
    ]:
        assert expected in found
