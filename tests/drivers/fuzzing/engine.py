"""Feeds mutated inputs to a parser and says which of them break its promises. No protocol is known here.

Coverage-guided by our own means: `sys.settrace` gathers the line-to-line steps (arcs) inside the protocol's folder on
a share of the inputs, and an input that takes a new step joins those that are mutated further.
"""

from __future__ import annotations

import gc
import sys
import time
import traceback
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any, NamedTuple

from mutators import mutate

from teleopd.drivers.source import ProtocolError

MAX_CPU_NS = 5_000_000
"""Most CPU time one packet may cost [ns]."""
MAX_MEMORY = 10_000_000
"""Most memory one packet may cost [B]."""
TRACED = 10
"""One input in so many is traced."""
WEIGHED = 1000
"""One in so many is weighed by tracemalloc, and every suspect of time or size."""
HEAVY = 30_000
"""Inputs longer than this are weighed one time in 20 [B]."""
RECEIVED = 4
"""One in so many also goes through the source."""
DECODED = 32
"""One in so many also goes through `teleop decode`."""
RENEWED = 256
"""Inputs after which the source is a new one."""
MAX_POOL = 2000
MINIMISING = 3000
"""Attempts at making a finding shorter."""

Feed = Callable[[bytes], object]
Repair = Callable[[bytes], bytes]
Arc = tuple[str, int, int]


class Target(NamedTuple):
    """One protocol's parsers."""

    name: str
    parse: Feed
    """wire: may raise ProtocolError, nothing else."""
    receiver: Callable[[], Feed]
    """Makes a fresh source's `receive`, which raises nothing at all."""
    line: Feed
    """`teleop decode` on it, which raises nothing at all."""
    folders: tuple[str, ...]
    """Files whose path has one of these parts are traced."""
    seeds: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...] = ()
    repair: Repair = bytes
    """Makes the packet's own length field right again; without it most mutations would end at the header."""


class Finding(NamedTuple):
    """An input that breaks a promise."""

    protocol: str
    stage: str
    """parse, receive, decode, time or memory."""
    sentence: str
    inputs: tuple[bytes, ...]
    """The last one does it; those before it bring the source where it can."""


@dataclass(slots=True)
class Tally:
    """What a run did."""

    packets: int = 0
    read: int = 0
    """Inputs that were still a valid packet."""
    rejected: dict[str, int] = field(default_factory=dict)
    arcs: set[Arc] = field(default_factory=set)
    kept: list[bytes] = field(default_factory=list)
    """Inputs that took a new step."""
    slowest_ns: int = 0
    """CPU time of the costliest packet, re-measured [ns]."""
    largest: int = 0
    """Memory of the costliest packet weighed [B]."""
    findings: list[Finding] = field(default_factory=list)


class Fuzzer:
    """One protocol, one seed."""

    def __init__(self, target: Target, corpus: list[bytes], seed: int) -> None:
        self.target = target
        self.tally = Tally()
        self._rng = Random(f"{target.name} {seed}")
        self._pool: list[bytes] = []
        self._since: list[bytes] = []
        self._receive: Feed | None = None
        self._places: set[str] = set()
        for data in corpus:
            self._follow(data)
            self._pool.append(data)
        self.tally.kept = []

    def replay(self) -> Tally:
        """Every input of the corpus as it is, through every stage."""
        for data in self._pool:
            self._check(data, receive=True, decode=True, weigh=True)
        return self.tally

    def run(self, packets: int, seconds: float = float("inf")) -> Tally:
        """So many mutated packets, or as many as fit into `seconds` of wall time."""
        rng, pool, tally = self._rng, self._pool, self.tally
        end = time.monotonic() + seconds
        gc.collect()
        gc.freeze()
        for k in range(packets):
            if not k % 256 and time.monotonic() > end:
                break
            data = mutate(rng, pool[int(rng.random() * len(pool))], pool[int(rng.random() * len(pool))],
                          self.target.tokens)  # fmt: skip
            if rng.random() < 0.5:
                data = self.target.repair(data)
            weigh = not k % WEIGHED or (len(data) > HEAVY and not k % 20)
            self._check(data, receive=not k % RECEIVED, decode=not k % DECODED, weigh=weigh)
            if not k % TRACED and self._follow(data) and len(pool) < MAX_POOL:
                pool.append(data)
                tally.kept.append(data)
        return tally

    def _check(self, data: bytes, *, receive: bool, decode: bool, weigh: bool) -> None:
        """One packet through the stages asked for."""
        tally, parse = self.tally, self.target.parse
        tally.packets += 1
        start = time.thread_time_ns()
        try:
            parse(data)
            tally.read += 1
        except ProtocolError as error:
            tally.rejected[error.reason] = tally.rejected.get(error.reason, 0) + 1
        except Exception as error:
            self._report("parse", error, (data,))
            return
        took = time.thread_time_ns() - start
        if took > MAX_CPU_NS or took > tally.slowest_ns:
            took = self._best(lambda: self._quietly(parse, data))
            tally.slowest_ns = max(tally.slowest_ns, took)
            if took > MAX_CPU_NS:
                self._cost("time", f"reading costs {took / 1e6:.1f} ms", data)
            weigh = True
        if weigh:
            self._weigh(data)
        if receive:
            self._through_source(data)
        if decode:
            try:
                self.target.line(data)
            except Exception as error:
                self._report("decode", error, (data,))

    def _through_source(self, data: bytes) -> None:
        if self._receive is None or len(self._since) >= RENEWED:
            self._receive, self._since = self.target.receiver(), []
        self._since.append(data)
        start = time.thread_time_ns()
        try:
            self._receive(data)
        except Exception as error:
            self._report("receive", error, self._shortest(type(error)))
            self._receive = None
            return
        took = time.thread_time_ns() - start
        if took > MAX_CPU_NS:
            fresh = [self.target.receiver() for _ in range(5)]
            took = self._best(lambda: self._quietly(fresh.pop(), data))
            if took > MAX_CPU_NS:
                self._cost("time", f"receiving costs {took / 1e6:.1f} ms", data)

    def _shortest(self, kind: type[Exception]) -> tuple[bytes, ...]:
        """The last input alone if that is enough, otherwise all since the source was new."""
        try:
            self.target.receiver()(self._since[-1])
        except kind:
            return (self._since[-1],)
        except Exception:
            pass
        return tuple(self._since)

    def _weigh(self, data: bytes) -> None:
        tracemalloc.start()
        try:
            self._quietly(self.target.parse, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.tally.largest = max(self.tally.largest, peak)
        if peak > MAX_MEMORY:
            self._cost("memory", f"reading takes {peak / 1e6:.1f} MB", data)

    def _follow(self, data: bytes) -> bool:
        """Whether the input takes a step not taken before."""
        arcs = arcs_of(self.target, data)
        if arcs <= self.tally.arcs:
            return False
        self.tally.arcs |= arcs
        return True

    @staticmethod
    def _quietly(feed: Feed, data: bytes) -> None:
        try:
            feed(data)
        except Exception:
            pass

    @staticmethod
    def _best(call: Callable[[], None]) -> int:
        """Least CPU time of five calls [ns]."""
        took = []
        for _ in range(5):
            start = time.thread_time_ns()
            call()
            took.append(time.thread_time_ns() - start)
        return min(took)

    def _cost(self, stage: str, sentence: str, data: bytes) -> None:
        if stage not in self._places:
            self._places.add(stage)
            self.tally.findings.append(
                Finding(self.target.name, stage, f"{sentence}; an input of {len(data)} B", (data,))
            )

    def _report(self, stage: str, error: Exception, inputs: tuple[bytes, ...]) -> None:
        """One finding a place in the code, its input made as short as it gets."""
        place = place_of(error)
        if stage + place in self._places:
            return
        self._places.add(stage + place)
        if len(inputs) == 1:
            feed = {"parse": lambda: self.target.parse, "receive": self.target.receiver, "decode": self._line}[stage]
            inputs = (minimised(inputs[0], lambda shorter: _breaks(feed(), shorter, place)),)
        sentence = f"{type(error).__name__} escapes at {place}: {str(error)[:200]}"
        self.tally.findings.append(Finding(self.target.name, stage, sentence, inputs))

    def _line(self) -> Feed:
        return self.target.line


def arcs_of(target: Target, data: bytes) -> set[Arc]:
    """The steps from line to line that an input takes inside the protocol's own files."""
    arcs: set[Arc] = set()
    wanted: dict[str, bool] = {}

    def enter(frame: FrameType, _event: str, _arg: Any) -> Any:
        name = frame.f_code.co_filename
        ours = wanted.get(name)
        if ours is None:
            ours = wanted[name] = any(part in name for part in target.folders)
        if not ours:
            return None
        before = -frame.f_code.co_firstlineno

        def step(inner: FrameType, _event: str, _arg: Any) -> Any:
            nonlocal before
            line = inner.f_lineno
            arcs.add((name, before, line))
            before = line
            return step

        return step

    receive = target.receiver()
    outer = sys.gettrace()
    sys.settrace(enter)
    try:
        for feed in (target.parse, receive):
            try:
                feed(data)
            except Exception:
                pass
    finally:
        sys.settrace(outer)
    return arcs


def place_of(error: Exception) -> str:
    """Type of the error, and the innermost line of ours that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "drivers" in frame.filename and "tests" not in frame.filename] or frames
    return f"{ours[-1].filename.rpartition('drivers/')[2]}:{ours[-1].lineno} ({type(error).__name__})"


def _breaks(feed: Feed, data: bytes, place: str) -> bool:
    try:
        feed(data)
    except ProtocolError:
        return False
    except Exception as error:
        return place_of(error) == place
    return False


def minimised(data: bytes, breaks: Callable[[bytes], bool]) -> bytes:
    """The shortest input found that still `breaks`: ever smaller parts are left out."""
    attempts, size = 0, max(1, len(data) // 2)
    while attempts < MINIMISING:
        at, shrunk = 0, False
        while at < len(data) and attempts < MINIMISING:
            shorter = data[:at] + data[at + size :]
            attempts += 1
            if breaks(shorter):
                data, shrunk = shorter, True
            else:
                at += size
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return data
