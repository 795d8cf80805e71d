"""A question to a server where nothing else is to be done meanwhile: one connection, one answer, no event loop."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from ttsc.backends.sglang.routes import is_loopback


def ask(url: str, body: bytes | None = None, *, timeout_s: float, api_key: str | None = None) -> tuple[int, bytes]:
    """Status and body of a GET, or of a POST of JSON. The environment's proxies are asked for servers elsewhere.

    Raises `OSError` when nothing answers in time.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=body, headers=headers)
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(url) else []))
    try:
        with opener.open(request, timeout=timeout_s) as reply:
            return int(reply.status), bytes(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{url} does not answer as an HTTP server does: {error}") from error
