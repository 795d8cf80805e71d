"""What a server says of itself, as far as we need to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import EngineInfo, EngineUnavailable, RequestRefused
from ttsc.backends.sglang.abilities import abilities, schema_facts
from ttsc.backends.sglang.architecture import dense_parameters
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.loads import ranks_of


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """An engine's description, and where its server takes the tokenizer from."""

    info: EngineInfo
    tokenizer: str


async def engine_info(connection: Connection) -> ServerFacts:
    """Ask a server what it serves and how.

    Raises `EngineUnavailable` when nothing answers, `RequestRefused` when what answers is no SGLang server. Of a router
    the workers are asked (see `router`); where they can't be reached, seeds count as not honoured. From now on the
    connection refuses another model at this address.
    """
    model = await connection.get_json("/model_info")
    if model is None:
        model = await connection.get_json("/get_model_info")
    if model is None:
        raise RequestRefused(
            f"{connection.url} answers, but not as an SGLang server does",
            "ttsc needs SGLang's native interface (/generate with token ids)",
        )
    servers = await _descriptions(connection)
    server = servers[0] if servers else {}
    path = str(model.get("model_path") or server.get("model_path") or "")
    if not path:
        raise EngineUnavailable(f"{connection.url} does not say which model it serves")
    context = await _context_tokens(connection, servers)
    # Of several workers the one that promises least speaks for all.
    seeds, why = min(map(seeds_honoured, servers)) if servers else seeds_honoured({})
    running, kv_tokens = await _capacity(connection, servers)
    details = {
        "seeds": why,
        "sglang": str(server.get("version") or "unknown"),
        "dtype": str(server.get("dtype") or "unknown"),
        "schema": schema_facts(server),
        "url": connection.url,
    }
    for key in ("max_total_num_tokens", "max_running_requests", "attention_backend", "schedule_policy", "tp_size"):
        if server.get(key) is not None:
            details[key] = str(server[key])
    if int(server.get("chunked_prefill_size") or 0) > 0:
        details["chunked_prefill_size"] = str(server["chunked_prefill_size"])
    if connection.workers is not None:
        details["workers"] = str(len(await connection.workers.clients()))
    lower_first = {bool(each.get("schedule_low_priority_values_first")) for each in servers}
    priorities = (
        bool(servers) and len(lower_first) == 1 and all(each.get("enable_priority_scheduling") for each in servers)
    )
    if priorities:
        details["priorities"] = "lower first" if True in lower_first else "greater first"
    info = EngineInfo(
        name="sglang",
        model=path,
        context_tokens=context,
        seeds_honoured=seeds,
        page_tokens=int(server.get("page_size") or 1),
        device=str(server.get("device") or ""),
        abilities=abilities(model, server),
        max_running=running,
        kv_tokens=kv_tokens,
        priorities=priorities,
        parameters=dense_parameters(path),
        details=details,
    )
    connection.model = path
    return ServerFacts(info, str(model.get("tokenizer_path") or path))


async def _descriptions(connection: Connection) -> Sequence[Mapping[str, Any]]:
    """A server's description of itself, or those of a router's workers; empty where there is none."""
    server = await connection.get_json("/server_info") or await connection.get_json("/get_server_info")
    if server is not None and "router_manager" not in server:
        return [server]
    await connection.look_behind()
    return [] if connection.workers is None else await connection.workers.described("/server_info")


async def _capacity(connection: Connection, servers: Sequence[Mapping[str, Any]]) -> tuple[int | None, int | None]:
    """Sequences that run at once at most, and tokens that the KV memory holds: of all ranks and workers together."""
    ranks = await ranks_of(connection)
    if ranks and all(rank.get("max_running_requests") for rank in ranks):
        return sum(int(rank["max_running_requests"]) for rank in ranks), sum(_tokens(rank) for rank in ranks) or None
    running = tokens = 0
    for server in servers:
        copies = int(server.get("dp_size") or 1)
        tokens += copies * _tokens(server)
        state: Mapping[str, Any] = next(iter(server.get("internal_states") or ()), {})
        running += copies * int(state.get("effective_max_running_requests_per_dp") or 0)
        running += int(server.get("max_running_requests") or 0) if not state else 0
    return running or None, tokens or None


def _tokens(facts: Mapping[str, Any]) -> int:
    return int(facts.get("max_total_num_tokens") or 0)


def seeds_honoured(server: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether equal seeds give equal tokens whatever the batch, and why (not)."""
    if not server:
        return False, "unknown: the server does not describe itself (a router?)"
    if not server.get("enable_deterministic_inference"):
        return False, "ignored: the server runs without --enable-deterministic-inference"
    if server.get("device") == "cpu" and server.get("dtype") not in ("float32", "float", "torch.float32"):
        return False, f"not in {server.get('dtype')} on a CPU, whose matrix products differ with the batch; use float32"
    return True, "honoured: deterministic inference"


async def _context_tokens(connection: Connection, servers: Sequence[Mapping[str, Any]]) -> int:
    """Tokens that prompt and answer may have together: the model's context, or what the KV memory holds if less."""
    keys = ("context_length", "max_total_num_tokens")
    limits = [int(server[key]) for server in servers for key in keys if server.get(key)]
    if connection.workers is not None:
        listings = await connection.workers.described("/v1/models")
    else:
        listings = [await connection.get_json("/v1/models") or {}]
    for card in (card for listing in listings for card in listing.get("data") or ()):
        if isinstance(card, dict) and card.get("max_model_len"):
            limits.append(int(card["max_model_len"]))
    if not limits:
        raise EngineUnavailable(f"{connection.url} does not say how long its model's context is")
    return min(limits)
