"""Cases of peers.py: many clients, each in the ways it is used."""

import asyncio
import gzip
import json
import re
import socket

import aiohttp
import requests
from asgi import pieces
from content import digest
from harness import CLIENT, DEBUG, inside
from scene import LARGE, SECONDS, SMALL, TINY, URL, Curl, body, client, connect, expected, same, write

REQUESTS = 20 if DEBUG else 60
PARALLEL = 8


def curl_uploads():
    """curl: uploads from a file by length, and from a pipe in chunks, the same content."""
    from_file = Curl("/h11/digest", "--upload-file", "/tmp/www/nginx/large").json()
    assert from_file == {"method": "PUT", "framing": "length", "bytes": LARGE, "sha256": expected(LARGE)}, from_file
    from_pipe = Curl("/h11/digest", "--upload-file", "-", stdin=body(LARGE)).json()
    assert from_pipe == {**from_file, "framing": "chunked"}, from_pipe


def curl_form():
    """curl: a form with a file, sent in chunks."""
    sent = Curl("/httptools/digest", "--header", "Transfer-Encoding: chunked", "--form", "a=b",
                "--form", "file=@/tmp/www/nginx/small").json()
    assert sent["framing"] == "chunked" and sent["bytes"] > SMALL, sent


def curl_http_1_0():
    """curl: with HTTP/1.0 a response in chunks comes without them, and an upload goes."""
    got = Curl(f"/h11/content/{SMALL}", "--http1.0", "--include")
    head, _, data = got.content.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower(), head
    same(data, SMALL)
    sent = Curl("/h11/digest", "--http1.0", "--upload-file", "/tmp/www/nginx/small").json()
    assert sent["sha256"] == expected(SMALL), sent


def curl_resumes():
    """curl: a download that was broken off goes on where it stopped."""
    path = "/tmp/resumed"
    # head leaves early, so curl does.
    client("bash", "-c", f"curl --silent {URL}/nginx/large | head --bytes {LARGE // 3} >{path}")
    got = Curl("/nginx/large", "--output", path, "--continue-at", "-")
    assert (got.status, got.told["size_download"]) == (206, LARGE - LARGE // 3), got.told
    with open(path, "rb") as file:
        same(file.read(), LARGE)


def curl_parallel():
    """curl: transfers side by side from all servers, each with its own content."""
    sources = [f"{URL}{path}" for path in ("/nginx/small", "/apache/small", f"/h11/content/{SMALL}",
                                           f"/httptools/content/{SMALL}", "/nginx/gzip/small")] * 4
    argv = ["curl", "--silent", "--show-error", "--fail", "--compressed", "--parallel", "--parallel-immediate",
            "--parallel-max", "10", "--max-time", str(SECONDS)]
    for number, source in enumerate(sources):
        argv += ["--output", f"/tmp/parallel-{number}", source]
    client(*argv)
    for number in range(len(sources)):
        with open(f"/tmp/parallel-{number}", "rb") as file:
            same(file.read(), SMALL)


def http_client_keeps():
    """http.client: many requests of all kinds on one connection."""
    connection = connect()
    port = connection.sock.getsockname()[1]
    for number in range(REQUESTS):
        length = number * 997
        match number % 4:
            case 0:
                connection.request("POST", "/h11/digest", body=body(length))
            case 1:
                connection.request("POST", "/httptools/digest", body=pieces(length), encode_chunked=True,
                                   headers={"Transfer-Encoding": "chunked"})
            case 2:
                connection.request("GET", f"/h11/content/{length}")
            case 3:
                connection.request("HEAD", "/nginx/small")
        response = connection.getresponse()
        assert response.status == 200, (number, response.status)
        data = response.read()
        match number % 4:
            case 0 | 1:
                told = json.loads(data)
                assert (told["bytes"], told["sha256"]) == (length, expected(length)), (number, told)
            case 2:
                same(data, length)
    assert connection.sock.getsockname()[1] == port, "the connection was not kept"


def requests_session():
    """requests: a session that uploads by generator and streams downloads."""
    with inside(CLIENT), requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            told = session.post(f"{URL}/h11/digest", data=pieces(SMALL), timeout=SECONDS).json()
            assert (told["framing"], told["sha256"]) == ("chunked", expected(SMALL)), told
            with session.get(f"{URL}/nginx/gzip/large", stream=True, timeout=SECONDS) as response:
                response.raise_for_status()
                assert response.headers["Transfer-Encoding"] == "chunked", response.headers
                assert digest("sha256", response.iter_content(65536)) == expected(LARGE), "content differs"


def aiohttp_parallel():
    """aiohttp: a session with requests side by side, up and down, by length and in chunks."""
    async def download(session, path):
        async with session.get(URL + path) as response:
            assert response.status == 200, (path, response.status)
            same(await response.read(), SMALL)

    async def upload(session, path, data):
        async with session.post(URL + path, data=data) as response:
            told = await response.json()
            assert told["sha256"] == expected(SMALL), (path, told)

    async def some(session):
        async def generated():
            for piece in pieces(SMALL):
                yield bytes(piece)

        await download(session, "/nginx/small")
        await upload(session, "/h11/digest", generated())
        await download(session, f"/httptools/content/{SMALL}")
        await upload(session, "/httptools/digest", body(SMALL))

    async def everything():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
            await asyncio.gather(*(some(session) for _ in range(PARALLEL)))

    with inside(CLIENT):
        asyncio.run(everything())


# Counts the answers that are not exactly what the server has.
WRK = """
local file = io.open("/tmp/wrk.content", "rb")
local content = file:read("*a")
file:close()
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() wrong = 0 end
function response(status, headers, body)
    if status ~= 200 or body ~= content then wrong = wrong + 1 end
end
function done(summary)
    local total = 0
    for _, thread in ipairs(threads) do total = total + thread:get("wrong") end
    local e = summary.errors
    print(string.format("counted requests=%d wrong=%d errors=%d", summary.requests, total,
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def wrk():
    """wrk: sixteen connections at full speed, by length and in chunks: all answers right, no errors."""
    script = write("/tmp/wrk.lua", WRK)
    for path, coding in (("/nginx/tiny", "identity"), ("/nginx/gzip/tiny", "gzip")):
        accept = ("--header", f"Accept-Encoding: {coding}")
        one = Curl(path, *accept).content
        same(gzip.decompress(one) if coding == "gzip" else one, TINY)
        write("/tmp/wrk.content", one)
        done = client("wrk", "--threads", "1", "--connections", "16", "--duration", "2", "--timeout", str(SECONDS),
                      "--script", script, *accept, URL + path)
        counted = dict(pair.split("=") for pair in re.search(rb"counted (.*)", done.stdout)[1].decode().split())
        print(f"# wrk {path}: {counted['requests']} requests")
        assert int(counted["requests"]) > 16, done.stdout
        assert (counted["wrong"], counted["errors"]) == ("0", "0"), done.stdout


def half_closed():
    """A client that says all it has and closes its half gets the whole answer."""
    with inside(CLIENT):
        sock = socket.create_connection(("10.1.0.2", 80), timeout=SECONDS)
    with sock, sock.makefile("rb") as file:
        sock.sendall(b"GET /nginx/large HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        head, _, data = file.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    same(data, LARGE)


CASES = [
    curl_uploads, curl_form, curl_http_1_0, curl_resumes, curl_parallel, http_client_keeps, requests_session,
    aiohttp_parallel, wrk, half_closed,
]
