"""What a policy is told of the future that a live stream does not have: `hold`, `extrapolate` or `delay`.

- hold: the present reference stands for every coming one.
- extrapolate: the present velocities go on and fade; bounded, inside the joint range.
- delay: the operator's motion is followed late by the policy's horizon, so that what is coming has already arrived. The
  delay is real: it is added to every latency figure. Stamps, validity and deadman stay those of the newest frame, so
  that safety judges the live stream, and letting go acts at once: the delay lies before the reference guard.

Times are `now_ns`; nothing here reads a clock, raises inside the loop or allocates the references it hands out.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.safety.attitude import yaw_of
from teleopd.service.policy.attitude import conjugate, multiply
from teleopd.service.policy.card import Card
from teleopd.service.policy.errors import Unsupported

Way = Literal["hold", "extrapolate", "delay"]
WAYS: tuple[Way, ...] = ("hold", "extrapolate", "delay")
LONGEST_DELAY_S = 0.5
"""An operator who sees the robot half a second late starts to wait for it; nothing beyond is offered."""
FADE_S = 0.1
"""Time constant with which extrapolated velocities fade: no more than this times the velocity is ever added."""
LARGEST_STEP_RAD = 0.5
"""Bound of what is added to a joint, and to the orientation of the root."""
LARGEST_STEP_M = 0.3
"""Bound of what is added to the root's place."""
LONGEST_GAP_NS = 100_000_000
"""Frames further apart than this are not joined by a straight line: the older one is held."""
SPARE_FRAMES = 6
"""Frames kept beyond one a tick of the delay."""


def horizon_s(card: Card) -> float:
    """How far ahead the policy looks [s]."""
    return card.lookahead_steps / card.rate_hz


def delay_s(card: Card) -> float:
    """What the card's lookahead adds to the latency [s]."""
    return horizon_s(card) if card.lookahead == "delay" else 0.0


def words(card: Card) -> str:
    """The lookahead in words: 'none', 'hold 320 ms', 'delay 100 ms' ..."""
    return f"{card.lookahead} {1e3 * horizon_s(card):.0f} ms" if card.lookahead_steps else "none"


def with_lookahead(card: Card, how: str) -> Card:
    """The card with another way of serving its lookahead; the same card for ''.

    Raises:
        Unsupported: there is no such way, the policy looks at no coming frame, or the delay would be too long.
    """
    if not how:
        return card
    if how not in WAYS:
        raise Unsupported(card.name, f"lookahead '{how}' is not one of: {', '.join(WAYS)}")
    if not card.lookahead_steps:
        raise Unsupported(card.name, f"looks 0 steps ahead, so lookahead '{how}' has nothing to serve: leave it out")
    changed = msgspec.structs.replace(card, lookahead=how)
    check_delay(changed)
    return changed


def check_delay(card: Card) -> None:
    """Refuse a delay that nobody can operate with.

    Raises:
        Unsupported: it is longer than `LONGEST_DELAY_S`; says both.
    """
    if delay_s(card) > LONGEST_DELAY_S:
        raise Unsupported(
            card.name, f"looks {1e3 * horizon_s(card):.0f} ms ahead, lookahead 'delay' is bounded to "
            f"{1e3 * LONGEST_DELAY_S:.0f} ms: choose hold or extrapolate"
        )  # fmt: skip


class Buffer:
    """Arrays of one reference, written in place."""

    def __init__(self, n: int) -> None:
        self.pos, self.quat = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
        self.linear, self.angular = np.zeros(3), np.zeros(3)
        self.q, self.dq = np.zeros(n), np.zeros(n)

    def stop(self) -> None:
        """Velocities to zero."""
        self.linear.fill(0.0)
        self.angular.fill(0.0)
        self.dq.fill(0.0)

    def on(self, stamps: Reference) -> Reference:
        """These arrays with the stamps of another reference."""
        return stamps._replace(
            root_pos_w=self.pos, root_quat_w=self.quat, root_lin_vel_w=self.linear, root_ang_vel_w=self.angular,
            q=self.q, dq=self.dq,
        )  # fmt: skip


class DelayLine:
    """The last frames received, read at any moment between the oldest and the newest. Owns its memory."""

    def __init__(self, n: int, frames: int) -> None:
        self._n = n
        self._t: npt.NDArray[np.int64] = np.zeros(frames, dtype=np.int64)
        self._rows = [Buffer(n) for _ in range(frames)]
        self._count, self._head = 0, 0
        self._of = (0, 0)

    def push(self, reference: Reference) -> bool:
        """Take a frame; False: it is not sound. A frame no newer than the last is known; a motion that restarted
        starts afresh."""
        if reference.q.shape != (self._n,) or not _finite(reference):
            return False
        of = (reference.source_id, reference.resets)
        if of != self._of:
            self._of, self._count = of, 0
        if self._count and reference.t_ns <= self._t[self._head]:
            return True
        self._head = (self._head + 1) % len(self._rows)
        self._count = min(self._count + 1, len(self._rows))
        self._t[self._head] = reference.t_ns
        row = self._rows[self._head]
        row.pos[:], row.quat[:], row.q[:], row.dq[:] = (
            reference.root_pos_w, reference.root_quat_w, reference.q, reference.dq,
        )  # fmt: skip
        row.linear[:], row.angular[:] = reference.root_lin_vel_w, reference.root_ang_vel_w
        return True

    def read(self, at_ns: int, into: Buffer) -> bool:
        """The motion at a moment, between two frames interpolated. Before the oldest frame and in a gap, the frame next
        to it stands still; after the newest one, that one stays as it came. False: there is no frame at all."""
        if not self._count:
            return False
        newer, older = self._head, self._head
        for back in range(self._count):
            older = (self._head - back) % len(self._rows)
            if self._t[older] <= at_ns:
                break
            newer = older
        after, before = self._rows[newer], self._rows[older]
        span = int(self._t[newer] - self._t[older])
        past_oldest = at_ns < self._t[older]
        share = 0.0 if past_oldest or not 0 < span <= LONGEST_GAP_NS else (at_ns - int(self._t[older])) / span
        _mix(before, after, share, into)
        if past_oldest or span > LONGEST_GAP_NS:
            into.stop()
        return True


class Lookahead:
    """Serves one policy's lookahead, tick by tick: `present` before the reference guard, `window` behind it."""

    def __init__(self, model: RobotModel, card: Card) -> None:
        self._lower, self._upper = model.limits.q_lower, model.limits.q_upper
        self._ahead_s = tuple(step / card.rate_hz for step in card.future_steps)
        self._delay_ns = round(delay_s(card) * 1e9)
        self._extrapolates = card.lookahead == "extrapolate" and bool(self._ahead_s)
        self._window = [Buffer(model.n) for _ in self._ahead_s]
        self._line: DelayLine | None = None
        if self._delay_ns:
            self._line = DelayLine(model.n, math.ceil(delay_s(card) * card.rate_hz) + SPARE_FRAMES)
        self._now, self._coming = Buffer(model.n), Buffer(model.n)
        self._now_ns = 0
        self._delayed = False

    def present(self, reference: Reference | None, now_ns: int) -> Reference | None:
        """What the guard is given: the newest reference, or with 'delay' the motion of that long ago under the newest
        one's stamps. A reference that is not finite goes through as it is, for the guard to refuse."""
        self._now_ns, self._delayed = now_ns, False
        if self._line is None or reference is None:
            return reference
        self._delayed = self._line.push(reference) and self._line.read(now_ns - self._delay_ns, self._now)
        return self._now.on(reference) if self._delayed else reference

    def window(self, shaped: Reference, follows: bool) -> list[Reference] | None:
        """References at the card's future steps, beginning at the one the policy tracks now; None: hold that one.

        `follows`: the guard follows the operator. While it holds or stands, nothing is coming. The next call overwrites
        the arrays.
        """
        if not follows or not self._ahead_s:
            return None
        if self._extrapolates:
            for buffer, ahead_s in zip(self._window, self._ahead_s, strict=True):
                extrapolate(shaped, ahead_s, self._lower, self._upper, buffer)
        elif self._delayed and self._line is not None:
            for buffer, ahead_s in zip(self._window, self._ahead_s, strict=True):
                self._line.read(self._now_ns - self._delay_ns + round(ahead_s * 1e9), self._coming)
                self._carry(shaped, buffer)
        else:
            return None
        return [buffer.on(shaped) for buffer in self._window]

    def _carry(self, shaped: Reference, into: Buffer) -> None:
        """What the operator does between the delayed present and the coming moment, put onto what is tracked now: the
        guard has turned, moved and bounded that."""
        now, coming = self._now, self._coming
        np.clip(coming.q, self._lower, self._upper, out=into.q)
        into.q -= np.clip(now.q, self._lower, self._upper)
        into.q += shaped.q
        np.clip(into.q, self._lower, self._upper, out=into.q)
        tracked, from_, to = _quat(shaped.root_quat_w), _quat(now.quat), _quat(coming.quat)
        turn = yaw_of(shaped.root_quat_w) - yaw_of(now.quat)
        cosine, sine = math.cos(turn), math.sin(turn)
        into.quat[:] = multiply(tracked, multiply(conjugate(from_), to))
        into.quat /= math.sqrt(float(into.quat @ into.quat))
        for out, base, after, before in (
            (into.pos, shaped.root_pos_w, coming.pos, now.pos),
            (into.linear, shaped.root_lin_vel_w, coming.linear, now.linear),
            (into.angular, shaped.root_ang_vel_w, coming.angular, now.angular),
        ):
            x, y, z = (after - before).tolist()
            a, b, c = base.tolist()
            out[:] = a + cosine * x - sine * y, b + sine * x + cosine * y, c + z
        np.subtract(coming.dq, now.dq, out=into.dq)
        into.dq += shaped.dq


def extrapolate(reference: Reference, ahead_s: float, lower: Array, upper: Array, into: Buffer) -> None:
    """The reference `ahead_s` later if its velocities fade as exp(-t / FADE_S): v FADE_S (1 - exp(-t / FADE_S)) is
    added, no more than the bounds above; joints stay in [lower, upper] (n,) and stop there.
    """
    left = math.exp(-ahead_s / FADE_S)
    reach = FADE_S * (1.0 - left)
    np.multiply(reference.dq, reach, out=into.q)
    np.clip(into.q, -LARGEST_STEP_RAD, LARGEST_STEP_RAD, out=into.q)
    into.q += reference.q
    np.multiply(reference.dq, left, out=into.dq)
    into.dq[(into.q < lower) | (into.q > upper)] = 0.0
    np.clip(into.q, lower, upper, out=into.q)
    into.pos[:] = reference.root_lin_vel_w
    into.pos *= min(reach, LARGEST_STEP_M / max(math.sqrt(float(into.pos @ into.pos)), 1e-9))
    into.pos += reference.root_pos_w
    x, y, z = reference.root_ang_vel_w.tolist()
    rate = math.sqrt(x * x + y * y + z * z)
    half = 0.5 * min(rate * reach, LARGEST_STEP_RAD)
    factor = math.sin(half) / rate if rate > 1e-9 else 0.0
    into.quat[:] = multiply((math.cos(half), factor * x, factor * y, factor * z), _quat(reference.root_quat_w))
    np.multiply(reference.root_lin_vel_w, left, out=into.linear)
    np.multiply(reference.root_ang_vel_w, left, out=into.angular)


def _mix(before: Buffer, after: Buffer, share: float, into: Buffer) -> None:
    """The straight line between two frames; orientations by the shorter way."""
    if before.quat @ after.quat < 0.0:
        np.multiply(after.quat, -share, out=into.quat)
    else:
        np.multiply(after.quat, share, out=into.quat)
    into.quat += (1.0 - share) * before.quat
    into.quat /= max(math.sqrt(float(into.quat @ into.quat)), 1e-9)
    for out, one, two in (
        (into.pos, before.pos, after.pos), (into.linear, before.linear, after.linear),
        (into.angular, before.angular, after.angular), (into.q, before.q, after.q), (into.dq, before.dq, after.dq),
    ):  # fmt: skip
        np.subtract(two, one, out=out)
        out *= share
        out += one


def _finite(reference: Reference) -> bool:
    return all(
        math.isfinite(np.add.reduce(part))
        for part in (reference.q, reference.dq, reference.root_pos_w, reference.root_quat_w, reference.root_lin_vel_w,
                     reference.root_ang_vel_w)  # fmt: skip
    )


def _quat(array: Array) -> tuple[float, float, float, float]:
    w, x, y, z = array.tolist()
    return (w, x, y, z)
