"""What a server says of itself, as far as we need to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import EngineInfo, EngineUnavailable, RequestRefused
from ttsc.backends.sglang.abilities import abilities, schema_facts
from ttsc.backends.sglang.connection import Connection


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """An engine's description, and where its server takes the tokenizer from."""

    info: EngineInfo
    tokenizer: str


async def engine_info(connection: Connection) -> ServerFacts:
    """Ask a server what it serves and how.

    Raises `EngineUnavailable` when nothing answers, `RequestRefused` when what answers is no SGLang server. A router
    that lacks /server_info is accepted; seeds then count as not honoured.
    """
    model = await connection.get_json("/model_info")
    if model is None:
        model = await connection.get_json("/get_model_info")
    if model is None:
        raise RequestRefused(
            f"{connection.url} answers, but not as an SGLang server does",
            "ttsc needs SGLang's native interface (/generate with token ids)",
        )
    server = await connection.get_json("/server_info") or await connection.get_json("/get_server_info") or {}
    path = str(model.get("model_path") or server.get("model_path") or "")
    if not path:
        raise EngineUnavailable(f"{connection.url} does not say which model it serves")
    context = await _context_tokens(connection, server)
    seeds, why = seeds_honoured(server)
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
    info = EngineInfo(
        name="sglang",
        model=path,
        context_tokens=context,
        seeds_honoured=seeds,
        page_tokens=int(server.get("page_size") or 1),
        device=str(server.get("device") or ""),
        abilities=abilities(model, server),
        details=details,
    )
    return ServerFacts(info, str(model.get("tokenizer_path") or path))


def seeds_honoured(server: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether equal seeds give equal tokens whatever the batch, and why (not)."""
    if not server:
        return False, "unknown: the server does not describe itself (a router?)"
    if not server.get("enable_deterministic_inference"):
        return False, "ignored: the server runs without --enable-deterministic-inference"
    if server.get("device") == "cpu" and server.get("dtype") not in ("float32", "float", "torch.float32"):
        return False, f"not in {server.get('dtype')} on a CPU, whose matrix products differ with the batch; use float32"
    return True, "honoured: deterministic inference"


async def _context_tokens(connection: Connection, server: Mapping[str, Any]) -> int:
    """Tokens that prompt and answer may have together: the model's context, or what the KV memory holds if less."""
    limits = [int(server[key]) for key in ("context_length", "max_total_num_tokens") if server.get(key)]
    listing = await connection.get_json("/v1/models") or {}
    for card in listing.get("data") or ():
        if isinstance(card, dict) and card.get("max_model_len"):
            limits.append(int(card["max_model_len"]))
    if not limits:
        raise EngineUnavailable(f"{connection.url} does not say how long its model's context is")
    return min(limits)
