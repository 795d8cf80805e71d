"""What the tests of the command line run, and on what."""

from __future__ import annotations

from collections.abc import Callable

VOTE = """\
\"\"\"Majority of n answers.\"\"\"
prompt solve(question: str) {
    user "{{ question }}"
}

program vote_on(question: str, n: int = 5 in 1..16) -> str {
    return solve(question) |> sample(n, max_tokens=8) |> vote(by=text)
}

\"\"\"The shortest of n.\"\"\"
program first(question: str, n: int = 3 in 1..16) -> str {
    let draft = solve(question) |> sample(n, max_tokens=8) |> stop_first(1) |> one
    return draft.text
}
"""
SCRIPT = {"sky": ["blue"], "sum": ["4", "4", "5"], "lines": ["a\nb"]}

Captured = Callable[[], tuple[str, str]]
