"""A scripted engine: a stub without a model, for unit tests and `test` blocks."""

from ttsc.backends.scripted.engine import Record, ScriptedEngine
from ttsc.backends.scripted.script import Reply, table
from ttsc.backends.scripted.tokenizer import ScriptedTokenizer

__all__ = ["Record", "Reply", "ScriptedEngine", "ScriptedTokenizer", "table"]
