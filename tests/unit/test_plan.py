"""Lowering: the prefix tree, the requests, and which of them may be aborted."""

from __future__ import annotations

import pytest

from ttsc.compiler.ir.reader import read
from ttsc.compiler.passes.runner import run_passes
from ttsc.compiler.plan.lower import lower
from ttsc.compiler.plan.nodes import Plan, Request
from ttsc.compiler.plan.printer import print_plan

HEAD = """
  model policy
  model judge
  model prm
  record Report { passed: bool }
  extern check(text: str) -> Report
  %one = const 1 : int
  %hot = const 0.7 : float
  %turn1 = turn system literal "Reason step by step."
  %turn2 = turn %turn1 user "{{ q }}" (q=%question)
  %sample1 = generate sample %turn2 x %n (temperature=%hot, max_tokens=%n) model=policy : list[Candidate]
  %texts = map %sample1 as %x0: Candidate {
    %p0 = field[text](%x0) : str
    yield %p0
  } : list[str]
"""
VOTE = "  %vote1 = select vote %texts rule majority(ties=first, invalid=drop) : str\n"
REWARDED = """
  %wait = const "\\n\\n" : str
  %words = const ("yes", "no") : list[str]
  %keys = map %sample1 as %x1: Candidate {
    %s1 = score reward %x1 given=%wait model=prm : list[float]
    %s2 = score choices %turn1 given=%words model=policy : list[float]
    %p0b = add(%s1, %s2) : list[float]
    %p1 = sum(%p0b) : float
    yield %p1
  } : list[float]
"""
OFFLINE = """
  %kept = offline @offline_kept1 "0f" (%turn: Context = %turn2, %count: int = %one) {
    %sample2 = generate sample %turn x %count model=policy : list[Candidate]
    %answers = map %sample2 as %x9: Candidate {
      %p9 = field[text](%x9) : str
      yield %p9
    } : list[str]
    %vote9 = select vote %answers rule majority(ties=first, invalid=drop) : str
    yield %vote9
  } : str
  %p = join(%texts) : str
  %a = add(%kept, %p) : str
  yield %a
"""
JUDGED = """
  %map1 = map %sample1 as %x1: Candidate {
    %turn3 = turn %turn1 user "{{ d }}" (d=%x1)
    %judge1 = generate judge %turn3 x %one model=judge : list[Candidate]
    %p1 = one(%judge1) : Candidate
    %p2 = field[text](%p1) : str
    %extern1 = extern check(%p2) : Report
    %p3 = field[passed](%extern1) : bool
    yield %p3
  } : list[bool]
"""


def plan(body: str, returns: str = "str", level: int = 2) -> Plan:
    program = read(f"program p(%question: str, %n: int = 4, %flag: bool = true) -> {returns} {{{HEAD}{body}}}")
    optimized, names, _ = run_passes(program, level)  # type: ignore[arg-type]
    return lower(optimized, level, names)  # type: ignore[arg-type]


def requests(body: str, returns: str = "str", level: int = 2) -> dict[str, Request]:
    return {request.node: request for request in plan(body, returns, level).requests}


def test_a_request_says_what_is_known() -> None:
    request = requests(VOTE + "  yield %vote1\n")["sample1"]
    assert request == Request(
        node="sample1",
        op="sample",
        role="policy",
        fixed=(("temperature", 0.7),),
        dynamic=(("max_tokens", "n"),),
        prefix=1,
        stream=False,
        share_prefix=True,
        abortable=True,
        critical=4,
    )


@pytest.mark.parametrize(
    ("body", "returns", "abortable"),
    [
        (VOTE + "  yield %vote1\n", "str", {"sample1": True}),
        # the pool is also counted, joined or returned: every candidate is needed
        (VOTE + "  %p = count(%texts) : int\n  %s = to_str(%p) : str\n  %a = add(%s, %vote1) : str\n  yield %a\n",
         "str", {"sample1": False}),
        (VOTE + "  yield %sample1\n", "list[Candidate]", {"sample1": False}),
        # two selections, both early: nobody needs what neither needs
        (VOTE + "  %f = select stop_first %sample1 count=%one rule first_finished(order=tokens, truncated=exclude) : "
         "list[Candidate]\n  %c = one(%f) : Candidate\n  %t = field[text](%c) : str\n  %a = add(%t, %vote1) : str\n"
         "  yield %a\n", "str", {"sample1": True}),
        # one of two waits for all
        (VOTE + "  %w = map %sample1 as %x9: Candidate {\n    %s9 = field[logprob](%x9) : float\n    yield %s9\n  } : "
         "list[float]\n  %b = select best %sample1 keys=%w rule greatest(ties=first) : Candidate\n"
         "  %t = field[text](%b) : str\n  %a = add(%t, %vote1) : str\n  yield %a\n", "str", {"sample1": False}),
        # judges inside a map, verdicts decided early
        (JUDGED + "  %any1 = select any %map1 rule quantified(any) : bool\n  yield %any1\n", "bool",
         {"sample1": True, "judge1": True}),
        (JUDGED + "  yield %map1\n", "list[bool]", {"sample1": False, "judge1": False}),
        # an extern outside of a map has effects and needs its argument
        (VOTE + "  %p = join(%texts) : str\n  %e = extern check(%p) : Report\n  yield %vote1\n", "str",
         {"sample1": False}),
        # through branches and loops
        (VOTE + "  %i = if @i %flag {\n    yield %sample1\n  } else {\n    yield %sample1\n  } : list[Candidate]\n"
         "  yield %i\n", "list[Candidate]", {"sample1": False}),
        # rewards inside a map, decided early against a known maximum; or not
        (REWARDED + "  %b = select best %sample1 keys=%keys rule greatest(ties=random, maximum=1.0) : Candidate\n"
         "  yield %b\n", "Candidate", {"sample1": True, "s1": True, "s2": True}),
        (REWARDED + "  %b = select best %sample1 keys=%keys rule greatest(ties=first) : Candidate\n  yield %b\n",
         "Candidate", {"sample1": False, "s1": False, "s2": False}),
        # a dependency graph waits for its elements, and an offline region for what it computes
        ("  %edges = const ((), (0,)) : list[list[int]]\n  %d = dag %sample1 needs %edges as %x: Candidate, "
         "%found: list[float] {\n    %s1 = score logprob %x model=policy : list[float]\n    %p = sum(%s1) : float\n"
         "    yield %p\n  } : list[float]\n  yield %d\n", "list[float]", {"sample1": False, "s1": False}),
        (OFFLINE, "str", {"sample1": False, "sample2": True}),
        ("  %no = const false : bool\n  %l = repeat @l %n (%k: list[Candidate] = %sample1) {\n"
         "    %branch1 = generate branch %k x %one model=policy : list[Candidate]\n    yield %branch1, %no\n"
         "  } : list[Candidate]\n  %f = select stop_first %l count=%one rule first_finished(order=tokens, "
         "truncated=exclude) : list[Candidate]\n  yield %f\n", "list[Candidate]", {"sample1": True, "branch1": True}),
    ],
)  # fmt: skip
def test_abortable(body: str, returns: str, abortable: dict[str, bool]) -> None:
    assert {node: request.abortable for node, request in requests(body, returns).items()} == abortable
    if "sample1" in abortable:
        assert not any(request.abortable for request in requests(body, returns, level=1).values())


def test_the_prefix_tree_and_where_requests_begin() -> None:
    body = """
  %no = const false : bool
  %wait = const "Wait" : str
  %l = repeat @l %n (%k: list[Candidate] = %sample1) {
    %force1 = force %k with %wait : list[Candidate]
    %branch1 = generate branch %force1 x %one model=policy : list[Candidate]
    yield %branch1, %no
  } : list[Candidate]
  %b = one(%l) : Candidate
  %turn9 = turn %b user literal "Sure?"
  %refine1 = generate refine %turn9 x %one model=policy : list[Candidate]
  yield %refine1
"""
    lowered = plan(body, "list[Candidate]")
    tree = {prefix.node: (prefix.kind, prefix.parent) for prefix in lowered.prefixes}
    at = {prefix.node: prefix.id for prefix in lowered.prefixes}
    assert tree["turn1"] == ("turn", None)
    assert tree["sample1"] == ("generation", at["turn2"])
    assert tree["force1"] == ("forced", at["sample1"])
    assert tree["branch1"] == ("generation", at["force1"])
    assert tree["turn9"] == ("turn", at["branch1"])
    begins = {request.node: request.prefix for request in lowered.requests}
    assert begins == {"sample1": at["turn2"], "branch1": None, "refine1": None}


def test_what_is_asked_of_models_that_score() -> None:
    body = """
  %cut1 = cut %sample1 at %one : list[Candidate]
  %again = generate branch %cut1 x %one model=policy : list[Candidate]
  %c = one(%again) : Candidate
  %s1 = score reward %c model=prm : list[float]
  %s2 = score logprob %turn2 given=%question model=policy : list[float]
  %s3 = score choices %turn1 given=%texts model=judge : list[float]
  %s4 = score embed %question model=prm : list[float]
  %d1 = draw resample["systematic resample sum"](%cut1, %s1, %n) : list[Candidate]
  %on = generate branch %d1 x %one model=policy : list[Candidate]
  %all = list(%s1, %s2, %s3, %s4) : list[list[float]]
  %flat = flatten(%all) : list[float]
  %both = pair(%flat, %on) : (list[float], list[Candidate])
  yield %both
"""
    lowered = plan(body, "(list[float], list[Candidate])")
    asked = {each.node: (each.kind, each.op, each.role, each.prefix) for each in lowered.requests}
    at = {prefix.node: prefix.id for prefix in lowered.prefixes}
    kinds = {prefix.node: (prefix.kind, prefix.parent) for prefix in lowered.prefixes}
    assert kinds["cut1"] == ("cut", at["sample1"]) and kinds["again"] == ("generation", at["cut1"])
    assert kinds["on"] == ("generation", at["cut1"])
    assert asked["sample1"] == ("generate", "sample", "policy", at["turn2"])
    assert asked["again"] == ("generate", "branch", "policy", at["cut1"])
    assert asked["s1"] == ("reward", "reward", "prm", at["again"])
    assert asked["s2"] == ("score", "logprob", "policy", at["turn2"])
    assert asked["s3"] == ("score", "choices", "judge", at["turn1"])
    assert asked["s4"] == ("embed", "embed", "prm", None)
    table = print_plan(lowered).split("selections")[0].splitlines()
    rows = {line.split()[0]: line.split("  ")[-1] for line in table if line.startswith("  %")}
    assert rows["%s1"] == "reward of %c" and rows["%s3"] == "choices of %turn1, %texts"


def test_a_grid_is_a_known_option() -> None:
    request = requests(
        "  %grid = const (0.2, 0.9) : list[float]\n"
        "  %g = generate sample %turn2 x %n (temperature=%grid) model=policy : list[Candidate]\n  yield %g\n",
        "list[Candidate]",
    )["g"]
    assert request.fixed == (("temperature", (0.2, 0.9)),)


def test_print() -> None:
    judged = plan(JUDGED + "  %any1 = select any %map1 rule quantified(any) : bool\n  yield %any1\n", "bool")
    assert print_plan(judged).startswith(
        f"""\
plan of p at -O2 (passes: {", ".join(judged.passes)})

prefix tree
  [0] %turn1  system: Reason step by step.
  ├─ [1] %turn2  user: {{{{ q }}}}
  │  └ [2] %sample1  sample x %n by policy
  └─ [3] %turn3  user: {{{{ d }}}}
     └ [4] %judge1  judge x %one by judge

requests
  node      model   count  after  critical  sampling                       facts
  %sample1  policy  %n     [1]    1028      temperature=0.7 max_tokens=%n  warms its prefix, may be aborted
  %judge1   judge   %one   [3]    1024      -                              warms its prefix, may be aborted

selections
  %any1  any over %map1 by quantified(any), as soon as it is decided

program p("""
    )
    nothing = print_plan(lower(read("program q() -> int {\n  %c = const 1 : int\n  yield %c\n}"), 0, ()))
    assert "(passes: none)" in nothing and "(empty)" in nothing and nothing.count("(none)") == 2
