"""What `prediction.py` runs: every program that needs no reward model, at three settings that a small model on a CPU
gets through in seconds.
"""

from __future__ import annotations

from typing import Any

INPUTS = {
    "code_monkeys": "tasks",
    "iterative_retrieval": "rivers",
    "llm_judge": "essays",
    "tip_suggestion": "topics",
    "verify_and_refine": "tasks",
    "with_notes": "contexts",
}
"""By program: the file of its inputs, where these are not the questions."""
STORES = {"iterative_retrieval": {"documents": "documents"}}
TYPED = ("atom_of_thoughts", "code_monkeys", "iterative_retrieval")
"""Programs whose model must write JSON."""
Setting = dict[str, Any]
SETTINGS: dict[str, tuple[Setting, Setting, Setting]] = {
    "adaptive_consistency": ({"n": 4}, {"n": 8}, {"n": 16}),
    "atom_of_thoughts": (
        {"max_tokens": 64, "attempts": 1},
        {"max_tokens": 80, "attempts": 1},
        {"max_tokens": 96, "attempts": 1},
    ),
    "best_of_n": ({"n": 2}, {"n": 4}, {"n": 8}),
    "budget_forcing": ({"extensions": 0}, {"extensions": 1}, {"extensions": 2}),
    "code_monkeys": (
        {"trajectories": 2, "rounds": 1, "max_tokens": 64},
        {"trajectories": 3, "rounds": 1, "max_tokens": 64},
        {"trajectories": 2, "rounds": 2, "max_tokens": 96},
    ),
    "first_finish": ({"n": 2}, {"n": 6}, {"n": 12}),
    "iterative_retrieval": (
        {"rounds": 1, "max_tokens": 48},
        {"rounds": 2, "max_tokens": 48},
        {"rounds": 2, "max_tokens": 96},
    ),
    "judged_steps": ({"depth": 2}, {"depth": 4}, {"depth": 3, "width": 3, "fanout": 4}),
    "llm_judge": ({"max_tokens": 16}, {"max_tokens": 32}, {"max_tokens": 96}),
    "multi_chain_reasoning": ({"max_tokens": 24}, {"max_tokens": 48}, {"max_tokens": 128}),
    "parallel_distill_refine": (
        {"rounds": 1, "width": 2},
        {"rounds": 1, "width": 4},
        {"rounds": 2, "width": 3},
    ),
    "self_consistency": ({"n": 2}, {"n": 8}, {"n": 24}),
    "speculative_steps": (
        {"turns": 2, "step_tokens": 32},
        {"turns": 4, "step_tokens": 32},
        {"turns": 3, "step_tokens": 64},
    ),
    "tip_suggestion": (
        {"tips": 2, "paragraph_tokens": 32},
        {"tips": 4, "paragraph_tokens": 32},
        {"tips": 4, "paragraph_tokens": 96},
    ),
    "tree_of_thought_deep": ({"max_tokens": 16}, {"max_tokens": 32}, {"max_tokens": 32, "branches": 3}),
    "tree_search": (
        {"rounds": 2, "step_tokens": 32},
        {"rounds": 4, "step_tokens": 32},
        {"rounds": 3, "step_tokens": 64, "fanout": 4},
    ),
    "verified_vote": ({"n": 2}, {"n": 4}, {"n": 8}),
    "verify_and_refine": ({"rounds": 0}, {"rounds": 1}, {"rounds": 2}),
    "window_consistency": ({"n": 5}, {"n": 10}, {"n": 20}),
    "with_notes": ({"max_tokens": 24}, {"max_tokens": 48}, {"max_tokens": 96}),
}
