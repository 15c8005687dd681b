"""Cases of peers.py: git over HTTP; the server is git-http-backend, a CGI program of Apache."""

import os
import shutil
import subprocess

from content import BLOCK
from scene import GIT, URL, client

BRANCHES = 40
REMOTE = f"{URL}/apache/git/sample.git"
BARE = f"{GIT}/sample.git"
WORK, TRACE = "/tmp/git-work", "/tmp/git-trace"
PERSON = {f"GIT_{role}_{what}": f"{role}@example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
# How the trace says it.
SENT_IN_CHUNKS = "=> send header: transfer-encoding: chunked"
# The user and group that Apache runs CGI programs as.
WWW_DATA = 33


def git(*argv, directory=WORK):
    """git, as the client. What it says of its HTTP goes to TRACE."""
    if os.path.exists(TRACE):
        os.remove(TRACE)
    environment = {**os.environ, **PERSON, "GIT_TRACE_CURL": TRACE, "GIT_TRACE_CURL_NO_DATA": "1"}
    done = client("git", "-c", "safe.directory=*", "-C", directory, *argv, env=environment)
    return done.stdout.decode().strip()


def traced():
    with open(TRACE, encoding="latin-1") as file:
        return file.read().lower()


def commit_of(branch, when, text):
    """A commit for fast-import, of a branch of its own."""
    yield b"commit %s\ncommitter A <a@example> %d +0000\ndata %d\n%s\n" % (branch, when, len(text), text)
    yield b"M 100644 inline text\ndata %d\n%s\n" % (len(text), text)


def sample():
    """A history with as many branches as make a request worth compressing."""
    yield b"blob\nmark :1\ndata %d\n%s\n" % (len(BLOCK), BLOCK)
    for number in range(BRANCHES):
        name = b"refs/heads/main" if number == 0 else b"refs/heads/side-%d" % number
        yield from commit_of(name, number, b"branch %d\n" % number)
        yield b"M 100644 :1 large\n"


def at_server(*argv, data=b""):
    """git, in the server's own repository."""
    subprocess.run(["git", "-c", "safe.directory=*", "-C", BARE, *argv], input=data, check=True)


def make_repository():
    """The repository at the server, owned by who runs its CGI programs."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", BARE], check=True)
    at_server("fast-import", "--quiet", data=b"".join(sample()))
    at_server("config", "http.receivepack", "true")
    for folder, _, names in os.walk(GIT):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, WWW_DATA, WWW_DATA)


def check_bare(branch):
    """The server's repository is sound, and that branch is where the client's is."""
    git("fsck", "--strict", directory=BARE)
    assert git("rev-parse", branch, directory=BARE) == git("rev-parse", branch), "the branches differ"


def clone():
    """git: a clone, whose large request git compresses, is sound and complete."""
    for folder in (WORK, GIT):
        shutil.rmtree(folder, ignore_errors=True)
    make_repository()
    git("clone", "--quiet", REMOTE, WORK, directory="/tmp")
    trace = traced()
    assert "content-encoding: gzip" in trace, "git sent nothing compressed"
    git("fsck", "--strict")
    references = "for-each-ref", "--format=%(objectname)"
    ours = git(*references, "refs/remotes/origin/main", "refs/remotes/origin/side-*")
    assert sorted(ours.split()) == sorted(git(*references, "refs/heads", directory=BARE).split())
    with open(f"{WORK}/large", "rb") as file:
        assert file.read() == BLOCK, "content differs"


def commit(name, data):
    with open(f"{WORK}/{name}", "wb") as file:
        file.write(data)
    git("add", name)
    git("commit", "--quiet", "--message", f"adds {name}")


def push():
    """git: a small push, whose request has a Content-Length, arrives."""
    commit("note", b"a small change\n")
    git("push", "--quiet", "origin", "main")
    assert SENT_IN_CHUNKS not in traced(), "git sent something in chunks"
    check_bare("main")


def push_in_chunks():
    """git: a push that is larger than git's buffer, and so sent in chunks, arrives."""
    commit("reverse", BLOCK[::-1])
    git("-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main")
    assert SENT_IN_CHUNKS in traced(), "git sent nothing in chunks"
    check_bare("main")


def fetch():
    """git: a fetch brings what somebody else committed meanwhile."""
    at_server("fast-import", "--quiet", data=b"".join(commit_of(b"refs/heads/other", 1, b"somebody else's\n")))
    git("fetch", "--quiet", "origin")
    git("fsck", "--strict")
    assert git("rev-parse", "origin/other") == git("rev-parse", "other", directory=BARE)
    assert git("show", "origin/other:text") == "somebody else's"


CASES = [clone, push, push_in_chunks, fetch]
