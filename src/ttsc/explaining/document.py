"""An explanation as JSON: `schema` and `version` say how to read it. A change that a reader could notice is a new
version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from ttsc.estimates.analysis import Analysis
from ttsc.estimates.figures import Estimate

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VERSION = 1


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that `ttsc explain` says of a program. As a `str` it is the command's text."""

    estimate: Estimate
    analysis: Analysis | None = None
    schema: Literal["ttsc.explain"] = "ttsc.explain"
    version: Literal[1] = 1

    def __str__(self) -> str:
        from ttsc.explaining.text import text_of

        return text_of(self)

    def html(self) -> str:
        """One page, which needs nothing else."""
        from ttsc.explaining.page import html_of

        return html_of(self)

    def json(self) -> str:
        return json_of(self)


@cache
def _adapter() -> TypeAdapter[Explanation]:
    from pydantic import TypeAdapter

    return TypeAdapter(Explanation)


def json_of(explanation: Explanation) -> str:
    """Indented, ending in a newline."""
    return _adapter().dump_json(explanation, indent=2).decode() + "\n"


def read_json(text: str) -> Explanation:
    """Raises pydantic's `ValidationError` for another document."""
    return _adapter().validate_json(text)


def json_schema() -> dict[str, Any]:
    """Of what `json_of` writes."""
    return _adapter().json_schema(mode="serialization")
