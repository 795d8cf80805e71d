"""Operators that generate, and those that open or close what was generated."""

from __future__ import annotations

from ttsc.compiler.semantics.operators.spec import (
    Choice,
    Either,
    ElementFunction,
    Grid,
    Limits,
    N,
    ParameterSpec,
    RecordParameter,
    SameAsRecord,
    Spec,
    candidates,
    contexts,
    generation,
    texts,
)
from ttsc.compiler.values.types import FLOAT, INT, STR, ListOf, OptionalOf

UNTIL = (
    ParameterSpec(
        "until",
        Either((OptionalOf(STR), ListOf(STR), ListOf(ListOf(STR)))),
        default=None,
        doc="stop at this text, or at the first of a list of texts",
    ),
    ParameterSpec("delimiter", Choice(("keep", "drop")), default="keep", doc="whether the `until` text stays"),
)
CONFIDENCE = (
    ParameterSpec(
        "top_logprobs",
        INT,
        default=20,
        doc="of how many most probable tokens the confidence of a token is made",
        limits=Limits(1, 10_000, "1 to 10,000"),
    ),
    ParameterSpec("stop_below", Grid(FLOAT), doc="stop where the mean confidence of a window is below"),
    ParameterSpec(
        "window", Grid(INT), default=2048, doc="tokens of a window", limits=Limits(1, 10_000_000, "at least 1")
    ),
)
RECORD = ParameterSpec("record", RecordParameter(), required=True, doc="the record the text must be, as JSON")

GENERATION = (
    Spec(
        "sample",
        "generation",
        "a Context or a list of them",
        (N, *generation(1024, 0.7, grid=True), *UNTIL, *CONFIDENCE),
        "n independent continuations of a context",
        contexts,
    ),
    Spec(
        "branch",
        "generation",
        "a Candidate, a Context, or a list of them",
        (
            N,
            *UNTIL,
            *generation(1024, 0.7, grid=True),
            ParameterSpec(
                "finished",
                Choice(("freeze", "drop", "continue")),
                default="freeze",
                doc="what happens to a candidate that ended by itself",
            ),
            *CONFIDENCE,
        ),
        "every candidate continued n ways, up to a delimiter: one step",
        candidates,
    ),
    Spec(
        "refine",
        "generation",
        "a Candidate or a list of them",
        (
            ParameterSpec("with", ElementFunction("a prompt"), required=True, doc="the turns to add"),
            *generation(1024, 0.7),
        ),
        "the conversation goes on: more turns, and a new answer whose prefix is the old one",
        candidates,
    ),
    Spec(
        "ask",
        "generation",
        "a Context or a list of them",
        (
            RECORD,
            ParameterSpec(
                "attempts", INT, default=3, doc="generations at most, per context", limits=Limits(1, 1000, "1 to 1,000")
            ),
            ParameterSpec("otherwise", SameAsRecord(), doc="the result if no attempt can be read; else the run fails"),
            *(p for p in generation(1024, 0.7) if p.name != "schema"),
        ),
        "a record: generated under its JSON schema, read, and asked for again if it does not fit",
        contexts,
    ),
    Spec(
        "parse",
        "control",
        "a text, a Candidate, or a list of them",
        (RECORD,),
        "the record that a text is as JSON, or none",
        texts,
    ),
    Spec(
        "force",
        "generation",
        "a Candidate or a list of them",
        (
            ParameterSpec(
                "text",
                Either((STR, ListOf(INT))),
                required=True,
                doc="appended as if the model had said it: text or token ids",
            ),
        ),
        "fixed text appended to what a candidate generated",
        candidates,
    ),
    Spec(
        "cut",
        "generation",
        "a Candidate or a list of them",
        (
            ParameterSpec(
                "at",
                Either((INT, STR)),
                required=True,
                doc="so many tokens, or everything before this text",
                limits=Limits(0, 10_000_000, "0 or more"),
            ),
        ),
        "the beginning of what a candidate generated, open again",
        candidates,
    ),
)
