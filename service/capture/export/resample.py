"""The one policy by which streams of different rates get on one constant rate.

The grid is t_k = t_0 + k / rate. On it

- measured streams (`nearest`) take the sample nearest to t_k, an exact copy of what was measured, or (`linear`) the
  straight line between the two samples around t_k, for quaternions the shortest arc (slerp);
- commands (`next`) take the first sample in [t_k, t_k+1), the answer to what was measured at t_k; where none was issued
  there, the newest before t_k, which then was still in force (zero-order hold).

t_0 lies in the overlap of all streams, a quarter of a period before the instant at which commands are typically issued
(circular median of their phase), so that a command some milliseconds early or late keeps its frame.
Skew is t_sample - t_k [s] for each frame: `linear` has none, that of a held command is negative.

Nothing is bridged in silence: a gap above the stream's limit refuses the episode or cuts it there, time that goes back
refuses it, and so does any number that is not finite. Quaternions keep the sign nearest to that of the frame before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.sampling import (
    TimeArray,
    continuous,
    interpolate,
    is_quaternion,
    nearest,
    next_or_held,
    typical_phase,
)
from teleopd.service.capture.video import CAMERA

Rule = Literal["nearest", "linear", "next"]

GAP_S: Mapping[str, float] = {
    "state": 0.1, "command": 0.1, "target": 0.1, "shaped_reference": 0.1, "reference": 0.5,
}  # fmt: skip
"""Longest time between two samples that is bridged: five control ticks; a person's frames: until the robot returns."""
PICTURE_GAP_S = 0.5
"""The same for a camera: that long one picture stands for those that are missing."""
SHORTEST_PIECE_S = 1.0
"""Pieces between two cuts that are shorter are left out."""
LEAD = 0.25
"""The grid precedes the typical command by this share of a period."""


class Want(NamedTuple):
    """Columns of one stream, and how they get on the grid."""

    stream: str
    columns: tuple[str, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Grid:
    """A piece of an episode at constant rate, N frames."""

    t_ns: TimeArray
    """(N,) monotonic time of the recording host [ns]."""
    columns: Mapping[str, Array]
    """'stream.column' -> (N, k)."""
    skew_s: Mapping[str, Array]
    """Stream -> time of its sample less that of the frame [s], (N,)."""
    held: int
    """Frames in which the command before was still in force."""
    passed_over: int
    """Commands in no frame, as a later one came within the same period, or more than one fits between two frames."""


def resample(
    episode: Episode, wants: Sequence[Want], rate_hz: float, *, on_gap: Literal["refuse", "split"] = "refuse"
) -> tuple[Grid, ...]:  # fmt: skip
    """The pieces of the episode on the grid, in order; one where nothing has to be cut.

    Raises:
        EpisodeRefused: a stream or column is absent, time goes back, a value is not finite, a gap with `on_gap` refuse,
            or nothing long enough is left.
    """
    streams = {want.stream: _checked(episode, want) for want in wants}
    early_ns = {want.stream: round(1e9 / rate_hz) if want.rule == "next" else 0 for want in wants}
    start = max(int(s.t_ns[0]) - early_ns[name] for name, s in streams.items())
    end = min(int(s.t_ns[-1]) for s in streams.values())
    cuts = [
        (before, max(before, after - early_ns[name]))
        for name, stream in streams.items() for before, after in _gaps(episode, name, stream, on_gap)
    ]  # fmt: skip
    pieces: list[Grid] = []
    for a, b in _between(start, end, cuts):
        least = 0.0 if not cuts else SHORTEST_PIECE_S
        if b < a or (b - a) / 1e9 < least:
            continue
        grid = _piece({name: _within(s, a, b) for name, s in streams.items()}, wants, rate_hz)
        if grid is not None:
            pieces.append(grid)
    if not pieces:
        names = ", ".join(streams)
        raise EpisodeRefused(f"its streams {names} share no stretch of time long enough for a frame at {rate_hz:g} Hz")
    return tuple(pieces)


def _checked(episode: Episode, want: Want) -> Stream:
    stream = episode.streams.get(want.stream)
    if stream is None or stream.n == 0:
        there = ", ".join(name for name, s in episode.streams.items() if s.n) or "none"
        raise EpisodeRefused(f"it has no stream '{want.stream}'; it has {there}")
    sorted_away = json.loads(episode.metadata.get("time_back", "{}")).get(want.stream, 0)
    if sorted_away:
        raise EpisodeRefused(
            f"the clock of '{want.stream}' goes back {sorted_away} times; what came first is not known"
        )
    back = np.flatnonzero(np.diff(stream.t_ns) < 0)
    if len(back):
        i = int(back[0])
        jump = (stream.t_ns[i] - stream.t_ns[i + 1]) / 1e9
        raise EpisodeRefused(f"the clock of '{want.stream}' goes back by {jump:.3f} s {_when(episode, stream, i)}")
    for column in want.columns:
        if column not in stream.columns:
            raise EpisodeRefused(
                f"its stream '{want.stream}' has no column '{column}'; it has {', '.join(stream.columns)}"
            )
        values = stream.columns[column]
        if len(values) != stream.n:
            raise EpisodeRefused(f"'{want.stream}.{column}' has {len(values)} rows for {stream.n} times")
        _check_finite(episode, want.stream, column, stream)
        if is_quaternion(column):
            _check_norms(episode, want.stream, column, stream)
    return stream


def _check_finite(episode: Episode, name: str, column: str, stream: Stream) -> None:
    values = stream.columns[column]
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        i, k = (int(c) for c in bad[0])
        joint = f" of {episode.joint_names[k]}" if values.shape[1] == len(episode.joint_names) else f"[{k}]"
        raise EpisodeRefused(f"'{name}.{column}'{joint} is {values[i, k]} {_when(episode, stream, i)}")


def _check_norms(episode: Episode, name: str, column: str, stream: Stream) -> None:
    norms = np.linalg.norm(stream.columns[column], axis=1)
    bad = np.flatnonzero(np.abs(norms - 1.0) > 0.01)
    if len(bad):
        i = int(bad[0])
        raise EpisodeRefused(
            f"'{name}.{column}' is no orientation {_when(episode, stream, i)}: its norm is {norms[i]:.3g}, not 1"
        )


def _when(episode: Episode, stream: Stream, i: int) -> str:
    return f"at {(int(stream.t_ns[i]) - episode.t_start_ns) / 1e9:.3f} s"


def _gaps(episode: Episode, name: str, stream: Stream, on_gap: str) -> list[tuple[int, int]]:
    """(last time before, first time after) of every gap too long to be bridged."""
    limit_s = PICTURE_GAP_S if name.startswith(CAMERA) else GAP_S.get(name, 0.1)
    steps = np.diff(stream.t_ns)
    found = np.flatnonzero(steps > limit_s * 1e9)
    if len(found) and on_gap == "refuse":
        i = int(found[0])
        raise EpisodeRefused(
            f"'{name}' has a gap, or its clock jumps, by {steps[i] / 1e9:.3f} s {_when(episode, stream, i)} "
            f"(at most {limit_s:g} s is bridged); cut it there with --on-gap split"
        )
    return [(int(stream.t_ns[i]), int(stream.t_ns[i + 1])) for i in found]


def _between(start: int, end: int, cuts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches of [start, end] outside the open intervals `cuts`."""
    kept: list[tuple[int, int]] = []
    for before, after in sorted(cuts):
        if before >= start:
            kept.append((start, min(before, end)))
        start = max(start, after)
    kept.append((start, end))
    return [(a, b) for a, b in kept if a <= b]


def _within(stream: Stream, start: int, end: int) -> Stream:
    first, last = np.searchsorted(stream.t_ns, start, "left"), np.searchsorted(stream.t_ns, end, "right")
    return Stream(stream.t_ns[first:last], {name: values[first:last] for name, values in stream.columns.items()})


def _piece(streams: Mapping[str, Stream], wants: Sequence[Want], rate_hz: float) -> Grid | None:
    """One stretch without gaps; None when no frame fits into it."""
    if any(s.n == 0 for s in streams.values()):
        return None
    t_ns = _grid_times(streams, wants, rate_hz)
    if not len(t_ns):
        return None
    columns: dict[str, Array] = {}
    skew: dict[str, Array] = {}
    held = passed_over = 0
    for want in wants:
        stream = streams[want.stream]
        if want.rule == "linear":
            skew[want.stream] = np.zeros(len(t_ns))
            for column in want.columns:
                columns[f"{want.stream}.{column}"] = interpolate(stream, column, t_ns)
            continue
        if want.rule == "nearest":
            taken = nearest(stream.t_ns, t_ns)
        else:
            taken = next_or_held(stream.t_ns, t_ns, rate_hz)
            held += int(np.count_nonzero(stream.t_ns[taken] < t_ns))
            inside = np.searchsorted(stream.t_ns, t_ns[-1] + 1e9 / rate_hz) - np.searchsorted(stream.t_ns, t_ns[0])
            passed_over += int(inside) - len(np.unique(taken[stream.t_ns[taken] >= t_ns]))
        skew[want.stream] = (stream.t_ns[taken] - t_ns) / 1e9
        for column in want.columns:
            values = np.array(stream.columns[column][taken])
            columns[f"{want.stream}.{column}"] = continuous(values) if is_quaternion(column) else values
    return Grid(t_ns, columns, skew, held, passed_over)


def _grid_times(streams: Mapping[str, Stream], wants: Sequence[Want], rate_hz: float) -> TimeArray:
    period = 1e9 / rate_hz
    commands = [streams[w.stream].t_ns for w in wants if w.rule == "next"]
    measured = [streams[w.stream].t_ns for w in wants if w.rule != "next"]
    start = max([int(t[0]) for t in measured] + [int(t[0]) - round(period) + 1 for t in commands])
    end = min(int(t[-1]) for t in measured + commands)
    offset = 0.0
    if commands:
        anchor = int(commands[0][0])
        phase = typical_phase((commands[0] - anchor).astype(np.float64), period)
        offset = (phase - LEAD * period + (anchor - start)) % period
    count = int(np.floor((end - start - offset) / period + 1e-9)) + 1
    steps = np.arange(max(count, 0), dtype=np.float64) * period
    return start + round(offset) + np.rint(steps).astype(np.int64)
