"""Cases of peers.py: an ASGI application under uvicorn, by both of its HTTP parsers."""

import asyncio
import http.client
import itertools
import json

import aiohttp
from asgi import PARSERS, pieces
from content import digest
from harness import CLIENT, inside
from scene import LARGE, SECONDS, SMALL, URL, Curl, body, connect, expected, same


def streamed_response():
    """ASGI: a streamed response comes in chunks, whole."""
    for parser in PARSERS:
        connection = connect()
        for length in (0, 1, SMALL):
            connection.request("GET", f"/{parser}/content/{length}")
            response = connection.getresponse()
            assert response.headers["Transfer-Encoding"] == "chunked", response.headers.items()
            same(response.read(), length)


def streamed_request():
    """ASGI: a request in chunks of many sizes arrives as chunks, whole."""
    for parser in PARSERS:
        connection = connect()
        for length in (0, 1, SMALL):
            connection.request("POST", f"/{parser}/digest", body=pieces(length), encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked"})
            told = connection.getresponse().read()
            want = {"method": "POST", "framing": "chunked", "bytes": length, "sha256": expected(length)}
            assert json.loads(told) == want, told


def full_duplex():
    """ASGI: an echo goes on while the request does: each piece is sent when the last came back."""
    async def session(parser):
        back = asyncio.Queue()
        sizes = (1, 10, 1000, 50_000)

        async def upload():
            for number, size in enumerate(sizes):
                yield bytes([number]) * size
                got = b""
                while len(got) < size:
                    got += await back.get()
                assert got == bytes([number]) * size, f"piece {number} differs"

        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.post(f"{URL}/{parser}/echo", data=upload()) as response:
            total = 0
            async for data in response.content.iter_any():
                total += len(data)
                await back.put(data)
            assert total == sum(sizes), total

    for parser in PARSERS:
        with inside(CLIENT):
            asyncio.run(session(parser))


def expect_accepted():
    """ASGI: a client that expects 100 gets it from the application, then sends its body."""
    for parser in PARSERS:
        got = Curl(f"/{parser}/digest", "--request", "POST", "--upload-file", "/tmp/www/nginx/small",
                   "--header", "Expect: 100-continue", "--expect100-timeout", str(SECONDS))
        assert got.json()["sha256"] == expected(SMALL), got.content


def expect_refused():
    """ASGI: a client that expects 100 gets the application's 403, and sends nothing."""
    for parser in PARSERS:
        got = Curl(f"/{parser}/refuse", "--request", "POST", "--upload-file", "/tmp/www/nginx/large",
                   "--header", "Expect: 100-continue", "--expect100-timeout", str(SECONDS))
        assert (got.status, got.content, got.told["size_upload"]) == (403, b"not this\n", 0), got.told


def events():
    """ASGI: server-sent events arrive one by one, each before the next is even made."""
    for parser in PARSERS:
        reader, writer = connect(), connect()
        reader.request("GET", f"/{parser}/events")
        response = None
        for number, text in enumerate(("first", "second", "third", "end")):
            writer.request("POST", f"/{parser}/next", body=text)
            assert writer.getresponse().read() == b""
            response = response or reader.getresponse()
            if text == "end":
                assert response.read() == b""
            else:
                lines = list(itertools.islice(iter(response.readline, b""), 3))
                assert lines == [b"id: %d\n" % number, b"data: %s\n" % text.encode(), b"\n"], lines


def broken_response():
    """ASGI: an application that dies in its response is a broken response for every client."""
    for parser in PARSERS:
        # 18: the transfer is short; 56: the connection was reset.
        Curl(f"/{parser}/broken/{SMALL}", code=(18, 56))
        connection = connect()
        connection.request("GET", f"/{parser}/broken/{SMALL}")
        try:
            data = connection.getresponse().read()
        except (http.client.IncompleteRead, ConnectionResetError):
            continue
        raise AssertionError(f"{parser}: a whole response of {len(data)} bytes")


def large_both_ways():
    """ASGI: a large body in chunks goes up and comes back as an echo at the same time."""
    got = Curl("/h11/echo", "--request", "POST", "--upload-file", "-", stdin=body(LARGE))
    assert (got.status, digest("sha256", [got.content])) == (200, expected(LARGE)), got.told


CASES = [
    streamed_response, streamed_request, full_duplex, expect_accepted, expect_refused, events, broken_response,
    large_both_ways,
]
