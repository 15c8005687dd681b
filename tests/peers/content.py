"""What the tests send: any number of bytes that tell where they belong.

One block of random bytes, repeated. Its length divides no buffer, page or segment size,
so that bytes left out, doubled or exchanged change the digest.
"""

import hashlib
import zlib

BLOCK = hashlib.shake_128(b"underpass").digest((1 << 20) - 15)


def blocks(length):
    """The content of that length, in pieces."""
    view = memoryview(BLOCK)
    while length > 0:
        yield view[:length]
        length -= len(BLOCK)


class Crc32:
    """zlib's CRC-32 with hashlib's methods: ten times as fast in a guest without KVM."""

    def __init__(self):
        self.value = 0

    def update(self, data):
        self.value = zlib.crc32(data, self.value)

    def hexdigest(self):
        return f"{self.value:08x}"


DIGESTS = {"crc32": Crc32, "sha256": hashlib.sha256}


def digest(kind, pieces):
    """The digest of all pieces, in hex."""
    sum_ = DIGESTS[kind]()
    for piece in pieces:
        sum_.update(piece)
    return sum_.hexdigest()
