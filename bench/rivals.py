"""The rivals, one function each: sets it up on the front machine, yields the address that clients
shall connect to, and takes it down. To add one, write such a function here; the order
is that of the table.
"""

import contextlib
import subprocess

from stage import BACK, BACKEND, BIN, CLIENT, DIRECT, FRONT, LISTEN, command, running, wait_for, write

RIVALS = {}
# Drawn to be found.
OURS = ("user", "user-threads", "kernel", "kernel-ask", "kernel-threads")


def rival(name, title):
    """Makes a function a rival: `name` on the command line, `title` in tables."""

    def enter(function):
        RIVALS[name] = (title, contextlib.contextmanager(function))
        return function

    return enter


@rival("direct", "direct connection")
def direct():
    yield DIRECT


@contextlib.contextmanager
def routed():
    """Packets pass through the front machine, both ways."""
    command("ip", "netns", "exec", FRONT, "sysctl", "-q", "net.ipv4.ip_forward=1")
    command("ip", "-n", CLIENT, "route", "add", "10.2.0.0/24", "via", "10.1.0.2")
    command("ip", "-n", BACK, "route", "add", "10.1.0.0/24", "via", "10.2.0.1")
    yield
    command("ip", "-n", BACK, "route", "del", "10.1.0.0/24")
    command("ip", "-n", CLIENT, "route", "del", "10.2.0.0/24")
    command("ip", "netns", "exec", FRONT, "sysctl", "-q", "net.ipv4.ip_forward=0")


@rival("routing", "IP routing only")
def routing():
    with routed():
        yield BACKEND


NAT = f"""
table ip bench {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {LISTEN.split(":")[0]} tcp dport 80 dnat to {BACKEND}
    }}
}}
"""


@rival("dnat", "DNAT, nftables with conntrack")
def dnat():
    inside_front = ["ip", "netns", "exec", FRONT, "nft"]
    with routed():
        command(*inside_front, "-f", write("nat.nft", NAT))
        yield LISTEN
        command(*inside_front, "delete", "table", "ip", "bench")


@rival("splice", "splice relay, TCP only, 1 MiB pipes")
def splice():
    with running([f"{BIN}/splice-relay", LISTEN, BACKEND]):
        yield LISTEN


@rival("sockmap", "sockmap relay, TCP only")
def sockmap():
    with running([f"{BIN}/sockmap-relay", LISTEN, BACKEND, "/payload/sockmap.bpf.o"]):
        yield LISTEN


# Connections to the back-end that each proxy keeps: as many as any workload has at once, so that nobody makes new ones.
KEEP = 1024

# A worker; what a user would set for speed, and what makes no connection end.
HAPROXY = f"""
global
    nbthread 1
    maxconn 32768
    tune.pipesize 1048576
defaults
    mode http
    timeout connect 10s
    timeout client 600s
    timeout server 60s
    http-reuse always
    OPTIONS
frontend front
    bind {LISTEN}
    default_backend back
backend back
    server origin {BACKEND}
"""


def haproxy(*options):
    text = HAPROXY.replace("OPTIONS", "\n    ".join(options))
    return running(["/usr/sbin/haproxy", "-db", "-f", write("haproxy.cfg", text)])


@rival("haproxy", "HAProxy")
def haproxy_plain():
    with haproxy():
        yield LISTEN


@rival("haproxy-auto", "HAProxy, splice-auto")
def haproxy_auto():
    with haproxy("option splice-auto"):
        yield LISTEN


@rival("haproxy-splice", "HAProxy, splicing forced, 1 MiB pipes")
def haproxy_splice():
    with haproxy("option splice-request", "option splice-response"):
        yield LISTEN


# Keeping connections needs three lines; the rest of the defaults stays, with Debian's `sendfile`. What it buffers in files goes to
# memory: a disk is not what is measured.
NGINX = f"""
user root;
worker_processes 1;
daemon off;
pid /tmp/nginx.pid;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    OPTIONS
    upstream back {{
        server {BACKEND};
        keepalive {KEEP};
        keepalive_requests 100000000;
    }}
    server {{
        listen {LISTEN} backlog=4096;
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def nginx(*options):
    text = NGINX.replace("OPTIONS", "\n    ".join(options))
    return running(["/usr/sbin/nginx", "-e", "stderr", "-c", write("nginx.conf", text)])


@rival("nginx", "nginx, buffering as by default")
def nginx_plain():
    with nginx():
        yield LISTEN


@rival("nginx-unbuffered", "nginx, unbuffered, 256 KiB")
def nginx_unbuffered():
    with nginx("proxy_request_buffering off;", "proxy_buffering off;",
               "client_body_buffer_size 256k;", "proxy_buffer_size 256k;",
               "proxy_buffers 8 256k;", "proxy_busy_buffers_size 512k;"):
        yield LISTEN


UNDERPASS = f"""
engine = "ENGINE"
access-log = false
[[listener]]
address = "{LISTEN}"
[pool.back]
backends = ["{BACKEND}"]
[[route]]
path = "/"
pool = "back"
mode = "MODE"
[limits]
idle-connections = {KEEP}
client-idle-ms = 600000
"""


def underpass(engine, mode, threads=1):
    text = f"threads = {threads}" + UNDERPASS.replace("ENGINE", engine).replace("MODE", mode)
    return running([f"{BIN}/underpass", "run", write("underpass.toml", text)])


@contextlib.contextmanager
def module():
    """The module, loaded. That it cannot be unloaded afterwards is an error."""
    command("insmod", "/payload/underpass.ko")
    yield

    def unloaded():
        return subprocess.run(["rmmod", "underpass"], stderr=subprocess.DEVNULL, check=False).returncode == 0

    wait_for("the module is unused", unloaded)


@rival("user", "Underpass, engine user")
def user():
    with underpass("user", "optimistic"):
        yield LISTEN


@rival("user-threads", "Underpass, engine user, two threads")
def user_threads():
    with underpass("user", "optimistic", threads=2):
        yield LISTEN


@rival("kernel", "Underpass, engine kernel")
def kernel():
    with module(), underpass("kernel", "optimistic"):
        yield LISTEN


@rival("kernel-ask", "Underpass, engine kernel, asking first")
def kernel_ask():
    with module(), underpass("kernel", "ask"):
        yield LISTEN


@rival("kernel-threads", "Underpass, engine kernel, four threads")
def kernel_threads():
    with module(), underpass("kernel", "optimistic", 4):
        yield LISTEN
