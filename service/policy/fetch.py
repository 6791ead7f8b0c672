"""Downloads one pinned file: https, a known size, a known sha256; what is whole is never replaced by what is not.

A download goes into `FILE.part` beside its place, is continued there after an interruption, and takes its place only
when its sha256 is the pinned one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import ipaddress
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.weights import WeightFile

TIMEOUT_S = 30.0
"""Of the connection and of each read."""
CHUNK = 1 << 16
MAX_REDIRECTS = 5


class FetchFailed(PolicyError):
    """The file could not be had; says why, and how to get it by hand."""

    def __init__(self, wanted: WeightFile, folder: Path, problem: str) -> None:
        super().__init__(
            f"{wanted.url} {problem}; to do it by hand put the file into {folder} as '{wanted.file}' "
            f"(sha256 {wanted.sha256})"
        )


class _Problem(Exception):
    """What went wrong, as the predicate of a sentence about the address."""


def fetch(
    wanted: WeightFile, folder: Path, *, on_bytes: Callable[[int], None] = lambda _done: None,
    plain_loopback: bool = False,
) -> Path:  # fmt: skip
    """Have `wanted` in `folder` and return its path; nothing is downloaded when it is there already.

    Args:
        on_bytes: is told the bytes so far.
        plain_loopback: also allow http to this machine itself, for tests.

    Raises:
        FetchFailed: one sentence on what went wrong.
    """
    path, part = folder / wanted.file, folder / f"{wanted.file}.part"
    if path.exists():
        found = _sha256(path)
        if found == wanted.sha256:
            return path
        problem = f"was not downloaded: {path} exists with another sha256, {found}: move it away"
        raise FetchFailed(wanted, folder, problem)
    folder.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchFailed(wanted, folder, f"is being downloaded by another process into {part}") from None
        try:
            _download(wanted, file, on_bytes, plain_loopback)
            file.flush()
            _verify(wanted, part)
        except _Problem as problem:
            raise FetchFailed(wanted, folder, str(problem)) from None
        part.replace(path)
    return path


def _download(wanted: WeightFile, file: IO[bytes], on_bytes: Callable[[int], None], plain_loopback: bool) -> None:
    """Append what is missing of the file.

    Raises:
        _Problem: the address is refused or did not give the whole file.
    """
    _check_address(wanted.url, plain_loopback)
    have = file.seek(0, 2)
    if have > wanted.size:
        file.truncate(0)
        have = file.seek(0)
    if have == wanted.size:
        return
    request = urllib.request.Request(wanted.url, headers={"User-Agent": "teleopd", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    opener = urllib.request.build_opener(_Redirects(plain_loopback))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            if have and not _continues(response, have):
                file.truncate(0)
                have = file.seek(0)
            _receive(wanted, response, file, have, on_bytes)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            file.truncate(0)
            raise _Problem("does not continue the part that is here, which was thrown away: try again") from None
        raise _Problem(f"answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        text = " ".join(str(reason).split()) or type(reason).__name__
        raise _Problem(f"cannot be reached or broke off ({text})") from None


def _continues(response: Any, have: int) -> bool:
    """Whether the answer is the rest of the file from byte `have` on; else it is the whole file."""
    span = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status == 206 and span is not None and int(span[1]) == have


def _receive(wanted: WeightFile, response: Any, file: IO[bytes], have: int, on_bytes: Callable[[int], None]) -> None:
    said = response.headers.get("Content-Length", "")
    if said.isdigit() and have + int(said) != wanted.size:
        raise _Problem(f"has {have + int(said)} bytes, the registry says {wanted.size}")
    while chunk := response.read(CHUNK):
        have += len(chunk)
        if have > wanted.size:
            file.truncate(0)
            raise _Problem(f"sends more than the {wanted.size} bytes of the registry")
        file.write(chunk)
        on_bytes(have)
    if have < wanted.size:
        raise _Problem(f"broke off after {have} of {wanted.size} bytes: run it again to continue")


def _verify(wanted: WeightFile, part: Path) -> None:
    """See that the part is the whole, right file.

    Raises:
        _Problem: it is not, and was deleted.
    """
    found = _sha256(part)
    if found != wanted.sha256:
        part.unlink()
        raise _Problem(f"has sha256 {found}, the registry says {wanted.sha256}; what was downloaded is deleted")


def _check_address(url: str, plain_loopback: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and plain_loopback and _is_loopback(parts.hostname or ""):
        return
    raise _Problem(f"leads to {parts.scheme or 'no'}://{parts.hostname or ''}, only https is followed")


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    max_redirections = MAX_REDIRECTS

    def __init__(self, plain_loopback: bool) -> None:
        self._plain_loopback = plain_loopback

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request.

        Raises:
            _Problem: it would leave https.
        """
        _check_address(newurl, self._plain_loopback)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
