"""What a server is doing now: SGLang's /v1/loads, which reads a snapshot and asks nobody.

The scheduler publishes it every few steps (`--load-snapshot-publish-interval`, 15 by default) and when it falls idle,
so it may be some steps old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ttsc.backends.protocol import Load, RequestFailed
from ttsc.backends.sglang.connection import Connection

LOADS = "/v1/loads?include=core"


async def load_of(connection: Connection) -> Load | None:
    """The load of a server, or of a router's workers together; None where nobody says. Raises `EngineError`."""
    ranks = await ranks_of(connection)
    try:
        return _together(ranks) if ranks else None
    except (KeyError, TypeError, ValueError) as error:
        raise RequestFailed(f"the server's answer about its load lacks what SGLang sends: {error!r}") from error


async def ranks_of(connection: Connection) -> Sequence[Mapping[str, Any]]:
    """What each data-parallel rank of each worker publishes; empty where the server has no such thing."""
    if not connection.tells_load:
        return ()
    if connection.workers is not None:
        answers = await connection.workers.described(LOADS)
    else:
        answer = await connection.get_json(LOADS)
        connection.tells_load = answer is not None
        answers = [answer] if answer is not None else []
    return [rank for answer in answers for rank in answer.get("loads") or () if isinstance(rank, dict)]


def _together(ranks: Sequence[Mapping[str, Any]]) -> Load:
    total = sum(int(rank["max_total_num_tokens"]) for rank in ranks)
    used = sum(int(rank["num_used_tokens"]) for rank in ranks)
    return Load(
        running=sum(int(rank["num_running_reqs"]) for rank in ranks),
        waiting=sum(int(rank["num_waiting_reqs"]) for rank in ranks),
        kv_used=min(1.0, used / total) if total else 0.0,
    )
