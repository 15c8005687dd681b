"""The stage of peers.py: real servers in the namespace of the back-ends, one route each in
the router, and how clients find them. The first segment of a path names the server.
"""

import functools
import http.client
import json
import os
import socket
import subprocess

from content import blocks, digest
from harness import BACK, CLIENT, DEBUG, FRONT, HERE, Program, Router, inside, wait_for

ROUTER = "10.1.0.2"
URL = f"http://{ROUTER}"
BACK_ADDRESS = "10.2.0.2"
PORTS = {"nginx": 8001, "apache": 8002, "h11": 8003, "httptools": 8004, "ws": 8005}
# No step of a client may take longer.
SECONDS = 120 if DEBUG else 60
# A body that takes many turns of all that move it, and one that takes few.
LARGE = (1 << 20 if DEBUG else 4 << 20) + 4321
SMALL = 200_003
TINY = 100

WWW, GIT = "/tmp/www", "/tmp/git"

NGINX = f"""
user root;
worker_processes 1;
daemon off;
pid /tmp/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    scgi_temp_path /tmp/nginx-scgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    types {{ text/plain txt; }}
    sendfile on;
    client_max_body_size 64m;
    server {{
        listen {BACK_ADDRESS}:{PORTS['nginx']};
        root {WWW};
        location /nginx/dav/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
        location /nginx/small/ {{ dav_methods PUT; client_max_body_size 10k; }}
        # What comes with Via is not compressed otherwise.
        location /nginx/gzip/ {{ alias {WWW}/nginx/; gzip on; gzip_comp_level 1; gzip_proxied any; gzip_types *; }}
    }}
}}
"""

APACHE = f"""
ServerRoot /tmp/apache
DefaultRuntimeDir /tmp/apache
PidFile /tmp/apache/pid
ServerName apache.example
Listen {BACK_ADDRESS}:{PORTS['apache']}
User www-data
Group www-data
ErrorLog /dev/stderr
LogLevel warn
StartServers 1
{{modules}}
ScriptSock /tmp/apache/cgi
DocumentRoot {WWW}
ScriptAlias /apache/cgi/ {WWW}/cgi/
# The same script, as a server of HTTP/1.0 gives it: its end is the connection's.
ScriptAlias /apache/until-close/ {WWW}/cgi/
SetEnvIf Request_URI ^/apache/until-close/ downgrade-1.0 force-response-1.0 nokeepalive
ScriptAlias /apache/git/ /usr/lib/git-core/git-http-backend/
SetEnv GIT_PROJECT_ROOT {GIT}
SetEnv GIT_HTTP_EXPORT_ALL 1
ProxyRequests On
AllowCONNECT {PORTS['nginx']}
"""
APACHE_MODULES = ("mpm_event", "authz_core", "alias", "cgid", "env", "setenvif", "proxy", "proxy_connect")

SCRIPTS = {
    # No Content-Length: Apache makes chunks of it.
    "content": f"#!/bin/sh\necho Content-Type: application/octet-stream\necho\nexec cat {WWW}/nginx/large\n",
    "digest": """#!/bin/sh
echo Content-Type: text/plain
echo
echo "$REQUEST_METHOD length=${CONTENT_LENGTH:-none} coding=${HTTP_TRANSFER_ENCODING:-none}"
exec sha256sum
""",
}

CONFIG = """
engine = "ENGINE"
[limits]
connect-ms = 60000
ask-ms = 60000
# A CGI program that has to start says late that it takes a request.
asking-ms = 60000
[[listener]]
address = "10.1.0.2:80"
[[listener]]
address = "[fd01::2]:80"
"""


@functools.cache
def expected(length):
    """The SHA-256 of content.py's content of that length."""
    return digest("sha256", blocks(length))


def body(length):
    return b"".join(blocks(length))


def write(path, data, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(path, mode)
    return path


def config(engine):
    """The router's configuration: everything but its patience as by default, one route for each server."""
    text = CONFIG.replace("ENGINE", engine)
    for name, port in PORTS.items():
        text += f'[pool.{name}]\nbackends = ["{BACK_ADDRESS}:{port}"]\n[[route]]\npath = "/{name}"\npool = "{name}"\n'
    # Who connects through the router to a server means Apache, as a forward proxy.
    return text + f'[[route]]\nhost = "{BACK_ADDRESS}"\npool = "apache"\nconnect = true\n'


class Scene:
    """Everything but the clients. The servers outlive the routers."""

    def __init__(self):
        self.router = None
        for name, length in (("large", LARGE), ("small", SMALL), ("tiny", TINY)):
            for server in ("nginx", "apache"):
                write(f"{WWW}/{server}/{name}", body(length))
        for name, text in SCRIPTS.items():
            write(f"{WWW}/cgi/{name}", text, 0o755)
        os.makedirs("/tmp/apache", exist_ok=True)
        modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in APACHE_MODULES)
        nginx = write("/tmp/nginx.conf", NGINX)
        apache = write("/tmp/apache.conf", APACHE.format(modules=modules))
        peers = os.path.join(HERE, "peers")
        ports = [str(PORTS[name]) for name in ("h11", "httptools")]
        self.asgi = Program([f"{peers}/asgi.py", BACK_ADDRESS, *ports], BACK)
        self.websocket = Program([f"{peers}/websocket.py", BACK_ADDRESS, str(PORTS["ws"])], BACK)
        self.nginx = Program(["/usr/sbin/nginx", "-c", nginx], BACK)
        self.apache = Program(["/usr/sbin/apache2", "-f", apache, "-D", "FOREGROUND"], BACK)
        for name, server in (("nginx", self.nginx), ("apache", self.apache), ("h11", self.asgi),
                             ("httptools", self.asgi), ("ws", self.websocket)):
            wait_for(f"{name} listens", functools.partial(self.listens, server, PORTS[name]))

    @staticmethod
    def listens(server, port):
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended with {server.process.returncode}: {server.out} {server.err}")
        with inside(BACK), socket.socket() as probe:
            return probe.connect_ex((BACK_ADDRESS, port)) == 0

    def start_router(self, engine):
        self.router = Router(config(engine), ["10.1.0.2:80", "[fd01::2]:80"], FRONT)

    def stop_router(self):
        assert self.router.stop() == 0, self.router.err


def event(program, what, **values):
    """The first event of that kind with those values that the program told, when it comes."""

    def fits(line):
        told = json.loads(line)
        return told["what"] == what and values.items() <= told.items()

    return json.loads(program.line(f"event {what} {values}", program.out, fits, SECONDS))


def client(*argv, stdin=b"", code=0, **options):
    """Runs a program as the client. Returns it, completed; its exit code must be as said."""
    with inside(CLIENT):
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=SECONDS, check=False, **options)
    codes = code if isinstance(code, tuple) else (code,)
    assert done.returncode in codes, (argv, done.returncode, done.stdout[-500:], done.stderr[-2000:])
    return done


# What curl tells of a transfer.
TOLD = ("http_code", "http_connect", "size_download", "size_upload", "num_connects")


class Curl:
    """One run of curl: `content` of the response, and what curl tells of the transfer."""

    def __init__(self, path, *options, stdin=b"", code=0, url=URL):
        argv = ["curl", "--silent", "--show-error", "--globoff", "--max-time", str(SECONDS)]
        argv += ["--write-out", "%{stderr}\n" + " ".join(f"{name}=%{{{name}}}" for name in TOLD), *options, url + path]
        done = client(*argv, stdin=stdin, code=code)
        self.content = done.stdout
        told = done.stderr.decode().splitlines()[-1].split(" ")
        self.told = {name: int(value) for name, value in (pair.split("=") for pair in told)}
        self.status = self.told["http_code"]

    def json(self):
        return json.loads(self.content)


def connect():
    """A connection of http.client, open."""
    connection = http.client.HTTPConnection(ROUTER, 80, timeout=SECONDS)
    with inside(CLIENT):
        connection.connect()
    return connection


def same(data, length):
    """Asserts that these bytes are the content of that length."""
    assert len(data) == length, (len(data), length)
    assert digest("sha256", [data]) == expected(length), "content differs"
