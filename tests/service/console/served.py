"""The whole console on a free port: hidden viser, relay and gateway, and an operator that writes down what it hears."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import viser
from websockets.sync.client import ClientConnection, connect

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act
from teleopd.service.console.access import Access, Role, Tokens
from teleopd.service.console.desk import Desk
from teleopd.service.console.gateway import Gateway
from teleopd.service.console.relay import Relay
from teleopd.service.console.view import BrowserView

SECRET = "inner-secret"
CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1, 0, 0, 0), "position": (2, 0, 1), "fov": 1.0, "near": 0.1,
    "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0, 0, 0), "up_direction": (0, 0, 1),
}  # fmt: skip
"""A page counts as there once it has said where it looks from."""


class Recorder:
    """An operator that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, int]] = []
        self.stops = 0

    def act(self, act: Act, now_ns: int) -> None:
        self.said.append((act, now_ns))

    def hold(self, held: bool, now_ns: int) -> None:
        self.said.append((held, now_ns))

    def stop(self) -> None:
        self.stops += 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served(NamedTuple):
    """A console and how to reach it."""

    access: Access
    view: BrowserView
    gateway: Gateway
    relay: Relay
    operator: Recorder
    desk: Desk

    def cookie(self, role: Role = Role.OPERATE) -> dict[str, str]:
        token = self.access.tokens.operate if role is Role.OPERATE else self.access.tokens.watch
        return {"Cookie": f"teleopd_{self.access.port}={token}"}

    def button(self, label: str) -> str:
        """The identifier of a button in the page's messages."""
        handles = self.view.server.gui._gui_input_handle_from_uuid.items()
        return next(key for key, handle in handles if handle.label == label)

    def page(self, role: Role | None = Role.OPERATE, origin: str | None = None) -> ClientConnection:
        """What viser's own page opens."""
        return connect(
            self.access.address.replace("http", "ws", 1), origin=origin or self.access.address,  # type: ignore[arg-type]
            subprotocols=[f"viser-v{viser.__version__}"], max_size=None,  # type: ignore[list-item]
            additional_headers={} if role is None else self.cookie(role), compression=None,
        )  # fmt: skip


def said(message: dict[str, object]) -> bytes:
    """As it goes over the wire."""
    return msgspec.msgpack.encode(message)


@contextlib.contextmanager
def serving(
    *, may_engage: bool = True, stick: Callable[..., object] | None = None,
    episodes: Callable[[str], object] | None = None, **where: object,
) -> Iterator[Served]:  # fmt: skip
    operator = Recorder()
    view = BrowserView(MODEL, SECRET, operator, may_engage=may_engage, stick=stick, episodes=episodes)
    with contextlib.closing(view):
        access = Access(free_port(), Tokens.new(), **where)  # type: ignore[arg-type]
        relay = Relay(view.port, SECRET, lambda: view.stop_buttons, lambda: view.poses)
        desk = Desk()
        gateway = Gateway(access, relay, operator.stop, desk)
        with contextlib.closing(gateway):
            yield Served(access, view, gateway, relay, operator, desk)
