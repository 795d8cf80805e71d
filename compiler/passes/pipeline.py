"""The passes, in the order in which they run. Each says why it stands here in its own file."""

from __future__ import annotations

from ttsc.compiler.passes.decide_early import decide_early
from ttsc.compiler.passes.drop_scores import drop_scores
from ttsc.compiler.passes.fold_constants import fold_constants
from ttsc.compiler.passes.hoist_invariants import hoist_invariants
from ttsc.compiler.passes.merge_generations import merge_generations
from ttsc.compiler.passes.pass_ import Pass
from ttsc.compiler.passes.remove_dead import remove_dead
from ttsc.compiler.passes.select_leading import select_leading
from ttsc.compiler.passes.share_prefixes import share_prefixes
from ttsc.compiler.passes.size_waves import size_waves
from ttsc.compiler.passes.speculate import speculate

PIPELINE: tuple[Pass, ...] = (
    Pass("fold_constants", fold_constants, "canonical", 1),
    Pass("hoist_invariants", hoist_invariants, "rewrite", 1, after=("fold_constants",)),
    Pass("share_prefixes", share_prefixes, "canonical", 1, after=("fold_constants", "hoist_invariants")),
    Pass("merge_generations", merge_generations, "rewrite", 1, after=("fold_constants", "share_prefixes")),
    Pass("remove_dead", remove_dead, "rewrite", 1, after=("fold_constants", "merge_generations")),
    Pass("drop_scores", drop_scores, "rewrite", 1, after=("remove_dead",)),
    Pass("select_leading", select_leading, "rewrite", 2, after=("remove_dead", "drop_scores")),
    Pass("decide_early", decide_early, "schedule", 2, after=("remove_dead", "select_leading")),
    Pass("size_waves", size_waves, "schedule", 2, after=("decide_early",)),
    Pass("speculate", speculate, "schedule", None, after=("remove_dead",)),
)
