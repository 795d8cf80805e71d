"""The operators of the language as data: what they take, with the published or documented default.

To add one: a `Spec` in the module of its group, its result type in `operator_results.py`, its lowering in `ir/build/`.
Names of choices are part of the language; everything that published code leaves implicit is a parameter with a default.
"""

from __future__ import annotations

from ttsc.compiler.semantics.operators.control import CONTROL
from ttsc.compiler.semantics.operators.generation import GENERATION
from ttsc.compiler.semantics.operators.judgement import JUDGEMENT
from ttsc.compiler.semantics.operators.search import SEARCH
from ttsc.compiler.semantics.operators.selection import SELECTION
from ttsc.compiler.semantics.operators.spec import Choice as Choice
from ttsc.compiler.semantics.operators.spec import Kind as Kind
from ttsc.compiler.semantics.operators.spec import ParameterSpec as ParameterSpec
from ttsc.compiler.semantics.operators.spec import Spec as Spec

OPERATORS: dict[str, Spec] = {spec.name: spec for spec in (*GENERATION, *JUDGEMENT, *SELECTION, *CONTROL, *SEARCH)}
