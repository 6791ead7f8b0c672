"""Frame checks R1 to R5: is this pose a person's, in order, fresh, where a person could have moved to, the same body?

Pure: time enters as `now_ns`, a verdict comes out, counters say how often which check refused. The motion is never made
to follow a jump: after `jump_frames` frames that agree with each other in a new place, the checks accept the place as a
restart, and the retargeter acquires it anew without moving the reference's root.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import HumanPose, Skeleton
from teleopd.service.body_checks import BodyChecks


class Threshold(NamedTuple):
    """One number that decides, and where it comes from."""

    value: float
    unit: str
    provenance: str


THRESHOLDS: Mapping[str, Threshold] = {
    "reach_m": Threshold(10.0, "m", "R1, design: |pos| > 10 m, taken from where the source was bound"),
    "world_m": Threshold(50.0, "m", "absolute backstop: no capture volume is larger; catches cm and mm at first frame"),
    "body_span_m": Threshold(3.0, "m", "no body is farther from its pelvis: 2.5 m person, arm raised, 1.9 m"),
    "quat_norm_min": Threshold(0.9, "1", "R1, design: norm 1 to within a tenth"),
    "quat_norm_max": Threshold(1.1, "1", "R1, design: norm 1 to within a tenth"),
    "height_min_m": Threshold(1.0, "m", "R1, design: people are 1.0 to 2.5 m tall"),
    "height_max_m": Threshold(2.5, "m", "R1, design: people are 1.0 to 2.5 m tall"),
    "legs_per_height": Threshold(0.491, "1", "thigh 0.245 + shank 0.246 of stature (Drillis and Contini 1966)"),
    "root_step_m": Threshold(0.5, "m", "R4, design, per frame of 1/60 s"),
    "turn_rad": Threshold(math.radians(60.0), "rad", "R4, design, per frame of 1/60 s"),
    "turn_extremity_rad": Threshold(
        math.radians(150.0), "rad",
        "hands, feet, toes: real takes flip wrists (CMU 131_01: 65 deg in 8 ms); the joint speed box bounds it",
    ),
    "step_frame_s": Threshold(1.0 / 60.0, "s", "frame interval that R4's figures are for"),
    "step_scale_min": Threshold(0.5, "1", "faster sources: jitter of stamps must not tighten R4 further"),
    "root_scale_max": Threshold(1.0, "1", "slower sources and gaps: 0.5 m is a teleport however long it took"),
    "turn_scale_max": Threshold(2.0, "1", "slower sources: a boxer's hand turns 60 deg in 33 ms; 120 deg is a flip"),
    "jump_frames": Threshold(3.0, "frames", "R4, design: up to 3 are rejected, then it is a restart"),
    "frozen_ms": Threshold(200.0, "ms", "R3, design: bit-identical body; live sensors are never bit-identical"),
    "limb_change": Threshold(0.2, "1", "R5: rigid skeletons keep lengths to 0.1 %; exchanged hands: over 50 %"),
    "limb_slack_m": Threshold(0.02, "m", "R5: 3 mm of noise at both ends of a short forearm"),
    "limb_steady_s": Threshold(1.0, "s", "R5: other lengths that last are another body, measured anew"),
    "limb_follow_s": Threshold(5.0, "s", "R5: headsets refine the body's size over seconds"),
    "swap_m": Threshold(0.025, "m", "R5: shins exchanged while standing: 0.03 m; 3 mm of noise: up to 0.012 m"),
    "side_share": Threshold(0.5, "1", "R5: left to the right by over half their distance: over 120 deg wrong"),
    "order_restart_frames": Threshold(10.0, "frames", "as many old numbers in rising order are a restarted counter"),
}
"""Every number the checks use. Safety configuration may only tighten them."""

ACCEPTED = ""
REASONS: Mapping[str, str] = {
    "skeleton": "the frame has another skeleton or another number of bodies than the source declared",
    "non_finite": "a position or orientation is not finite",
    "out_of_reach": "a body is over 10 m from where the source started, 50 m from the origin or 3 m from its pelvis",
    "quaternion": "an orientation's norm is outside 0.9 to 1.1",
    "scale": "the skeleton is not 1.0 m to 2.5 m tall; are the positions in metres?",
    "order": "the frame's number is not above the last one's",
    "identity": "every orientation is exactly identity: the device sends no pose",
    "mirrored": "left hand and right hand are one and the same pose",
    "frozen": "the body has been bit-identical for more than 200 ms",
    "jump": "the root or a body moved farther than a person can in one frame",
    "untracked_root": "the pelvis is not tracked",
    "limb": "a limb changed its length: a marker is lost, or it is another person",
    "swapped": "left and right are exchanged",
}
"""Reason -> one sentence for people."""

ROOTS = ("Pelvis", "Hips", "pelvis", "hips")
"""Names of the root body by which R4 is judged; the first body where a skeleton has none of them."""
PAIRS = (("LeftHand", "RightHand"), ("left_hand", "right_hand"), ("Left_Hand", "Right_Hand"))
LEGS = (("LeftUpperLeg", "LeftLowerLeg", "LeftFoot"), ("RightUpperLeg", "RightLowerLeg", "RightFoot"))


EXTREMITIES = ("hand", "wrist", "foot", "ankle", "toe")
"""Bodies with these words in their names may turn faster."""


class Verdict(NamedTuple):
    """What the checks say about one frame."""

    accepted: bool
    reason: str
    """Key of `REASONS`; '' when accepted."""
    restarted: bool
    """Accepted as the start of a new motion: call `Retargeter.reset()` before `update`."""
    t_content_ns: int
    """Receipt time of the last accepted frame whose content differed from the one before; 0 before the first."""


@dataclass(slots=True)
class _Seen:
    """A frame the next one is compared with."""

    pos: npt.NDArray[np.float64]
    quat: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    t_source_ns: int


class FrameChecks:
    """Judges the frames of one source."""

    def __init__(self, skeleton: Skeleton, *, reach_m: float = THRESHOLDS["reach_m"].value) -> None:
        """`reach_m`: operating radius about where the source was bound [m]; suits that walk outdoors may ask for more.

        Raises:
            ValueError: `reach_m` is not positive.
        """
        if not 0.0 < reach_m < math.inf:
            raise ValueError(f"reach_m is {reach_m}; it must be positive")
        self._skeleton = skeleton
        at = {name: i for i, name in enumerate(skeleton.body_names)}
        self._root = next((at[name] for name in ROOTS if name in at), 0)
        self._pair = next(((at[a], at[b]) for a, b in PAIRS if a in at and b in at), None)
        self._legs = [[at[name] for name in leg] for leg in LEGS if all(name in at for name in leg)]
        self._turn_rad = np.array([_turn_limit(name) for name in skeleton.body_names])
        self._reach_m = reach_m
        t = THRESHOLDS
        self._body = BodyChecks(
            skeleton, change=t["limb_change"].value, slack_m=t["limb_slack_m"].value,
            steady_s=t["limb_steady_s"].value, follow_s=t["limb_follow_s"].value, side_share=t["side_share"].value,
            swap_m=t["swap_m"].value,
        )  # fmt: skip
        self.new_body = False
        """The newest frame was accepted as the start of another body's motion: measure the operator anew."""
        self.accepted = 0
        self.rejected: dict[str, int] = dict.fromkeys(REASONS, 0)
        """Reason -> frames refused for it."""
        self.restarts = 0
        """Frames accepted as the start of a new motion, the first one not counted."""
        self._last: _Seen | None = None
        self._candidate: _Seen | None = None
        self._candidates = 0
        self._origin: npt.NDArray[np.float64] | None = None
        self._seq = self._resets = 0
        self._old_seq, self._old_seqs = 0, 0
        self._content: tuple[bytes, bytes] | None = None
        self._t_content_ns = self._t_last_content_ns = 0

    def check(self, pose: HumanPose, now_ns: int) -> Verdict:
        """Judge one frame received at `pose.t_ns` and looked at `now_ns`; freshness counts from `now_ns`."""
        new_motion = self._last is not None and pose.resets != self._resets
        reason = self._r1(pose) or self._r2(pose, new_motion) or self._r3(pose, now_ns)
        restarted = new_motion or (self._last is not None and self._old_seqs > 0 and not reason)
        self.new_body = False
        if not reason:
            reason, self.new_body = self._r5(pose, new_motion)
            restarted |= self.new_body
        if not reason and self._last is not None and not restarted:
            reason, restarted = self._r4(pose)
        if reason:
            self.rejected[reason] += 1
            return Verdict(False, reason, False, self._t_content_ns)
        if restarted or self._origin is None:
            self._origin = np.array(pose.pos_w[self._root])
        self.accepted += 1
        self.restarts += restarted
        self._last = _Seen(np.array(pose.pos_w), np.array(pose.quat_w), np.array(pose.valid), pose.t_source_ns)
        self._candidate, self._candidates, self._old_seqs = None, 0, 0
        self._body.learn(pose)
        self._seq, self._resets = pose.seq, pose.resets
        self._t_content_ns = self._t_last_content_ns
        return Verdict(True, ACCEPTED, restarted, self._t_content_ns)

    def _r1(self, pose: HumanPose) -> str:
        """Shape, finiteness, reach, norms, a person's size. Untracked bodies are not judged."""
        n = len(self._skeleton.body_names)
        if pose.skeleton != self._skeleton or pose.pos_w.shape != (n, 3) or pose.quat_w.shape != (n, 4):
            return "skeleton"
        if not pose.valid[self._root]:
            return "untracked_root"
        seen = pose.valid
        pos, quat = (pose.pos_w, pose.quat_w) if seen.all() else (pose.pos_w[seen], pose.quat_w[seen])
        if not (np.isfinite(pos).all() and np.isfinite(quat).all()):
            return "non_finite"
        root = pose.pos_w[self._root]
        t = THRESHOLDS
        if pose.valid[[i for leg in self._legs for i in leg]].all() and not self._size_ok(pose):
            return "scale"
        if np.abs(pos).max() > t["world_m"].value or np.abs(pos - root).max() > t["body_span_m"].value:
            return "out_of_reach"
        if self._origin is not None and pose.resets == self._resets and self._too_far(root):
            return "out_of_reach"
        norm = np.einsum("ij,ij->i", quat, quat)
        if norm.min() < t["quat_norm_min"].value ** 2 or norm.max() > t["quat_norm_max"].value ** 2:
            return "quaternion"
        return ACCEPTED

    def _too_far(self, root: npt.NDArray[np.float64]) -> bool:
        assert self._origin is not None
        return bool(np.linalg.norm(root - self._origin) > self._reach_m)

    def _size_ok(self, pose: HumanPose) -> bool:
        """Stature from the legs' segments, which no posture changes; the mean of both legs."""
        if not self._legs:
            return True
        legs = 0.0
        for hip, knee, ankle in self._legs:
            legs += math.dist(pose.pos_w[hip], pose.pos_w[knee]) + math.dist(pose.pos_w[knee], pose.pos_w[ankle])
        height = legs / len(self._legs) / THRESHOLDS["legs_per_height"].value
        return THRESHOLDS["height_min_m"].value <= height <= THRESHOLDS["height_max_m"].value

    def _r2(self, pose: HumanPose, new_motion: bool) -> str:
        """Order; a counter that restarted is believed after several old numbers in rising order."""
        if self._last is None or new_motion or pose.seq > self._seq:
            self._old_seqs = 0
            return ACCEPTED
        self._old_seqs = self._old_seqs + 1 if self._old_seqs and pose.seq > self._old_seq else 1
        self._old_seq = pose.seq
        return ACCEPTED if self._old_seqs > THRESHOLDS["order_restart_frames"].value else "order"

    def _r3(self, pose: HumanPose, now_ns: int) -> str:
        """Freshness of the content, which a fresh time stamp says nothing about."""
        content = (pose.pos_w.tobytes(), pose.quat_w.tobytes())
        if content != self._content:
            self._content, self._t_last_content_ns = content, pose.t_ns
        elif now_ns - self._t_last_content_ns > THRESHOLDS["frozen_ms"].value * 1e6:
            return "frozen"
        if (np.abs(pose.quat_w[:, 0]) == 1.0).all() and not pose.quat_w[:, 1:].any():
            return "identity"
        if self._pair is not None:
            a, b = self._pair
            if np.array_equal(pose.pos_w[a], pose.pos_w[b]) and np.array_equal(pose.quat_w[a], pose.quat_w[b]):
                return "mirrored"
        return ACCEPTED

    def _r4(self, pose: HumanPose) -> tuple[str, bool]:
        """Plausible motion since the last accepted frame; returns (reason, restarted)."""
        assert self._last is not None
        if self._plausible(self._last, pose):
            return ACCEPTED, False
        agrees = self._candidate is not None and self._plausible(self._candidate, pose)
        self._candidates = self._candidates + 1 if agrees else 1
        self._candidate = _Seen(np.array(pose.pos_w), np.array(pose.quat_w), np.array(pose.valid), pose.t_source_ns)
        if self._candidates > THRESHOLDS["jump_frames"].value:
            return ACCEPTED, True
        return "jump", False

    def _r5(self, pose: HumanPose, new_motion: bool) -> tuple[str, bool]:
        """The body is the one it was; returns (reason, another body)."""
        if new_motion:
            self._body.forget()
        return self._body.check(pose)

    def _plausible(self, before: _Seen, pose: HumanPose) -> bool:
        """The root's step and every body's turn are within a person's means for the time between the frames."""
        t = THRESHOLDS
        frames = (pose.t_source_ns - before.t_source_ns) * 1e-9 / t["step_frame_s"].value
        frames = max(frames, t["step_scale_min"].value)
        step = math.dist(pose.pos_w[self._root], before.pos[self._root])
        if step > t["root_step_m"].value * min(frames, t["root_scale_max"].value):
            return False
        turn = np.minimum(self._turn_rad * min(frames, t["turn_scale_max"].value), math.pi)
        cosine = np.abs(np.einsum("ij,ij->i", pose.quat_w, before.quat))  # of half the turn
        norms = np.linalg.norm(pose.quat_w, axis=1) * np.linalg.norm(before.quat, axis=1)
        cosine /= np.where(norms > 0.0, norms, 1.0)  # lost bodies may hold zeros
        both = pose.valid & before.valid
        return bool((cosine >= np.cos(turn / 2.0))[both].all())


def _turn_limit(name: str) -> float:
    """How far a body may turn in a frame of 1/60 s [rad]."""
    extremity = any(word in name.lower() for word in EXTREMITIES)
    return THRESHOLDS["turn_extremity_rad" if extremity else "turn_rad"].value
