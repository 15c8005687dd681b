"""Cases of peers.py: uploads that are interrupted, and resumed where the server says.

The server must see a body that ends before its time as interrupted, never as complete.
"""

import itertools
import os
import socket
import struct

from content import digest
from harness import CLIENT, Program, inside
from scene import LARGE, SECONDS, URL, Curl, body, connect, event, expected

numbers = itertools.count()


class Upload:
    """The client's side of a resumable upload."""

    def __init__(self, scene, parser):
        self.scene, self.name = scene, f"upload-{next(numbers)}"
        self.path = f"/{parser}/files/{self.name}"
        self.data = body(LARGE)
        assert Curl(self.path, "--request", "POST", "--header", f"Upload-Length: {LARGE}").status == 201

    def offset(self):
        """What the server has, when it gave the interrupted request up."""
        connection = connect()
        connection.request("HEAD", self.path)
        return int(connection.getresponse().headers["Upload-Offset"])

    def interrupted(self, after):
        """The server noticed; it has some, not all, and more than after the last time."""
        told = event(self.scene.asgi, "interrupted", name=self.name, after=after)["offset"]
        offset = self.offset()
        assert offset == told and after < offset < LARGE, (after, told, offset)
        return offset

    def part(self, offset, end):
        """Sends the body from offset to end, of a request that promised all of it, by Content-Length."""
        with inside(CLIENT):
            sock = socket.create_connection(("10.1.0.2", 80), timeout=SECONDS)
        head = f"PATCH {self.path} HTTP/1.1\r\nHost: x\r\nUpload-Offset: {offset}\r\nContent-Length: {LARGE - offset}\r\n\r\n"
        sock.sendall(head.encode() + self.data[offset:end])
        return sock

    def finish(self, offset, *options):
        """The rest by curl; the whole is the content."""
        got = Curl(self.path, "--request", "PATCH", "--header", f"Upload-Offset: {offset}", *options,
                   stdin=self.data[offset:])
        assert got.status == 204, got.told
        told = Curl(self.path).json()
        assert told == {"bytes": LARGE, "sha256": expected(LARGE)}, told
        assert self.offset() == LARGE
        assert digest("sha256", [self.data]) == expected(LARGE)

    def arrived(self, offset):
        """Waits until the server has taken something after that offset."""
        self.scene.asgi.line(
            "something taken", self.scene.asgi.out,
            lambda line: f'"name": "{self.name}"' in line and '"taken"' in line and int(line.split()[-1].rstrip("}")) > offset,
            SECONDS,
        )


def reset_and_resumed(scene):
    """A resumable upload by length: its client is reset, then closed early; then it is completed."""
    upload = Upload(scene, "h11")
    sock = upload.part(0, LARGE // 3)
    upload.arrived(0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    offset = upload.interrupted(0)
    sock = upload.part(offset, LARGE * 2 // 3)
    upload.arrived(offset)
    sock.close()
    offset = upload.interrupted(offset)
    upload.finish(offset, "--data-binary", "@-")


def killed_and_resumed(scene):
    """A resumable upload in chunks: curl is killed in the middle; another curl completes it."""
    upload = Upload(scene, "httptools")
    os.mkfifo("/tmp/pipe")
    with inside(CLIENT):
        curl = Program(["curl", "--silent", "--request", "PATCH", "--header", "Upload-Offset: 0", "--header", "Expect:",
                        "--upload-file", "/tmp/pipe", "--header", "Transfer-Encoding: chunked", URL + upload.path])
    with open("/tmp/pipe", "wb") as pipe:
        pipe.write(upload.data[: LARGE // 2])
        pipe.flush()
        upload.arrived(0)
        curl.process.kill()
        curl.process.wait()
        try:
            pipe.close()
        except BrokenPipeError:
            pass
    os.remove("/tmp/pipe")
    upload.finish(upload.interrupted(0), "--header", "Transfer-Encoding: chunked", "--upload-file", "-")


CASES = [reset_and_resumed, killed_and_resumed]
