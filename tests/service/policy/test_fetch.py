"""Downloads from a real server on loopback: whole, continued, broken off, wrong, too large, absent, refused."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from teleopd.service.policy import fetch as module
from teleopd.service.policy.fetch import FetchFailed, fetch
from teleopd.service.policy.weights import WeightFile

CONTENT = np.random.default_rng(7).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Gives `content`; `stop_after` bytes of an answer it hangs up; ranges only when asked to."""

    def __init__(self) -> None:
        self.content, self.stop_after, self.ranges, self.says_length = CONTENT, 10**9, True, True
        self.location = ""
        self.asked: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path: str = "w.onnx") -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, start = self.server, 0
        server.asked.append(self.headers.get("Range"))
        if server.location:
            self.send_response(302)
            self.send_header("Location", server.location)
            self.end_headers()
            return
        if "absent" in self.path:
            self.send_error(404)
            return
        if server.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        if server.says_length:
            self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : start + server.stop_after])

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def wanted(url: str, content: bytes = CONTENT) -> WeightFile:
    return WeightFile(file="w.onnx", url=url, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def refused(file: WeightFile, folder: Path) -> str:
    with pytest.raises(FetchFailed) as caught:
        fetch(file, folder, plain_loopback=True)
    text = str(caught.value)
    tail = f"; to do it by hand put the file into {folder} as 'w.onnx' (sha256 {file.sha256})"
    assert text.startswith(f"{file.url} ") and text.endswith(tail) and "\n" not in text
    return text.removeprefix(f"{file.url} ").removesuffix(tail)


def test_a_whole_file_takes_its_place_and_is_not_asked_for_again(server: Server, tmp_path: Path):
    seen: list[int] = []
    folder = tmp_path / "new" / "folder"
    path = fetch(wanted(server.url()), folder, on_bytes=seen.append, plain_loopback=True)
    assert path == folder / "w.onnx" and path.read_bytes() == CONTENT
    assert seen == sorted(seen) and seen[-1] == len(CONTENT)
    assert fetch(wanted(server.url()), folder, plain_loopback=True) == path
    assert server.asked == [None]
    assert list(folder.iterdir()) == [path], "no part is left"


def test_what_broke_off_is_continued_where_it_stopped(server: Server, tmp_path: Path):
    server.stop_after = 100_000
    assert refused(wanted(server.url()), tmp_path) == (
        "broke off after 100000 of 300000 bytes: run it again to continue"
    )
    assert not (tmp_path / "w.onnx").exists()
    server.stop_after = 10**9
    assert fetch(wanted(server.url()), tmp_path, plain_loopback=True).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path):
    (tmp_path / "w.onnx.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert fetch(wanted(server.url()), tmp_path, plain_loopback=True).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path):
    (tmp_path / "w.onnx.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetch(wanted(server.url()), tmp_path, plain_loopback=True).read_bytes() == CONTENT
    assert server.asked == [None]


@pytest.mark.parametrize("part", [b"", b"y" * 1000])
def test_another_content_is_deleted_and_both_digests_are_said(server: Server, tmp_path: Path, part: bytes):
    """Of the right size, so only the digest tells; a rotten part is caught in the same way."""
    if part:
        (tmp_path / "w.onnx.part").write_bytes(part)
        got = part + CONTENT[len(part) :]
    else:
        got = server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    file = wanted(server.url())
    assert refused(file, tmp_path) == (
        f"has sha256 {hashlib.sha256(got).hexdigest()}, the registry says {file.sha256}; what was downloaded is deleted"
    )
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused_before_it_is_read(server: Server, tmp_path: Path):
    server.content = CONTENT + b"!"
    assert refused(wanted(server.url()), tmp_path) == "has 300001 bytes, the registry says 300000"


def test_a_stream_without_end_is_cut(server: Server, tmp_path: Path):
    server.says_length, server.content = False, CONTENT * 20
    assert refused(wanted(server.url()), tmp_path) == "sends more than the 300000 bytes of the registry"
    assert (tmp_path / "w.onnx.part").stat().st_size == 0


def test_absent_and_unreachable_say_what_to_put_where(server: Server, tmp_path: Path):
    assert refused(wanted(server.url("absent")), tmp_path) == "answers 404 Not Found"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/w.onnx"
    assert "cannot be reached or broke off ([Errno 111] Connection refused)" in refused(wanted(url), tmp_path)


def test_only_https_is_followed(server: Server, tmp_path: Path):
    file = wanted(server.url())
    with pytest.raises(FetchFailed, match=r"leads to http://127\.0\.0\.1, only https is followed"):
        fetch(file, tmp_path)
    assert refused(wanted("http://example.org/w.onnx"), tmp_path) == (
        "leads to http://example.org, only https is followed"
    )
    server.location = "ftp://127.0.0.1/w.onnx"
    assert refused(file, tmp_path) == "leads to ftp://127.0.0.1, only https is followed"
    server.location = "file:///etc/passwd"
    assert "Redirection to url 'file:///etc/passwd' is not allowed" in refused(file, tmp_path)


def test_a_file_of_the_users_is_never_replaced(server: Server, tmp_path: Path):
    (tmp_path / "w.onnx").write_bytes(b"mine")
    text = refused(wanted(server.url()), tmp_path)
    mine = hashlib.sha256(b"mine").hexdigest()
    assert text == f"was not downloaded: {tmp_path / 'w.onnx'} exists with another sha256, {mine}: move it away"
    assert (tmp_path / "w.onnx").read_bytes() == b"mine" and server.asked == []


def test_two_at_once_do_not_write_one_file(server: Server, tmp_path: Path):
    with (tmp_path / "w.onnx.part").open("ab") as other:
        module.fcntl.flock(other, module.fcntl.LOCK_EX)
        text = refused(wanted(server.url()), tmp_path)
    assert text == f"is being downloaded by another process into {tmp_path / 'w.onnx.part'}"
