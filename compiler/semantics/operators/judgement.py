"""Operators that judge candidates or measure text with a model."""

from __future__ import annotations

from ttsc.compiler.semantics.operators.spec import (
    COUNT,
    READ_DOC,
    Choice,
    ElementFunction,
    ModelRoleParameter,
    ParameterSpec,
    Scorer,
    Spec,
    TextFunction,
    generation,
    pools,
    prefixes,
    texts,
)
from ttsc.compiler.values.types import BOOL, CONTEXT, FLOAT, INT, STR, ListOf, OptionalOf

STEPS = (
    ParameterSpec("steps", OptionalOf(STR), default=None, doc="the text that ends a step; none: the whole is one step"),
    ParameterSpec(
        "reduce",
        Choice(("last", "min", "mean", "prod", "max", "sum", "whole")),
        default="last",
        doc="from the rewards of the steps to one number; whole: the text is given to the model as one step",
    ),
    ParameterSpec(
        "link",
        Choice(("none", "sigmoid")),
        default="none",
        doc="sigmoid: the model's output is a logit, made a probability",
    ),
)
NORMALISE = ParameterSpec("normalise", Choice(("mean", "sum")), default="mean", doc="per token, or of the whole text")
OF = ParameterSpec("of", OptionalOf(STR), default=None, doc="text that follows; none: what the candidate generated")
ROLE = ParameterSpec("model", ModelRoleParameter(), doc="the role whose probabilities they are; the first declared")

JUDGEMENT = (
    Spec(
        "verify",
        "judgement",
        "a list of candidates",
        (
            ParameterSpec(
                "test",
                ElementFunction("a bool, or a judge prompt", (BOOL, CONTEXT)),
                required=True,
                doc="whether a candidate passes",
            ),
            ParameterSpec(
                "read", TextFunction("a bool?", (OptionalOf(BOOL),)), doc=READ_DOC + "; default: the first yes or no"
            ),
            *generation(16, 0.0),
        ),
        "the candidates that pass a test: an extern, a condition, or a judge prompt",
        pools,
    ),
    Spec(
        "score",
        "judgement",
        "a list of candidates",
        (
            ParameterSpec(
                "by", Scorer("a number, a judge prompt, or a model", (FLOAT, CONTEXT)), required=True, doc="the score"
            ),
            ParameterSpec(
                "read",
                TextFunction("a float? or bool?", (OptionalOf(FLOAT), OptionalOf(BOOL))),
                doc=READ_DOC + "; default: the last number. A bool counts as 0 or 1",
            ),
            ParameterSpec("otherwise", FLOAT, default=0.0, doc="the score of an unreadable judgement"),
            *generation(16, 0.0, grid=True),
            ParameterSpec(
                "samples",
                INT,
                default=1,
                limits=COUNT,
                doc="judgements of each candidate; the score is the mean of the readable ones",
            ),
            *STEPS,
            NORMALISE,
        ),
        "every candidate with its score",
        pools,
    ),
    Spec(
        "reward",
        "judgement",
        "a Candidate",
        (ParameterSpec("model", ModelRoleParameter(), required=True, doc="a reward model's role"), *STEPS),
        "what a reward model gives for a candidate",
        prefixes,
    ),
    Spec(
        "logprob",
        "judgement",
        "a Context or a Candidate",
        (OF, ROLE, NORMALISE),
        "the log-probability (natural) of a text, or of what a candidate generated",
        prefixes,
    ),
    Spec(
        "perplexity",
        "judgement",
        "a Context or a Candidate",
        (OF, ROLE),
        "exp of minus the mean log-probability of a text's tokens",
        prefixes,
    ),
    Spec(
        "choices",
        "judgement",
        "a Context or a Candidate",
        (
            ParameterSpec("of", ListOf(STR), required=True, doc="the texts that may follow"),
            ROLE,
            ParameterSpec(
                "normalise",
                Choice(("softmax", "none")),
                default="softmax",
                doc="probabilities among the choices, or log-probabilities",
            ),
        ),
        "how probable each of some texts is, without generating",
        prefixes,
    ),
    Spec(
        "embed",
        "judgement",
        "a text, a Candidate, or a list of them",
        (ParameterSpec("model", ModelRoleParameter(), required=True, doc="an embedding model's role"),),
        "the vector of a text",
        texts,
    ),
    Spec(
        "extract",
        "control",
        "a list of candidates",
        (ParameterSpec("by", ElementFunction("a str or str?", (OptionalOf(STR),)), required=True, doc="the answer"),),
        "every candidate with its answer",
        pools,
    ),
)
