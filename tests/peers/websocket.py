#!/usr/bin/env python3
"""websocket.py HOST PORT: a WebSocket server.

/ws/echo    sends every message back
/ws/ping    pings the client, and sends "pong" when the answer is here
/ws/bye     closes at once, with code 4000 and a reason

What follows a ? in the path is for the client to tell its connections apart. How each
connection ended is a line of JSON on stdout.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(what, **values):
    print(json.dumps({"what": what, **values}), flush=True)


async def converse(connection):
    match connection.request.path.partition("?")[0]:
        case "/ws/echo":
            async for message in connection:
                await connection.send(message)
        case "/ws/ping":
            await (await connection.ping(b"are you there?"))
            await connection.send("pong")
            await connection.wait_closed()
        case "/ws/bye":
            await connection.close(4000, "bye")


async def handle(connection):
    try:
        await converse(connection)
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    say("closed", path=connection.request.path, code=connection.close_code, reason=connection.close_reason)


async def main(host, port):
    async with serve(handle, host, int(port), max_size=None, ping_interval=None) as server:
        say("listening")
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
