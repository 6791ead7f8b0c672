"""Endless variety of things to track: random tracks of 20 s, cut and blended from clips, gaits, squats and noise.

The mixture and every range are policy.md 11.1's ("narrow" and "wide" generator), which decided how well unseen motion
is followed; gait cycles are cut from TWIST2's examples and, for what those lack, from walks of our own making.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.channels import (
    ARMS,
    DT_S,
    JOINTS,
    LEGS,
    PITCH,
    RATE_HZ,
    ROLL,
    VX,
    VY,
    WAIST,
    WIDTH,
    WZ,
    Clip,
    Z,
    mirrored,
    stand,
)
from teleopd.service.policy.train.squats import squat_table

Rng = np.random.Generator
TRACK_TICKS = 1000
"""20 s."""
WIDE_SHARE = 0.65
Z_RANGE_M = (0.48, 0.90)
"""Bounds of wide references [m]."""
CAPTURED = ("0807_", "cmu_", "xsens_")
"""Names of clips of people begin so; the others are ours."""
OWN_WEIGHT = 0.4
"""Our own clips are smooth and alike: a second of them is cut from so much less often."""
_ARM_MARGIN = 0.15
"""Smooth-noise arms stay this far from the joint limits [rad]."""


class GaitCycle(NamedTuple):
    """Where one closed cycle lies in a clip."""

    clip: str
    first: int
    ticks: int
    weight: float


GAITS = (
    GaitCycle("0807_yanjie_walk_001", 510, 58, 3.0),  # 0.96 m/s forward
    GaitCycle("0807_yanjie_walk_005", 505, 62, 2.0),  # backward
    GaitCycle("0807_yanjie_walk_006", 40, 56, 1.5),  # turning
    GaitCycle("stride +0.30 m, 0.65 s", 195, 65, 1.5),
    GaitCycle("stride +0.50 m, 0.72 s", 216, 72, 1.0),
    GaitCycle("stride -0.22 m, 0.7 s", 210, 70, 1.5),
    GaitCycle("stride -0.30 m, 0.65 s", 195, 65, 1.0),
    GaitCycle("curve +0.30 m, 14 deg", 210, 70, 1.0),
    GaitCycle("side 0.10 m, 0.7 s", 140, 70, 1.0),
    GaitCycle("side 0.18 m, 0.65 s", 130, 65, 1.5),
    GaitCycle("side 0.26 m, 0.75 s", 150, 75, 1.0),
)
"""Cycles of 50 Hz clips; the first three are policy.md 11.1's."""


def smooth_noise(rng: Rng, ticks: int, width: int, tau_ticks: float) -> Array:
    """Unit-variance noise without content faster than about tau, (ticks, width)."""
    padded = -(-(ticks + round(8 * tau_ticks)) // 64) * 64  # lengths with small factors are quick
    spectrum = np.fft.rfft(rng.standard_normal((padded, width)), axis=0)
    spectrum *= np.exp(-0.5 * (2 * np.pi * np.fft.rfftfreq(padded) * tau_ticks) ** 2)[:, None]
    out = np.fft.irfft(spectrum, padded, axis=0)[:ticks]
    # Variance of white noise through a Gaussian of that width: 1 / (2 sqrt(pi) tau).
    scaled: Array = out * np.sqrt(2.0 * np.sqrt(np.pi) * tau_ticks)
    return scaled


class ReferenceGenerator:
    """Makes tracks. Deterministic for a given generator of random numbers."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        """`clips` are what may be cut from; gait cycles whose clip is absent are left out."""
        usable = [clip for clip in clips if len(clip.channels) > 60]
        self._clips = [clip.channels for clip in usable]
        weights = [len(c.channels) * (1.0 if c.name.startswith(CAPTURED) else OWN_WEIGHT) for c in usable]
        self._clip_share = np.array(weights) / sum(weights)
        by_name = {clip.name: clip.channels for clip in clips}
        present = [gait for gait in GAITS if gait.clip in by_name]
        self._cycles = [closed_cycle(by_name[g.clip], g.first, g.ticks) for g in present]
        self._cycle_share = np.array([g.weight for g in present]) / sum(g.weight for g in present)
        self._squats = squat_table()
        self._lower, self._upper = MODEL.limits.q_lower, MODEL.limits.q_upper

    def tracks(self, rng: Rng, count: int, ticks: int = TRACK_TICKS) -> Array:
        """`count` tracks, (count, ticks, 35)."""
        return np.stack([self.track(rng, ticks) for _ in range(count)])

    def track(self, rng: Rng, ticks: int = TRACK_TICKS) -> Array:
        """One track: a moment of standing, then cross-faded segments, then the faults of a live stream, (ticks, 35)."""
        at = round(rng.uniform(0.1, 1.2) * RATE_HZ)
        out = np.tile(stand(rng.uniform(0.775, 0.80)), (ticks, 1))
        while at < ticks:
            fade = round(rng.uniform(0.2, 1.0) * RATE_HZ)
            length = round(rng.uniform(2.5, 8.0) * RATE_HZ) + fade
            segment = self._wide(rng, length) if rng.random() < WIDE_SHARE else self._narrow(rng, length)
            used = min(length, ticks - at)
            ease = np.minimum(np.arange(used) / max(fade, 1), 1.0)
            ease = (ease * ease * (3.0 - 2.0 * ease))[:, None]
            out[at : at + used] += ease * (segment[:used] - out[at : at + used])
            out[at + used :] = out[at + used - 1]
            at += length - fade if used == length else length
        np.clip(out[:, JOINTS], self._lower, self._upper, out=out[:, JOINTS])
        return _as_received(rng, out)

    def _narrow(self, rng: Rng, ticks: int) -> Array:
        kinds: tuple[tuple[float, Callable[[Rng, int], Array]], ...] = (
            (0.35, self._clip), (0.27, self._gait), (0.14, self._stand_and_reach), (0.12, self._squat),
            (0.08, _commanded), (0.04, _standing),
        )  # fmt: skip
        shares = np.array([share for share, _ in kinds])
        return kinds[rng.choice(len(kinds), p=shares / shares.sum())][1](rng, ticks)

    def _wide(self, rng: Rng, ticks: int) -> Array:
        """A narrow segment, a quick or slow clip or a lifted leg, with noise on everything and arms anywhere."""
        kind = rng.random()
        if kind < 0.12:
            out = _one_leg(rng, ticks)
        elif kind < 0.45:
            out = self._cut(rng, ticks, rng.uniform(0.7, 1.6))
        else:
            out = self._narrow(rng, ticks)
        if rng.random() < 0.75:
            out = out + _body_noise(rng, ticks)
        if rng.random() < 0.45:
            out[:, ARMS] = self._arms(rng, ticks, tau=rng.uniform(8, 60), reach=0.95)
        np.clip(out[:, Z], *Z_RANGE_M, out=out[:, Z])
        return out

    def _clip(self, rng: Rng, ticks: int) -> Array:
        out = self._cut(rng, ticks, rng.uniform(0.8, 1.25))
        if rng.random() < 0.35:
            out[:, ARMS] = self._arms(rng, ticks, tau=rng.uniform(15, 60), reach=0.6)
        return out

    def _cut(self, rng: Rng, ticks: int, speed: float) -> Array:
        """A piece of a clip played at `speed`, every second one mirrored; it stands still where the clip ends."""
        clip = self._clips[rng.choice(len(self._clips), p=self._clip_share)]
        needed = int(ticks * speed) + 1
        first = int(rng.integers(0, max(len(clip) - min(needed, len(clip)) // 2, 1)))
        out = _sampled(clip, (first + np.arange(ticks) * speed).astype(np.float64))
        out[:, [VX, VY, WZ]] *= speed
        left = int((len(clip) - 1 - first) / speed) + 1
        out[left:, [VX, VY, WZ]] = 0.0
        return mirrored(out) if rng.random() < 0.5 else out

    def _gait(self, rng: Rng, ticks: int) -> Array:
        if not self._cycles:
            return self._cut(rng, ticks, 1.0)
        cycle = self._cycles[rng.choice(len(self._cycles), p=self._cycle_share)]
        out = gait(cycle, ticks, rng.uniform(0.3, 1.1), rng.uniform(0.75, 1.2), rng.uniform(0, len(cycle)))
        if rng.random() < 0.3:
            out[:, ARMS] = self._arms(rng, ticks, tau=rng.uniform(15, 60), reach=0.6)
        return mirrored(out) if rng.random() < 0.5 else out

    def _stand_and_reach(self, rng: Rng, ticks: int) -> Array:
        out = np.tile(stand(), (ticks, 1))
        out[:, ARMS] = self._arms(rng, ticks, tau=rng.uniform(10, 50), reach=rng.uniform(0.3, 0.9))
        out[:, WAIST] += smooth_noise(rng, ticks, 3, 40.0) * (0.4, 0.08, 0.12) * rng.uniform(0, 1)
        return out

    def _squat(self, rng: Rng, ticks: int) -> Array:
        """Down and up between random depths, resting a while at each."""
        out = np.tile(stand(), (ticks, 1))
        keys = np.cumsum(rng.uniform(0.6, 2.0, size=ticks // 20 + 2) * RATE_HZ)
        depths = rng.uniform(0.53, 0.79, size=len(keys))
        depths[0] = 0.78
        z = np.interp(np.arange(ticks), np.repeat(keys, 2) + np.tile((-8.0, 8.0), len(keys)), np.repeat(depths, 2))
        z = np.convolve(np.pad(z, 12, mode="edge"), np.hanning(25) / np.hanning(25).sum(), mode="valid")
        out[:, Z] = z
        out[:, LEGS] = self._squats(z)
        if rng.random() < 0.5:
            out[:, ARMS] = self._arms(rng, ticks, tau=rng.uniform(20, 60), reach=0.6)
        return out

    def _arms(self, rng: Rng, ticks: int, tau: float, reach: float) -> Array:
        """Smoothly wandering arms around a random centre; `reach` 1 is the whole range of every joint, (ticks, 14)."""
        lower, upper = self._lower[15:] + _ARM_MARGIN, self._upper[15:] - _ARM_MARGIN
        home = MODEL.q_stand[15:]
        goal = home + smooth_noise(rng, ticks, 14, tau) * 0.5 * reach * np.minimum(upper - home, home - lower + 0.6)
        out: Array = np.clip(goal, lower, upper)
        return out


def gait(cycle: Array, ticks: int, amplitude: float, tempo: float, phase: float) -> Array:
    """`ticks` of a cycle blended with standing: `amplitude` 1 is the cycle itself, 0 stands; (ticks, 35)."""
    at = np.mod(phase + np.arange(ticks) * tempo, len(cycle)).astype(np.float64)
    out = _sampled(np.vstack((cycle, cycle[:1])), at)
    out[:, [VX, VY, WZ]] *= tempo
    rest = stand(float(cycle[:, Z].mean()))
    return np.asarray(rest + amplitude * (out - rest))


def closed_cycle(clip: Array, first: int, ticks: int) -> Array:
    """A piece of a clip whose end is bent onto its begin, (ticks, 35)."""
    piece = clip[first : first + ticks + 1].copy()
    ramp = (np.arange(len(piece)) / (len(piece) - 1) - 0.5)[:, None]
    piece -= ramp * (piece[-1] - piece[0])
    return piece[:-1]


def _sampled(clip: Array, at: Array) -> Array:
    """Channels at fractional ticks, held at both ends, (len(at), 35)."""
    at = np.clip(at, 0, len(clip) - 1)
    low = np.minimum(at.astype(np.intp), len(clip) - 2)
    part = (at - low)[:, None]
    return np.asarray((1.0 - part) * clip[low] + part * clip[low + 1])


def _standing(rng: Rng, ticks: int) -> Array:
    return np.tile(stand(rng.uniform(0.77, 0.80)), (ticks, 1))


def _commanded(rng: Rng, ticks: int) -> Array:
    """Standing joints with a velocity command, as a bare velocity stick gives."""
    out = _standing(rng, ticks)
    out[:, VX], out[:, VY], out[:, WZ] = rng.uniform(-0.5, 0.7), rng.uniform(-0.3, 0.3), rng.uniform(-0.8, 0.8)
    return out


def _one_leg(rng: Rng, ticks: int) -> Array:
    """One leg lifted, held and put down again, now left, now right; weight over the other foot."""
    out = np.tile(stand(rng.uniform(0.765, 0.79)), (ticks, 1))
    lift = np.zeros((ticks, 6))
    at = 0
    while at < ticks:
        length = round(rng.uniform(1.2, 3.5) * RATE_HZ)
        rise = round(rng.uniform(0.3, 0.8) * RATE_HZ)
        t = np.arange(min(length, ticks - at))
        up = np.clip(t / rise, 0, 1) * np.clip((length - 1 - t) / rise, 0, 1)
        up = up * up * (3 - 2 * up)
        hip, knee = rng.uniform(-1.2, -0.2), rng.uniform(0.0, 1.3)
        other = rng.uniform(-1.0, 1.0, size=4) * (0.25, 0.2, 0.2, 0.1)
        lift[at : at + length] = up[:, None] * np.array([hip, other[0], other[1], knee, other[2], other[3]])
        at += length
    out[:, 6:12] += lift
    return mirrored(out) if rng.random() < 0.5 else out


def _body_noise(rng: Rng, ticks: int) -> Array:
    """Smooth disturbance of everything but the arms, (ticks, 35)."""
    scale = np.zeros(WIDTH)
    scale[[VX, VY]], scale[Z], scale[[ROLL, PITCH]], scale[WZ] = 0.2, 0.025, 0.08, 0.5
    scale[LEGS] = np.tile((0.22, 0.1, 0.2, 0.25, 0.15, 0.06), 2)
    scale[WAIST] = 0.45, 0.15, 0.2
    return smooth_noise(rng, ticks, WIDTH, rng.uniform(12, 50)) * scale * rng.uniform(0.3, 1.3)


def _as_received(rng: Rng, track: Array) -> Array:
    """The track as a live stream shows it: white noise, frames held or dropped, each in some tracks only."""
    if rng.random() < 0.25:
        scale = np.full(WIDTH, 0.01)
        scale[[VX, VY]], scale[Z], scale[WZ] = 0.05, 0.003, 0.1
        track = track + rng.standard_normal(track.shape) * scale * rng.uniform(0.3, 1.0)
    kind = rng.random()
    shown = np.arange(len(track))
    if kind < 0.20:
        hold = int(rng.integers(2, 4))
        shown = shown // hold * hold
    elif kind < 0.25:
        shown = np.maximum.accumulate(np.where(rng.random(len(track)) < 0.3, 0, shown))
    return track[shown]


def joint_rates(track: Array) -> Array:
    """Joint velocities of a track [rad/s], (ticks, 29)."""
    return np.asarray(np.gradient(track[:, JOINTS], DT_S, axis=0))

