"""A viser page of its own on the loopback address, for what moves nothing: episodes shown again."""

from __future__ import annotations

import contextlib
import functools
import io
import socket
from collections.abc import Iterator

import viser
import websockets
import websockets.asyncio.server

from teleopd.service.console.errors import PortTaken

HOST = "127.0.0.1"


@contextlib.contextmanager
def _own_pages_only(port: int) -> Iterator[None]:
    """While the server starts: let only its own pages connect, so that no other web page can read it.

    viser 1.1 checks no Origin header and offers no setting for it; its websocket library does.
    """
    serve = websockets.asyncio.server.serve
    own = [websockets.Origin(f"http://{host}:{port}") for host in (HOST, "localhost")]
    websockets.asyncio.server.serve = functools.partial(serve, origins=[*own, None])  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = serve  # type: ignore[misc]


def open_page(port: int) -> viser.ViserServer:
    """A server on the loopback address and exactly that port.

    Raises:
        PortTaken: another program listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PortTaken(HOST, port) from None
    with _own_pages_only(port), contextlib.redirect_stdout(io.StringIO()):  # it prints a banner
        server = viser.ViserServer(host=HOST, port=port, label="teleopd", verbose=False)
    if server.get_port() != port:  # viser takes the next free one silently
        server.stop()
        raise PortTaken(HOST, port)
    return server
