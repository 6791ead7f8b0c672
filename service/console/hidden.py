"""viser behind our gateway: on the loopback address, on a port the system picks, and only for who knows its secret."""

from __future__ import annotations

import contextlib
import functools
import hmac
import http
import io
import threading
from collections.abc import Iterator
from typing import Any

import viser
import websockets
import websockets.asyncio.server

HOST = "127.0.0.1"
SECRET_HEADER = "X-Teleopd-Inner"
_STARTING = threading.Lock()


@contextlib.contextmanager
def _only_with(secret: str) -> Iterator[None]:
    """While the server starts: let its websocket library refuse every request without the secret, pages included.

    viser 1.1 checks neither token nor Origin header and offers no setting for it.
    """
    serve = websockets.asyncio.server.serve

    def guarded(handler: Any, host: str, port: int, *, process_request: Any, **options: Any) -> Any:
        def check(connection: Any, request: Any) -> Any:
            said = request.headers.get(SECRET_HEADER, "")
            if not hmac.compare_digest(said.encode("utf-8", "replace"), secret.encode()):
                return connection.respond(http.HTTPStatus.FORBIDDEN, "only through the gateway\n")
            return process_request(connection, request) if process_request is not None else None

        return serve(handler, host, port, process_request=check, **options)

    websockets.asyncio.server.serve = functools.wraps(serve)(guarded)  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = serve  # type: ignore[misc]


def open_hidden(secret: str) -> viser.ViserServer:
    """A viser server that answers requests with `SECRET_HEADER: secret` only."""
    with _STARTING, _only_with(secret), contextlib.redirect_stdout(io.StringIO()):  # it prints a banner
        return viser.ViserServer(host=HOST, port=0, label="teleopd", verbose=False)
