"""What a server can be asked for, found from what it says of itself, and what to say where it can't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from ttsc.backends.protocol import Ability, AbilityMissing, EngineInfo
from ttsc.backends.sglang.architecture import served_purpose

_GENERATES: frozenset[Ability] = frozenset({"generate", "score"})
_WHAT: Mapping[Ability, str] = {
    "generate": "generate",
    "score": "score tokens",
    "schema": "keep to a JSON schema",
    "reward": "rate a text",
    "embed": "embed a text",
    "images": "take pictures",
}


def abilities(model: Mapping[str, Any], server: Mapping[str, Any]) -> frozenset[Ability]:
    """From the answers of /model_info and /server_info (empty where a router gives none: then SGLang's defaults)."""
    match served_purpose(model.get("architectures") or (), model.get("is_generation") is not False):
        case "reward":
            return frozenset({"reward"})
        case "embed":
            return frozenset({"embed"})
        case "generate":
            found = set(_GENERATES)
            if server.get("grammar_backend") != "none":
                found.add("schema")
            if model.get("has_image_understanding"):
                found.add("images")
            return frozenset(found)
        case purpose:
            assert_never(purpose)


def schema_facts(server: Mapping[str, Any]) -> str:
    """Which grammar backend constrains decoding, and what it lets stand between the parts of a JSON value."""
    backend = server.get("grammar_backend")
    if not backend or backend == "none":
        return "none" if backend else "unknown: the server does not describe itself (a router?)"
    if server.get("constrained_json_disable_any_whitespace"):
        return f"{backend}, compact"
    most = server.get("constrained_json_max_whitespace_cnt")
    if most is not None:
        return f"{backend}, at most {most} white space characters in a row"
    return f"{backend}, any white space: start the server with --constrained-json-disable-any-whitespace"


def require(info: EngineInfo, url: str, ability: Ability) -> None:
    """Raise `AbilityMissing`, with what to start instead, unless the engine has the ability."""
    if ability not in info.abilities:
        raise AbilityMissing(f"{url} serves {info.model} {_as(info)}: it cannot {_WHAT[ability]}", _way_out(ability))


def _as(info: EngineInfo) -> str:
    if "generate" in info.abilities:
        return "as a model that generates text"
    return "as a reward model" if "reward" in info.abilities else "as an embedding model"


def _way_out(ability: Ability) -> str:
    match ability:
        case "generate" | "score":
            return "give this role a model that generates text: `ttsc engine start MODEL`"
        case "schema":
            return "start the server without `--grammar-backend none`"
        case "reward":
            return (
                "give this role a reward model: `ttsc engine start FOLDER`, of one whose config.json names an "
                "architecture …ForSequenceClassification or …RewardModel"
            )
        case "embed":
            return "give this role an embedding model: `ttsc engine start MODEL -- --is-embedding`"
        case "images":
            return "give this role a model that takes pictures, such as Qwen/Qwen2.5-VL-3B-Instruct"
        case _:
            assert_never(ability)
