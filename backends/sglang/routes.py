"""The way to a server: address, TLS, key, and the proxies that the environment names for servers elsewhere."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import urllib.request
from urllib.parse import SplitResult, unquote, urlsplit

from ttsc.backends.protocol import RequestRefused

_PORTS = {"http": 80, "https": 443}


class Route:
    """Where requests to a server go, and how their heads begin."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """`url` is a `base_url`. Raises `RequestRefused` for one that cannot be used."""
        server = _split(url)
        self.host = _host(server)
        """The server's name, as its certificate has it."""
        self.tls = ssl.create_default_context() if server.scheme == "https" else None
        proxy = None if is_loopback(url) else _proxy(server.scheme, self.host)
        first = proxy or server
        self.address = (_host(first), _port(first))
        """Where connections lead: the server's, or its proxy's."""
        self.shown = f"{first.scheme}://{first.hostname}:{_port(first)}"
        """The address for messages: without a password."""
        self.first_tls = ssl.create_default_context() if proxy is not None and proxy.scheme == "https" else self.tls
        if proxy is not None and proxy.scheme == "http":
            self.first_tls = None
        self.literal = _is_address(self.address[0])
        """Whether the address needs no look-up."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        place = named if _port(server) == _PORTS[server.scheme] else f"{named}:{_port(server)}"
        fields = [f"Host: {place}", "Accept: */*", "Accept-Encoding: identity", "User-Agent: ttsc"]
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise RequestRefused("the API key has characters that a key cannot have", "look for a line break in it")
        if api_key or server.username is not None:
            fields.append("Authorization: " + (f"Bearer {api_key}" if api_key else _basic(server)))
        passes = [f"Proxy-Authorization: {_basic(proxy)}"] if proxy is not None and proxy.username is not None else []
        self.tunnel: bytes | None = None
        """What asks the proxy to lead through, where the server speaks TLS."""
        self._before = server.path
        if proxy is not None and self.tls is not None:
            where = f"{named}:{_port(server)}"
            lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", *passes]
            self.tunnel = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        elif proxy is not None:
            self._before = f"http://{place}{server.path}"
            fields += passes
        self._fields = "".join(f"{field}\r\n" for field in fields)

    def head(self, method: str, path: str, body: bytes | None) -> bytes:
        """The head of a request whose body, if it has one, is JSON."""
        length = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{method} {self._before}{path} HTTP/1.1\r\n{self._fields}{length}\r\n".encode("latin-1")


def base_url(url: str) -> str:
    """A server's address as it is used: with a scheme, without a trailing slash or the OpenAI API's /v1."""
    text = url.strip().rstrip("/").removesuffix("/v1")
    return text if "://" in text else f"http://{text}"


def is_loopback(url: str) -> bool:
    """Whether a server is on this machine, by its address."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        _host(parts)
    except ValueError:
        usable = False
    if not usable or not url.isascii() and not parts.path.isascii() or any(mark.isspace() for mark in url):
        raise RequestRefused(f"{url} is not the address of a server", "an address looks like http://127.0.0.1:30000")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode()


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _proxy(scheme: str, host: str) -> SplitResult | None:
    """The proxy that the environment names for a server: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, unless NO_PROXY does."""
    named = urllib.request.getproxies()
    url = named.get(scheme) or named.get("all")
    if not url or urllib.request.proxy_bypass(host):
        return None
    try:
        return _split(url if "://" in url else f"http://{url}")
    except RequestRefused:
        raise RequestRefused(
            f"the environment's proxy cannot be used: {url}",
            f"name an http:// one in {scheme.upper()}_PROXY, or the server in NO_PROXY",
        ) from None


def _basic(parts: SplitResult) -> str:
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
