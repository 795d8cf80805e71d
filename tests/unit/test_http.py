"""The HTTP client against a server that sends what a test tells it to, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from ttsc.backends.protocol import RequestRefused
from ttsc.backends.sglang.http1 import HttpError
from ttsc.backends.sglang.http_client import HttpClient
from ttsc.backends.sglang.routes import Route, base_url, is_loopback
from ttsc.backends.sglang.wire import decoded, encoded

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"


class Canned:
    """A server that gives each request the next of its answers, in pieces of `size` bytes; then it closes, if told."""

    def __init__(self, answers: Iterable[bytes], size: int = 1 << 20, close: bool = False) -> None:
        self.answers = list(answers)
        self.size = size
        self.close = close
        self.requests: list[bytes] = []
        self.connections = 0
        self.lost = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                self.requests.append(head + await reader.readexactly(int(length or 0)))
                if not self.answers:
                    continue
                answer = self.answers.pop(0)
                for at in range(0, len(answer), self.size):
                    writer.write(answer[at : at + self.size])
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost += 1
        finally:
            writer.close()


@asynccontextmanager
async def serving(canned: Canned, prefix: str = "") -> AsyncIterator[HttpClient]:
    server = await asyncio.start_server(canned.serve, "127.0.0.1", 0)
    canned.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = HttpClient(Route(canned.url + prefix, "secret"))
    try:
        yield client
    finally:
        await client.close()
        server.close()


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (HELLO, b"hello"),
        (CHUNKED, b"hello, world"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
async def test_an_answer_is_read_whatever_the_pieces_it_comes_in(answer: bytes, body: bytes, size: int) -> None:
    canned = Canned([answer, HELLO], size)
    async with serving(canned) as client:
        assert (await client.request("POST", "/x", b"{}")).body == body
        assert (await client.request("GET", "/y")).body == b"hello"
    assert canned.connections == 1, "the connection is used again"
    assert canned.requests[0].startswith(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization: Bearer secret\r\n" in canned.requests[0]


async def test_an_answer_without_a_length_goes_to_the_end_of_the_connection() -> None:
    canned = Canned([b"HTTP/1.1 200 OK\r\n\r\nall of it"], close=True)
    async with serving(canned) as client:
        assert (await client.request("GET", "/")).body == b"all of it"
        assert client.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnine\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        b"HTTP/1.1",
    ],
)
async def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    async with serving(Canned([answer], close=True)) as client:
        with pytest.raises(HttpError):
            await client.request("GET", "/")
        assert client.connections == 0
        assert not client.busy


async def test_a_connection_that_the_server_ends_is_not_used_again() -> None:
    closing = HELLO.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    canned = Canned([closing, HELLO.replace(b"1.1", b"1.0"), HELLO + b"surplus", HELLO])
    async with serving(canned) as client:
        for _ in range(4):
            assert (await client.request("GET", "/")).body == b"hello"
    assert canned.connections == 4


async def test_a_body_is_handed_on_as_it_arrives_but_not_that_of_an_error() -> None:
    refusal = b"HTTP/1.1 400 Bad Request\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nwhat"
    pieces: list[bytes] = []
    async with serving(Canned([CHUNKED, refusal])) as client:
        reply = await client.request("GET", "/", on_body=pieces.append)
        assert (reply.status, reply.body, pieces) == (200, b"", [b"hello", b", world"])
        reply = await client.request("GET", "/", on_body=pieces.append)
        assert (reply.status, reply.body, reply.headers["retry-after"]) == (400, b"what", "3")
        assert len(pieces) == 2


async def test_what_the_reader_of_a_body_raises_ends_the_request() -> None:
    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    async with serving(Canned([CHUNKED])) as client:
        with pytest.raises(ZeroDivisionError):
            await client.request("GET", "/", on_body=fail)
        assert client.connections == 0


async def test_cancelling_closes_the_connection() -> None:
    canned = Canned([])
    async with serving(canned) as client:
        asking = asyncio.create_task(client.request("GET", "/"))
        while not canned.requests:
            await asyncio.sleep(0.01)
        assert len(client.busy) == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert client.connections == 0
        assert not client.busy
        while not canned.lost:
            await asyncio.sleep(0.01)


async def test_closing_ends_what_is_under_way() -> None:
    canned = Canned([])
    async with serving(canned) as client:
        asking = asyncio.create_task(client.request("GET", "/"))
        while not canned.requests:
            await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(HttpError):
            await asking
        with pytest.raises(HttpError):
            await client.request("GET", "/")


async def test_nobody_at_the_address_is_told_apart() -> None:
    client = HttpClient(Route("http://127.0.0.1:1"))
    with pytest.raises(HttpError) as caught:
        await client.request("GET", "/")
    assert caught.value.refused


async def test_a_name_is_looked_up_and_a_prefix_kept() -> None:
    canned = Canned([HELLO])
    async with serving(canned) as numbered:
        named = HttpClient(Route(canned.url.replace("127.0.0.1", "localhost") + "/engines/a"))
        assert (await named.request("GET", "/health")).body == b"hello"
        await named.close()
        assert numbered.connections == 0
    assert canned.requests[0].startswith(b"GET /engines/a/health HTTP/1.1\r\nHost: localhost:")


# -- the way to a server --------------------------------------------------------------------------------------------


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def set_them(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_them


def test_a_proxy_of_the_environment_is_used_for_servers_elsewhere(proxies: Callable[..., None]) -> None:
    proxies(HTTP_PROXY="http://user:p%40ss@proxy.test:3128", NO_PROXY="near.test")
    route = Route("http://far.test:30000")
    assert route.address == ("proxy.test", 3128)
    head = route.head("POST", "/generate", b"{}")
    assert head.startswith(b"POST http://far.test:30000/generate HTTP/1.1\r\nHost: far.test:30000\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in head
    assert "p%40ss" not in route.shown
    assert Route("http://near.test:30000").address == ("near.test", 30000)
    assert Route("http://127.0.0.1:30000").address == ("127.0.0.1", 30000)


def test_a_server_with_tls_is_reached_through_a_tunnel(proxies: Callable[..., None]) -> None:
    proxies(ALL_PROXY="proxy.test:3128")
    route = Route("https://far.test", "key")
    assert route.tunnel == b"CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n"
    assert route.first_tls is None and route.tls is not None
    head = route.head("GET", "/model_info", None)
    assert head.startswith(b"GET /model_info HTTP/1.1\r\nHost: far.test\r\n")
    assert b"Authorization: Bearer key\r\n" in head


async def test_a_proxy_is_asked_for_the_servers_address(proxies: Callable[..., None]) -> None:
    canned = Canned([HELLO])
    async with serving(canned):
        proxies(HTTP_PROXY=canned.url)
        client = HttpClient(Route("http://far.test"))
        assert (await client.request("GET", "/health")).body == b"hello"
        await client.close()
    assert canned.requests[0].startswith(b"GET http://far.test/health HTTP/1.1\r\nHost: far.test\r\n")


async def test_a_proxy_that_refuses_a_tunnel_is_an_error(proxies: Callable[..., None]) -> None:
    canned = Canned([b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"])
    async with serving(canned):
        proxies(HTTPS_PROXY=canned.url)
        client = HttpClient(Route("https://far.test"))
        with pytest.raises(HttpError, match="407"):
            await client.request("GET", "/health")
        assert client.connections == 0
        await client.close()


@pytest.mark.parametrize("url", ["http://x:port", "ftp://x", "http://", "http://a b", "http://x:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RequestRefused, match="is not the address of a server"):
        Route(url)


def test_a_key_that_would_break_a_request_is_refused() -> None:
    with pytest.raises(RequestRefused, match="API key"):
        Route("http://127.0.0.1:30000", "key\r\nX: y")


def test_a_proxy_that_cannot_be_used_is_named(proxies: Callable[..., None]) -> None:
    proxies(HTTP_PROXY="socks5://proxy.test:1080")
    with pytest.raises(RequestRefused, match="socks5://proxy.test:1080"):
        Route("http://far.test")


def test_addresses() -> None:
    assert base_url(" 127.0.0.1:30000/v1/ ") == "http://127.0.0.1:30000"
    assert is_loopback("http://[::1]:30000") and not is_loopback("http://far.test")
    assert b"Host: [::1]:30000\r\n" in Route("http://[::1]:30000").head("GET", "/", None)
    assert b"Authorization: Basic dTpw\r\n" in Route("http://u:p@127.0.0.1").head("GET", "/", None)


def test_json_that_the_fast_reader_does_not_take() -> None:
    assert decoded(encoded({"stop": ["\ud800"], "seed": 2**70})) == {"stop": ["\ud800"], "seed": 2**70}
    assert decoded(encoded((1, 2))) == [1, 2]
    assert decoded(b"[NaN]") != [0]
