"""Budgets of FLOPs, eFLOPs and dollars: what a ledger reserves and settles, where prices come from, and the way out
where there is none.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import EngineInfo
from ttsc.backends.scripted import ScriptedEngine
from ttsc.budgets import price_of_engine, prices_for, read_budget
from ttsc.cli import run as command
from ttsc.cli.app import app
from ttsc.compiler.cost.prices import Price, Rates, price_of
from ttsc.compiler.cost.units import TokenUse
from ttsc.compiler.ir.nodes import Limit
from ttsc.errors import UsageError
from ttsc.machines import costs_for
from ttsc.runtime.ledger import Ledger, Reservation

VOTE = """
prompt solve(q: str) { user "{{ q }}" }
program vote_on(q: str, n: int = 8) -> str BUDGET { return solve(q) |> sample(n, max_tokens=100) |> vote(by=text) }
"""
DECODED = Price({"flops": Rates(computed=2.0, decoded=3.0), "cost": Rates(decoded=1e-3)}, "a test")


class Served(ScriptedEngine):
    """Says of itself what a server would."""

    def __init__(self, device: str = "", model: str = "Qwen3-8B", words: int = 5) -> None:
        super().__init__(lambda prompt, seed, sampling: "yes " * words)
        self.served = model, device

    @property
    def info(self) -> EngineInfo:
        known = super().info
        model, device = self.served
        return EngineInfo(known.name, model, known.context_tokens, known.seeds_honoured, device=device)


def reserved(ledger: Ledger, role: str, most: TokenUse) -> Reservation | str:
    """What a claim is answered at once; "" if it waits."""
    told: list[Any] = []
    ledger.claim(1, role, most, told.append, lambda error: told.append(error.failure.message))
    return told[0] if told else ""


def codes(caught: pytest.ExceptionInfo[UsageError]) -> list[str]:
    assert all(problem.hint for problem in caught.value.problems)
    return [problem.code for problem in caught.value.problems]


# --- the ledger ---


def test_a_request_reserves_its_price_and_settles_for_what_it_took() -> None:
    ledger = Ledger([Limit("flops", 1000)], {"a": DECODED})
    first = reserved(ledger, "a", TokenUse(100, 0, 200))
    assert isinstance(first, Reservation)
    assert reserved(ledger, "a", TokenUse(100, 0, 10)) == "", "800 are reserved"
    first.settle(TokenUse(100, 50, 20))
    assert ledger.priced == {"flops": 2 * 50 + 3 * 20}
    assert ledger.spent == 70


def test_what_nobody_knows_costs_all_that_was_reserved() -> None:
    ledger = Ledger([Limit("cost", 0.05)], {"a": DECODED})
    reservation = reserved(ledger, "a", TokenUse(10, 0, 40))
    assert isinstance(reservation, Reservation)
    reservation.settle(None)
    assert ledger.amounts == {"cost": pytest.approx(0.04)}
    refused = reserved(ledger, "a", TokenUse(10, 0, 20))
    assert refused == (
        "the budget `cost <= $0.05` has no room for another request, which may cost $0.02 where $0.01 are left"
    )
    assert ledger.cut == "cost <= $0.05"


def test_roles_have_their_own_prices() -> None:
    dear = Price({"cost": Rates(decoded=1.0)})
    ledger = Ledger([Limit("cost", 5)], {"a": DECODED, "b": dear})
    assert isinstance(reserved(ledger, "a", TokenUse(1, 0, 100)), Reservation)
    assert isinstance(reserved(ledger, "b", TokenUse(1, 0, 4)), Reservation)
    assert reserved(ledger, "b", TokenUse(1, 0, 1)) == "", "waits for the others"
    assert "no room" in str(reserved(Ledger([Limit("cost", 5)], {"b": dear}), "b", TokenUse(1, 0, 6)))


def test_each_clause_is_kept_by_itself() -> None:
    ledger = Ledger([Limit("tokens", 1000), Limit("flops", 100)], {"a": DECODED})
    assert "flops <= 100" in str(reserved(ledger, "a", TokenUse(10, 0, 50)))
    assert isinstance(reserved(ledger, "a", TokenUse(10, 0, 20)), Reservation)


def test_a_limit_is_met_exactly() -> None:
    ledger = Ledger([Limit("cost", 0.3)], {"a": DECODED})
    for _ in range(3):
        reservation = reserved(ledger, "a", TokenUse(0, 0, 100))
        assert isinstance(reservation, Reservation)
        reservation.settle(None)
    assert ledger.priced == {"cost": 300_000_000_000}
    assert isinstance(reserved(ledger, "a", TokenUse(0, 0, 1)), str)


def test_a_role_without_a_price_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="without a price for 'b'"):
        reserved(Ledger([Limit("cost", 1)], {"a": DECODED}), "b", TokenUse(1))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 300), st.booleans()), max_size=40))
def test_the_sum_of_what_is_settled_never_exceeds_a_limit(asked: list[tuple[int, int, int, bool]]) -> None:
    costs = costs_for("h100@2.50", "Qwen3-0.6B")
    price = price_of(costs.machine, costs.shape, costs.hardware)
    most = price.of("cost", TokenUse(900, 0, 900))
    ledger = Ledger([Limit("cost", most * 1e-12)], {"a": price})
    paid = 0
    for prompt, cached, decoded, known in asked:
        told = reserved(ledger, "a", TokenUse(prompt, 0, decoded))
        if isinstance(told, Reservation):
            use = TokenUse(prompt, min(prompt, cached), decoded // 2)
            told.settle(use if known else None)
            paid += price.of("cost", use if known else TokenUse(prompt, 0, decoded))
    assert ledger.priced["cost"] == paid <= most


# --- prices of engines ---


def test_flops_need_the_models_shape_alone() -> None:
    price = price_of_engine(Served())
    assert set(price.rates) == {"flops"}


def test_an_engine_that_says_what_it_runs_on() -> None:
    assert set(price_of_engine(Served("NVIDIA H100 80GB HBM3")).rates) == {"flops", "eflops"}
    assert set(price_of_engine(Served("NVIDIA H100 80GB HBM3"), "h100@2.50").rates) == {"flops", "eflops", "cost"}


def test_prices_per_token_need_no_shape(tmp_path: Path) -> None:
    file = tmp_path / "sold.toml"
    file.write_text('base = "h100"\n[dollars_per_million]\nprompt = 3\ndecoded = 15\n')
    price = price_of_engine(Served(model="nobody/knows"), str(file))
    assert price.of("cost", TokenUse(1000, 0, 0)) == 3_000_000_000


def test_a_model_that_is_named_has_a_shape() -> None:
    assert price_of_engine(Served(model="/far/away"), None, "Qwen3-4B") == price_of_engine(Served(model="Qwen3-4B"))


@pytest.mark.parametrize(
    ("budget", "engine", "hardware", "said"),
    [
        ("flops<=1e15", Served(model="nobody/knows"), None, "shape of the model 'nobody/knows'"),
        ("eflops<=1e15", Served(), None, "what hardware it runs on is not known"),
        ("cost<=$1", Served(), None, "what hardware it runs on is not known"),
        ("cost<=$1", Served("NVIDIA H100 80GB HBM3"), None, "what its hardware costs is not known"),
        ("cost<=$1", Served(), "a100", "what its hardware costs is not known"),
    ],
)
def test_an_unknown_price_is_refused_with_a_way_out(
    budget: str, engine: Served, hardware: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        prices_for(read_budget(budget), {"default": engine}, hardware)
    assert codes(caught) == ["E0516"]


def test_hardware_for_a_role_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="'jugde'") as caught:
        prices_for((), {"judge": Served()}, {"jugde": "h100"})
    assert codes(caught) == ["E0510"]


def test_hardware_with_a_price_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="what an hour costs") as caught:
        prices_for(read_budget("cost<=$1"), {"default": Served()}, "h100@cheap")
    assert codes(caught) == ["E0530"]


def test_without_such_a_clause_nothing_is_asked_for() -> None:
    assert prices_for(read_budget("tokens<=5, latency<=3s"), {"default": Served(model="nobody/knows")}) == {}


# --- runs ---


def test_a_run_keeps_to_dollars_and_says_what_it_spent() -> None:
    engine = Served(words=30)
    program = ttsc.compile(VOTE.replace("BUDGET", ""))
    price = price_of_engine(engine, "h100@2.50")
    one = price.of("cost", TokenUse(6, 0, 100)) * 1e-12
    result = program.run(q="why", engine=engine, hardware="h100@2.50", budget=[Limit("cost", 1.5 * one)])
    assert result.reason.startswith("cost <= $")
    assert result.value == "yes " * 30
    assert 0 < result.usage.priced["cost"] <= 1.5 * one
    free = program.run(q="why", engine=engine, hardware="h100@2.50", budget="cost<=$1")
    assert not free.cut
    assert free.usage.requests > result.usage.requests


def test_a_programs_own_clause_needs_a_price() -> None:
    program = ttsc.compile(VOTE.replace("BUDGET", "budget cost <= $1"))
    with pytest.raises(UsageError) as caught:
        program.run(q="why", engine=Served())
    assert codes(caught) == ["E0516"]
    assert program.run(q="why", engine=Served(), hardware={"policy": "h100@2.50"}).usage.priced["cost"] > 0


def test_a_resumed_run_has_spent_what_it_had(tmp_path: Path) -> None:
    """The first run ends as if it was killed: its input is not on record as ended."""
    journal, engine = tmp_path / "journal", Served()
    program = ttsc.compile(VOTE.replace("BUDGET", "budget flops <= 1e18"))

    async def cut_off() -> None:
        async with program.open(engine=engine, journal=journal) as runs:
            task = asyncio.create_task(runs.run({"q": "why", "n": 8}))
            while len(engine.records) < 4 or not all(record.completion for record in engine.records[:3]):
                await asyncio.sleep(0)
            assert runs.journal is not None
            await runs.journal.flush()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cut_off())
    before = len(engine.records)
    whole = ttsc.compile(VOTE.replace("BUDGET", "budget flops <= 1e18")).run(q="why", engine=Served())
    resumed = program.run(q="why", n=8, engine=engine, journal=journal)
    assert resumed.usage.taken_requests > 0
    assert resumed.usage.priced["flops"] >= whole.usage.priced["flops"]
    assert len(engine.records) - before < whole.usage.requests


def test_a_trace_of_a_run_with_dollars_is_replayed(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    program = ttsc.compile(VOTE.replace("BUDGET", "budget cost <= $0.0006"))
    result = program.run(q="why", engine=Served(words=30), hardware="h100@2.50", trace=trace)
    assert result.cut
    (again,) = ttsc.replay(trace)
    assert (again.value, again.reason, again.usage) == (result.value, result.reason, result.usage)


def test_a_standalone_file_counts_no_dollars(tmp_path: Path) -> None:
    file = tmp_path / "vote.tts"
    file.write_text(VOTE.replace("BUDGET", "budget cost <= $1"))
    done = CliRunner().invoke(app, ["build", str(file)], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert done.exception.problems[0].code == "E0516"
    given = CliRunner().invoke(app, ["build", str(file), "--budget", "tokens<=9k"], standalone_mode=False)
    assert given.exception is None
    assert "BudgetedJob" in given.output


def test_the_command_says_what_was_spent_and_ends_with_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    program = Path(__file__).parents[2] / "programs" / "self_consistency.tts"
    simulated = ["--engine", "simulator", "--hardware", "h100@2.50", "--set", "question=why"]
    ended = command(["run", str(program), *simulated, "--budget", "cost<=$0.00004"])
    said = capsys.readouterr().err
    assert ended == 4
    assert "prices    by roofline of Qwen3-8B on H100 SXM, $2.5 an hour, shared by 32" in said
    assert "cut       cost <= $0.00004; the answer is the best so far" in said
    assert "spent     $" in said
