"""A NatNet client's side of the handshake: what to send when. A pure state machine, time passed in."""

from __future__ import annotations

from teleopd.drivers.natnet import wire
from teleopd.drivers.natnet.messages import Kind, ServerInfo, Version
from teleopd.drivers.reconnect import Backoff, Phase, Reconnect

ANSWER_NS = 250_000_000
"""A server that has not answered CONNECT by then did not hear it."""
SILENT_NS = 2_000_000_000
"""Neither frames nor answers for so long: connect anew."""
KEEP_ALIVE_NS = 1_000_000_000
"""In unicast; Motive drops a client that stops, the vendor's own sends one a second."""
ECHO_BURST = 5
"""Echoes in quick succession after connecting, so that the clock is known at once."""
ECHO_BURST_NS = 50_000_000
ECHO_NS = 2_000_000_000
ECHO_OPEN = 8
"""Echoes awaited at once; older ones are lost."""
MODELS_NS = 1_000_000_000
"""Model definitions are asked for at most so often."""
BACKOFF = Backoff(first_ns=100_000_000, longest_ns=1_000_000_000)


class Session:
    """One client and one server. `due` says what to send; the other methods tell it what was heard."""

    def __init__(self, *, discover: bool, multicast: bool | None) -> None:
        """`discover`: ask whoever is there; `multicast`: None believes the server."""
        self.info: ServerInfo | None = None
        self.reconnect = Reconnect(BACKOFF)
        self.models_requested = 0
        self._discover = discover
        self._multicast = multicast
        self._models_wanted = False
        self._models_asked_ns: int | None = None
        self._echoes: list[int] = []
        self._echoes_sent = 0
        self._next_echo_ns = 0
        self._next_alive_ns = 0
        self._tried_ns = self._heard_ns = 0

    @property
    def version(self) -> Version:
        """Bitstream to decode with; the newest before the server said."""
        return wire.NEWEST if self.info is None else wire.bitstream(self.info.natnet_version)

    @property
    def unicast(self) -> bool:
        """Frames come to us alone, as long as keep-alives do."""
        if self._multicast is not None:
            return not self._multicast
        return self.info is not None and self.info.multicast is False

    @property
    def connected(self) -> bool:
        """The server answered, and has not been silent since."""
        return self.reconnect.phase is Phase.CONNECTED

    def due(self, now_ns: int) -> list[bytes]:
        """Datagrams to send now."""
        phase = self.reconnect.phase
        if phase is Phase.TRYING and now_ns - self._tried_ns >= ANSWER_NS:
            self.reconnect.failed(now_ns, "the server does not answer")
        elif phase is Phase.CONNECTED and now_ns - self._heard_ns >= SILENT_NS:
            self.reconnect.failed(now_ns, "the server fell silent")
        if self.reconnect.phase is Phase.WAITING and self.reconnect.wait_ns(now_ns) == 0:
            self.reconnect.begin(now_ns)
            self._tried_ns = now_ns
            return [wire.encode_hello(Kind.DISCOVERY if self._discover else Kind.CONNECT)]
        return self._while_connected(now_ns) if self.connected else []

    def _while_connected(self, now_ns: int) -> list[bytes]:
        assert self.info is not None
        datagrams = []
        if self.unicast and now_ns >= self._next_alive_ns:
            self._next_alive_ns = now_ns + KEEP_ALIVE_NS
            datagrams.append(wire.encode(Kind.KEEPALIVE))
        if self.info.clock_hz and now_ns >= self._next_echo_ns:
            self._echoes_sent += 1
            self._next_echo_ns = now_ns + (ECHO_BURST_NS if self._echoes_sent < ECHO_BURST else ECHO_NS)
            self._echoes = [*self._echoes[1 - ECHO_OPEN :], now_ns]
            datagrams.append(wire.encode_echo(now_ns))
        may_ask = self._models_asked_ns is None or now_ns - self._models_asked_ns >= MODELS_NS
        if self._models_wanted and may_ask:
            self._models_asked_ns = now_ns
            self.models_requested += 1
            datagrams.append(wire.encode(Kind.REQUEST_MODELDEF))
        return datagrams

    def welcomed(self, info: ServerInfo, now_ns: int) -> list[bytes]:
        """SERVERINFO came; returns what to send at once. A second answer to one question changes nothing."""
        self.heard(now_ns)
        if self.connected and info == self.info:
            return []
        if self.reconnect.phase is Phase.TRYING:
            self.reconnect.connected(now_ns)
        self.info = info
        self._models_wanted, self._models_asked_ns = True, None
        self.ask_clock(now_ns)
        self._next_alive_ns = now_ns
        requests = [wire.encode_request("FrameRate")]
        if self._discover:
            requests.insert(0, wire.encode_hello(Kind.CONNECT))
        if self.unicast and info.natnet_version[:2] > wire.NEWEST:
            requests.append(wire.encode_request(f"Bitstream,{wire.NEWEST[0]}.{wire.NEWEST[1]}"))
        return requests

    def heard(self, now_ns: int) -> None:
        """Anything valid came from the server."""
        self._heard_ns = now_ns

    def want_models(self) -> None:
        """The definitions at hand are old: ask again, once, and again only if no answer comes."""
        self._models_wanted = True

    def ask_clock(self, now_ns: int) -> None:
        """The server's clock may have jumped: echoes that are on the way are void, others go out at once."""
        self._echoes, self._echoes_sent, self._next_echo_ns = [], 0, now_ns

    def models_came(self) -> None:
        """MODELDEF arrived."""
        self._models_wanted = False

    def renew(self, now_ns: int) -> None:
        """Ask for SERVERINFO again: the bitstream changed."""
        if self.connected:
            self.reconnect.failed(now_ns, "the server changed its bitstream")

    def echo_answered(self, stamp: int) -> bool:
        """Whether this echo was awaited; each is, once."""
        if stamp not in self._echoes:
            return False
        self._echoes.remove(stamp)
        return True
