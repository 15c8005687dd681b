"""Cases of peers.py: nginx and Apache httpd behind the router."""

from content import digest
from scene import BACK_ADDRESS, LARGE, PORTS, SMALL, URL, Curl, body, connect, expected, same


def get(connection, path, method="GET", **fields):
    """One request on an open connection: the response, and its content."""
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
    response = connection.getresponse()
    return response, response.read()


def nginx_statuses():
    """nginx: 200, HEAD, 206, 416, 304 and 404 follow one another on one connection."""
    connection = connect()
    port = connection.sock.getsockname()[1]
    whole, data = get(connection, "/nginx/small")
    same(data, SMALL)
    head, data = get(connection, "/nginx/small", "HEAD")
    assert (head.status, data, head.length) == (200, b"", 0), (head.status, data)
    assert head.headers["Content-Length"] == str(SMALL), head.headers.items()
    part, data = get(connection, "/nginx/small", Range="bytes=1000-1999")
    assert (part.status, data) == (206, body(2000)[1000:]), (part.status, len(data))
    assert get(connection, "/nginx/small", Range=f"bytes={SMALL}-")[0].status == 416
    unchanged, data = get(connection, "/nginx/small", If_None_Match=whole.headers["ETag"])
    assert (unchanged.status, data) == (304, b""), unchanged.status
    assert get(connection, "/nginx/absent")[0].status == 404
    response, data = get(connection, "/nginx/small")
    same(data, SMALL)
    assert connection.sock.getsockname()[1] == port, "the connection was not kept"


def nginx_download():
    """nginx: a large file comes whole, over IPv4 and IPv6."""
    for url in ("http://10.1.0.2", "http://[fd01::2]"):
        got = Curl("/nginx/large", url=url)
        assert got.status == 200
        same(got.content, LARGE)


def nginx_ranges():
    """nginx: a file put together from ranges, the last of them by suffix."""
    connection, data = connect(), b""
    cuts = (0, 1, 70_000, 150_001)
    for first, end in zip(cuts, cuts[1:]):
        response, part = get(connection, "/nginx/small", Range=f"bytes={first}-{end - 1}")
        assert response.headers["Content-Range"] == f"bytes {first}-{end - 1}/{SMALL}", response.headers.items()
        data += part
    response, part = get(connection, "/nginx/small", Range=f"bytes=-{SMALL - cuts[-1]}")
    same(data + part, SMALL)
    response, parts = get(connection, "/nginx/small", Range="bytes=0-99,1000-1099")
    assert response.status == 206 and body(100) in parts and body(1100)[1000:] in parts, response.headers.items()


def nginx_gzip():
    """nginx: a response that it compresses, and so sends in chunks, decompresses to the file."""
    got = Curl("/nginx/gzip/large", "--compressed", "--dump-header", "/tmp/gzip-head")
    with open("/tmp/gzip-head", encoding="latin-1") as file:
        head = file.read().lower()
    assert "content-encoding: gzip" in head and "transfer-encoding: chunked" in head, head
    same(got.content, LARGE)


def nginx_put():
    """nginx: a file is PUT with Content-Length, replaced in chunks, read back and deleted."""
    first, second = body(LARGE), body(SMALL)
    assert Curl("/nginx/dav/file", "--upload-file", "/tmp/www/nginx/large").status == 201
    assert Curl("/nginx/dav/file").content == first
    assert Curl("/nginx/dav/file", "--upload-file", "-", stdin=second).status == 204
    assert Curl("/nginx/dav/file").content == second
    assert Curl("/nginx/dav/file", "--request", "DELETE").status == 204
    assert Curl("/nginx/dav/file").status == 404


def nginx_too_large():
    """nginx: 413 for a body that is too large, of which the client need not send anything."""
    got = Curl("/nginx/small/file", "--upload-file", "/tmp/www/nginx/large", "--header", "Expect: 100-continue",
               "--expect100-timeout", "100")
    assert (got.status, got.told["size_upload"]) == (413, 0), got.told


def nginx_too_large_in_chunks():
    """nginx: 413 in the middle of a chunked upload still reaches the client."""
    got = Curl("/nginx/small/file", "--header", "Expect:", "--upload-file", "-", stdin=body(LARGE))
    assert got.status == 413, got.told


def apache_static():
    """Apache: a large file comes whole, and in two ranges."""
    whole = Curl("/apache/large")
    assert (whole.status, digest("sha256", [whole.content])) == (200, expected(LARGE))
    half = LARGE // 2
    parts = [Curl("/apache/large", "--range", which) for which in (f"0-{half - 1}", f"{half}-")]
    assert [part.status for part in parts] == [206, 206]
    same(b"".join(part.content for part in parts), LARGE)


def apache_chunked_cgi():
    """Apache: what a CGI program says without Content-Length comes in chunks, whole."""
    connection = connect()
    for _ in range(2):
        response, data = get(connection, "/apache/cgi/content")
        assert response.headers["Transfer-Encoding"] == "chunked", response.headers.items()
        same(data, LARGE)


def apache_until_close():
    """Apache as a server of HTTP/1.0: an answer until close leaves the client's connection open."""
    connection = connect()
    port = connection.sock.getsockname()[1]
    for _ in range(2):
        response, data = get(connection, "/apache/until-close/content")
        assert response.version == 11, response.version
        same(data, LARGE)
    assert connection.sock.getsockname()[1] == port, "the connection was not kept"


def apache_cgi_upload():
    """Apache: a CGI program reads a body with Content-Length, and one in chunks."""
    for framing in ("length", "chunked"):
        more = ["--header", "Transfer-Encoding: chunked"] if framing == "chunked" else []
        got = Curl("/apache/cgi/digest", "--request", "POST", "--upload-file", "/tmp/www/apache/large", *more)
        saw, sha256 = got.content.decode().splitlines()
        length, coding = (LARGE, "none") if framing == "length" else ("none", "chunked")
        assert saw == f"POST length={length} coding={coding}", saw
        assert sha256.split()[0] == expected(LARGE), sha256


def apache_connect():
    """Apache as a forward proxy: a CONNECT goes through the router, and a download and an upload through it."""
    through = ("--proxy", f"{URL}:80", "--proxytunnel")
    nginx = f"http://{BACK_ADDRESS}:{PORTS['nginx']}"
    same(Curl("/nginx/large", *through, url=nginx).content, LARGE)
    Curl("/nginx/dav/tunnelled", *through, "--upload-file", "/tmp/www/nginx/large", url=nginx)
    same(Curl("/nginx/dav/tunnelled").content, LARGE)
    # Apache allows that port only.
    refused = Curl("/", *through, url=f"http://{BACK_ADDRESS}:{PORTS['h11']}", code=56)
    assert refused.told["http_connect"] == 403, refused.told


CASES = [
    nginx_statuses, nginx_download, nginx_ranges, nginx_gzip, nginx_put, nginx_too_large, nginx_too_large_in_chunks,
    apache_static, apache_chunked_cgi, apache_until_close, apache_cgi_upload,
    apache_connect,
]
