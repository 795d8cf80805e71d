"""The command line and environment of an engine on the CPU."""

from __future__ import annotations

import os

from ttsc.backends.sglang.cpu.platform import SWITCH

PLATFORM_NAME = "ttsc_cpu"
"""Name of the entry point in the group `sglang.srt.platforms`."""
ATTENTION_BACKEND = "ttsc_cpu"
SERVE_MODULE = "ttsc.backends.sglang.cpu.serve"
"""Run as `python -m SERVE_MODULE <argv>`."""
MODEL_PACKAGE = "ttsc.backends.sglang.cpu.models"
DEFAULT_MAX_TOTAL_TOKENS = 32768
"""Size of the key-value cache in tokens; about 46 kB each for a 135M-parameter model in float32."""

PREFILL_CHUNK_TOKENS = 1024
"""Prompt tokens computed in one step, seconds of work on two cores. An abort takes effect between steps, decoding waits
for them, and scores hold the logits of a whole step (0.2 GB per 1,024 tokens of a vocabulary of 49,152). SGLang's own
4,096 are no faster here.
"""


def cpu_server_args(
    model_path: str,
    port: int,
    *,
    host: str = "127.0.0.1",
    deterministic: bool = False,
    dtype: str | None = None,
    max_total_tokens: int | None = None,
    max_running_requests: int | None = None,
    context_length: int | None = None,
    threads: int | None = None,
    log_level: str = "warning",
) -> tuple[list[str], dict[str, str]]:
    """Arguments for `python -m` `SERVE_MODULE` and the environment variables to add to the launcher's own."""
    argv = ["--model-path", model_path, "--host", host, "--port", str(port), "--device", "cpu"]
    argv += ["--dtype", dtype or "float32", "--attention-backend", ATTENTION_BACKEND, "--sampling-backend", "pytorch"]
    argv += ["--max-total-tokens", str(max_total_tokens or DEFAULT_MAX_TOTAL_TOKENS), "--disable-overlap-schedule"]
    argv += ["--chunked-prefill-size", str(PREFILL_CHUNK_TOKENS)]
    argv += ["--skip-server-warmup", "--sleep-on-idle", "--enable-metrics", "--log-level", log_level]
    if max_running_requests is not None:
        argv += ["--max-running-requests", str(max_running_requests)]
    if context_length is not None:
        argv += ["--context-length", str(context_length)]
    if deterministic:
        argv.append("--enable-deterministic-inference")
    environment = {
        SWITCH: "1",
        "SGLANG_PLATFORM": PLATFORM_NAME,
        "SGLANG_PLUGINS": PLATFORM_NAME,
        "SGLANG_EXTERNAL_MODEL_PACKAGE": MODEL_PACKAGE,
        "TORCHDYNAMO_DISABLE": "1",
    }
    environment["TTSC_CPU_THREADS"] = str(threads or available_cores())
    return argv, environment


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
