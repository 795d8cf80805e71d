"""What a program's caller gets for each type that a program may return, and what a template sees of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import Turn
from ttsc.backends.scripted import ScriptedEngine
from ttsc.cli.output import text_of
from ttsc.compiler.values.types import CANDIDATE_FIELDS
from ttsc.runtime.results import conversation
from ttsc.runtime.values import CandidateValue, ContextValue

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
DECLARATIONS = """
record Shot { picture: Image, rank: int in 0..10 }
prompt solve(q: str) { system "Be brief." user "{{ q }}" }
prompt more(q: str) { user "{{ q }}" }
prompt look(picture: Image) { user "{{ picture }} What is it?" }
prompt tell(n: Node, t: Tree) { user "{{ n.value }} {{ n.visits }} {{ n.candidate.text }} {{ t.nodes | length }}" }
"""
DRAFTS = "solve(q) |> sample(2, max_tokens=3)"
LONG = "four " * 9
"""Cut by max_tokens, so that a tree can go on from it."""


def run(body: str, returns: str, says: str = "four", **inputs: Any) -> Any:
    """The value of a program with this body, the same as written and optimised."""
    given = ", ".join(f"{name}: Image" for name in inputs) or 'q: str = "2 + 2?"'
    text = f"{DECLARATIONS}\nprogram p({given}) -> {returns} {{ {body} }}"
    engine = ScriptedEngine(lambda prompt, seed, sampling: says)
    values = [
        ttsc.compile(text, program="p", level=level).run(engine=engine, seed=1, **inputs).value for level in (0, 2)
    ]
    assert values[0] == values[1]
    assert isinstance(values[0], str) or json.loads(text_of(values[0])) is not None, "it can be written as JSON"
    return values[0]


def test_candidates_are_their_fields() -> None:
    first, second = run(f"return {DRAFTS}", "list[Candidate]")
    assert first.keys() == second.keys() == CANDIDATE_FIELDS.keys()
    assert (first["text"], first["index"], second["index"], first["scores"]) == ("four", 0, 1, [])


def test_a_context_is_the_turns_of_its_conversation() -> None:
    asked = [{"role": "system", "text": "Be brief."}, {"role": "user", "text": "2 + 2?"}]
    assert run("return solve(q)", "Context") == asked
    assert run("return [solve(q)]", "list[Context]") == [asked]
    question = ContextValue((Turn("user", "2 + 2?"),))
    answered = ContextValue((Turn("user", "sure?"),), CandidateValue(question, (5,), "four"))
    assert conversation(CandidateValue(answered, (6,), "yes")) == [
        {"role": "user", "text": "2 + 2?"},
        {"role": "assistant", "text": "four"},
        {"role": "user", "text": "sure?"},
        {"role": "assistant", "text": "yes"},
    ]


def test_a_picture_in_a_conversation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    assert run("return look(picture)", "Context", picture=str(path)) == [
        {"role": "user", "text": "(image) What is it?"}
    ]


def test_a_tree_is_its_nodes_with_their_parents() -> None:
    grown = f"let t = tree(solve(q)) let n = t |> select(1) let g = t |> expand(n[0], {DRAFTS} |> score(c => 0.5))"
    tree = run(f"{grown} return g |> backpropagate", "Tree")
    assert [(node["index"], node["parent"], node["depth"]) for node in tree["nodes"]] == [
        (0, None, 0),
        (1, 0, 1),
        (2, 0, 1),
    ]
    assert [(node["visits"], node["value"]) for node in tree["nodes"]] == [(2, 0.5), (1, 0.5), (1, 0.5)]
    assert tree["nodes"][1]["candidate"]["text"] == "four"
    (node,) = run(f"{grown} return g |> backpropagate |> select(1, policy=depth)", "list[Node]", says=LONG)
    assert node.keys() == {"candidate", "visits", "value", "depth", "index"}


def test_a_template_sees_the_fields_of_a_node() -> None:
    turns = run(
        f"let t = tree(solve(q)) let g = t |> expand((t |> select(1))[0], {DRAFTS} |> score(c => 0.5))"
        " |> backpropagate let n = (g |> select(1, policy=depth))[0] return tell(n, g)",
        "Context",
        says=LONG,
    )
    assert turns[-1]["text"] == "0.5 1 four four 3"


def test_a_record_may_hold_a_picture_and_a_constraint(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    value = run("return Shot(picture=picture, rank=3)", "Shot", picture=str(path))
    assert (value["picture"].media_type, value["rank"]) == ("image/png", 3)
    assert json.loads(text_of(value)) == {"picture": "(image/png, 16 bytes)", "rank": 3}


def test_a_record_with_a_picture_is_checked_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    with pytest.raises(ttsc.RunError, match="rank"):
        run("return Shot(picture=picture, rank=11)", "Shot", picture=str(path))
