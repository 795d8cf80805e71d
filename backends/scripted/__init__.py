"""A scripted engine: a stub without a model, for unit tests and `test` blocks."""

from ttsc.backends.scripted.conforming import conforming, from_schema
from ttsc.backends.scripted.engine import ALL_ABILITIES, Record, ScriptedEngine
from ttsc.backends.scripted.figures import Embed, Reward, Scores, bag_of_words, by_pattern
from ttsc.backends.scripted.script import Reply, table
from ttsc.backends.scripted.tokenizer import ScriptedTokenizer

__all__ = [
    "ALL_ABILITIES",
    "Embed",
    "Record",
    "Reply",
    "Reward",
    "Scores",
    "ScriptedEngine",
    "ScriptedTokenizer",
    "bag_of_words",
    "by_pattern",
    "conforming",
    "from_schema",
    "table",
]
