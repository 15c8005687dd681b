#!/usr/bin/env python3
"""Real servers and clients on both sides of the router, in three network namespaces: nginx,
Apache httpd with git, uvicorn, a WebSocket server; curl, http.client, requests, aiohttp, wrk, git.
What was sent is compared with what arrived, always.

Everything with the engine kernel, then one case of each kind with the engine user. The
cases are in peers/*_cases.py, the servers in peers/scene.py.
"""

import functools
import inspect
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import asgi_cases  # noqa: E402
import client_cases  # noqa: E402
import git_cases  # noqa: E402
import servers_cases  # noqa: E402
import upload_cases  # noqa: E402
import websocket_cases  # noqa: E402
from harness import make_namespaces, tap  # noqa: E402
from scene import Scene  # noqa: E402

MODULES = (servers_cases, asgi_cases, websocket_cases, client_cases, upload_cases, git_cases)
WITH_USER_ENGINE = (
    servers_cases.nginx_statuses, servers_cases.apache_until_close, servers_cases.nginx_too_large_in_chunks,
    asgi_cases.full_duplex, asgi_cases.broken_response, asgi_cases.expect_refused, websocket_cases.echo,
    websocket_cases.closed_by_server, client_cases.aiohttp_parallel, client_cases.curl_http_1_0,
    upload_cases.killed_and_resumed, git_cases.clone, git_cases.push_in_chunks,
)


def point(scene, engine, case):
    """The case as a TAP point of that engine. Some cases look at the servers, too."""

    @functools.wraps(case)
    def run():
        begin, lines = time.monotonic(), len(scene.router.out)
        try:
            case(scene) if inspect.signature(case).parameters else case()
        except Exception as error:
            error.add_note("the router said:\n" + "\n".join(scene.router.out[lines:] + scene.router.err[-5:]))
            raise
        print(f"# {case.__name__}: {time.monotonic() - begin:.1f} s")

    run.__doc__ = f"{engine}: {case.__doc__}"
    return run


def starts(scene, engine):
    def run():
        scene.start_router(engine)

    run.__doc__ = f"the router starts, with the engine {engine}"
    return run


def ends(scene):
    def run():
        scene.stop_router()

    run.__doc__ = "the router ends when asked to, without an error"
    return run


def main():
    make_namespaces()
    scene = Scene()
    points = []
    every = [case for module in MODULES for case in module.CASES]
    for engine, cases in (("kernel", every), ("user", WITH_USER_ENGINE)):
        points += [starts(scene, engine), *(point(scene, engine, case) for case in cases), ends(scene)]
    tap(points)


main()
