#!/usr/bin/env python3
"""asgi.py HOST PORT...: an ASGI application under uvicorn, at one port per HTTP parser.

The first segment of a path names the parser and is ignored; then:

GET   /content/N     N bytes of content.py without Content-Length, in pieces of many sizes
GET   /broken/N      the same, but the application dies when half of it was sent
GET   /plain         a few bytes with Content-Length, and no body read
*     /digest        what the request was: its framing, its body's size and digest
POST  /echo          every piece of the body, back as soon as it is here
POST  /refuse        403, without reading any of the body
GET   /events        server-sent events, each sent when POST /next asked for it
*     /files/NAME    resumable uploads after the manner of tus 1.0: POST creates, HEAD tells
                     the offset, PATCH appends at it, GET tells size and digest

Each step of an upload is a line of JSON on stdout.
"""

import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import uvicorn  # noqa: E402
from content import blocks, digest  # noqa: E402

PARSERS = ("h11", "httptools")
PIECES = (1, 9, 100, 1000, 16384, 65521)


def say(what, **values):
    print(json.dumps({"what": what, **values}), flush=True)


class Gone(Exception):
    """The client left in the middle of its request."""


class Request:
    """A request, and its answer."""

    def __init__(self, scope, receive, send):
        self.receive, self.send = receive, send
        self.method = scope["method"]
        self.path = "/" + "/".join(scope["path"].split("/")[2:])
        self.fields = {name.decode(): value.decode() for name, value in scope["headers"]}

    async def body(self):
        """The body's pieces as they come."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            if message["body"]:
                yield message["body"]
            more = message["more_body"]

    async def begin(self, status=200, **fields):
        headers = [(name.replace("_", "-").encode(), str(value).encode()) for name, value in fields.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, data, more=True):
        await self.send({"type": "http.response.body", "body": bytes(data), "more_body": more})

    async def answer(self, status, body=b"", **fields):
        if status != 204:
            fields.setdefault("content_length", len(body))
        await self.begin(status, **fields)
        await self.piece(body, more=False)

    async def answer_json(self, value):
        await self.answer(200, json.dumps(value).encode(), content_type="application/json")


def pieces(length):
    """content.py's bytes, cut into pieces of many sizes."""
    turn = 0
    for block in blocks(length):
        while block:
            size = PIECES[turn % len(PIECES)]
            yield block[:size]
            block = block[size:]
            turn += 1


async def content(request, length, sent_of=lambda length: length):
    await request.begin(content_type="application/octet-stream")
    left = sent_of(length)
    for piece in pieces(length):
        if left <= 0:
            raise RuntimeError("dies in the middle of a response, on purpose")
        await request.piece(piece)
        left -= len(piece)
    await request.piece(b"", more=False)


async def broken(request, length):
    await content(request, length, lambda length: length // 2)


async def plain(request):
    await request.answer(200, b"plain\n")


async def digest_of_body(request):
    got = [piece async for piece in request.body()]
    coding, length = request.fields.get("transfer-encoding"), request.fields.get("content-length")
    await request.answer_json({
        "method": request.method,
        "framing": coding if coding else "length" if length else "none",
        "bytes": sum(map(len, got)),
        "sha256": digest("sha256", got),
    })


async def echo(request):
    await request.begin(content_type="application/octet-stream")
    async for piece in request.body():
        await request.piece(piece)
    await request.piece(b"", more=False)


async def refuse(request):
    await request.answer(403, b"not this\n")


steps = asyncio.Queue()


async def events(request):
    await request.begin(content_type="text/event-stream")
    number = 0
    while (step := await steps.get()) != "end":
        await request.piece(f"id: {number}\ndata: {step}\n\n".encode())
        number += 1
    await request.piece(b"", more=False)


async def next_event(request):
    await steps.put(b"".join([piece async for piece in request.body()]).decode())
    await request.answer(204)


class Upload:
    """A resumable upload: what is here of it."""

    def __init__(self, length):
        self.length, self.data = length, bytearray()
        # One request at a time, so that HEAD tells what an interrupted PATCH left behind.
        self.lock = asyncio.Lock()


uploads = {}


async def files(request, name):
    if request.method == "POST":
        uploads[name] = Upload(int(request.fields["upload-length"]))
        await request.answer(201)
        return
    upload = uploads[name]
    async with upload.lock:
        if request.method == "PATCH":
            await append(request, name, upload)
        elif request.method == "HEAD":
            await request.answer(200, upload_offset=len(upload.data), upload_length=upload.length)
        else:
            await request.answer_json({"bytes": len(upload.data), "sha256": digest("sha256", [upload.data])})


async def append(request, name, upload):
    after = len(upload.data)
    if int(request.fields["upload-offset"]) != after:
        await request.answer(409)
        return
    try:
        async for piece in request.body():
            upload.data += piece
            say("taken", name=name, offset=len(upload.data))
    except Gone:
        say("interrupted", name=name, after=after, offset=len(upload.data))
        return
    say("appended", name=name, offset=len(upload.data))
    await request.answer(204, upload_offset=len(upload.data))


async def app(scope, receive, send):
    request = Request(scope, receive, send)
    match request.path.split("/")[1:]:
        case ["content", length]:
            await content(request, int(length))
        case ["broken", length]:
            await broken(request, int(length))
        case ["plain"]:
            await plain(request)
        case ["digest"]:
            await digest_of_body(request)
        case ["echo"]:
            await echo(request)
        case ["refuse"]:
            await refuse(request)
        case ["events"]:
            await events(request)
        case ["next"]:
            await next_event(request)
        case ["files", name]:
            await files(request, name)
        case _:
            await request.answer(404)


async def main(host, ports):
    def server(port, parser):
        return uvicorn.Server(uvicorn.Config(
            app, host=host, port=int(port), http=parser, loop="asyncio", lifespan="off", ws="none", access_log=False
        ))

    await asyncio.gather(*(server(port, parser).serve() for port, parser in zip(ports, PARSERS, strict=True)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
