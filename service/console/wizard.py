"""Calibration from the page: a countdown, two seconds of a held pose, and the result in words, stored as
`teleop calibrate` stores it.

Sees what the console sees of the person, 30 times a second; touches nothing of the running retargeter.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Final

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.source import SourceState
from teleopd.robots.model import RobotModel
from teleopd.service.console.desk import Answer, Calibrate
from teleopd.service.console.facts import FOLLOWS
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.retarget.calibration import CalibrationError
from teleopd.service.retarget.operator_file import operator_path, save_operator
from teleopd.service.retarget.operator_pose import POSES, Operator, calibrate
from teleopd.service.retarget.sparse import SparseBody
from teleopd.service.streams import HumanView

COUNTDOWN_NS: Final = 5_000_000_000
"""Time to walk back from the screen and take the pose."""
MEASURE_NS: Final = 2_000_000_000
"""Some sixty looks; a third of them would do."""
IDLE, COUNTDOWN, MEASURING, WORKING, DONE, FAILED = "idle", "countdown", "measuring", "working", "done", "failed"
BUSY: Final = (COUNTDOWN, MEASURING, WORKING)


class Wizard:
    """One calibration at a time. `begin`, `cancel` and `see` belong to the console's loop."""

    def __init__(self, robot: RobotModel, stored: Callable[[str], None]) -> None:
        """`stored`: hears the operator's name once the file is written, in a thread of the wizard's own."""
        self._robot, self._stored = robot, stored
        self.stage = IDLE
        self.sentence = ""
        self._ask = Calibrate("", "t")
        self._until_ns = self._last_ns = 0
        self._poses: list[HumanPose] = []
        self._sparse = SparseBody()

    def check(self, ask: Calibrate, snapshot: Snapshot) -> Answer:
        """Whether it can begin now. Changes nothing; any thread."""
        if snapshot.mode in FOLLOWS:
            return Answer(False, f"the robot is {snapshot.mode.name}; calibrate while it does not follow you")
        if self.stage in BUSY:
            return Answer(False, "a calibration runs already")
        try:
            operator_path(ask.operator)
        except CalibrationError as error:
            return Answer(False, str(error))
        if snapshot.human is None or snapshot.source_state is not SourceState.STREAMING:
            return Answer(False, "the source sends no person now; calibrate while it streams")
        seconds = COUNTDOWN_NS // 1_000_000_000
        return Answer(True, f"{POSES[ask.pose]}: measuring in {seconds} s")

    def begin(self, ask: Calibrate, now_ns: int) -> None:
        """Count down."""
        self._ask, self._poses, self._sparse = ask, [], SparseBody()
        self.stage, self.sentence, self._until_ns = COUNTDOWN, "", now_ns + COUNTDOWN_NS

    def cancel(self) -> None:
        """Forget what was seen."""
        if self.stage in (COUNTDOWN, MEASURING):
            self._end(FAILED, "cancelled; nothing was stored")

    def see(self, snapshot: Snapshot) -> None:
        """One look at the person."""
        if self.stage not in (COUNTDOWN, MEASURING):
            return
        if snapshot.mode in FOLLOWS:
            self._end(FAILED, f"the robot became {snapshot.mode.name}, so nothing was measured")
            return
        self._take(snapshot.human)
        if snapshot.now_ns < self._until_ns:
            return
        if self.stage == COUNTDOWN:
            self.stage, self._until_ns = MEASURING, snapshot.now_ns + MEASURE_NS
            return
        self.stage = WORKING
        work = threading.Thread(target=self._work, args=(self._ask, self._poses), daemon=True, name="calibration")
        work.start()

    def as_json(self, now_ns: int) -> dict[str, Any]:
        """For the page."""
        left_s = max(0, self._until_ns - now_ns) / 1e9 if self.stage in (COUNTDOWN, MEASURING) else None
        pose = POSES[self._ask.pose]
        return {"stage": self.stage, "pose": pose, "left_s": left_s, "sentence": self.sentence}

    def _take(self, human: HumanView | None) -> None:
        if human is None or human.t_ns <= self._last_ns or human.bodies != len(MVN.body_names):
            return
        self._last_ns, n = human.t_ns, human.bodies
        seen = HumanPose(
            MVN, human.seq, human.t_ns, human.t_ns, human.pos_w[:n], human.quat_w[:n], human.valid[:n], False, 0,
            frozenset(),
        )  # fmt: skip
        whole = self._sparse.complete(seen)
        if self.stage == MEASURING:
            self._poses.append(whole._replace(pos_w=whole.pos_w.copy(), quat_w=whole.quat_w.copy()))

    def _work(self, ask: Calibrate, poses: list[HumanPose]) -> None:
        try:
            measured = calibrate(poses, wanted=ask.pose)
            sentence = f"{words(measured)}; {scale_words(self._robot, measured)}"
            path = save_operator(ask.operator, measured)
        except (CalibrationError, ValueError, OSError) as error:
            self._end(FAILED, f"not calibrated: {error}")
            return
        self._end(DONE, f"{ask.operator}: {sentence}; stored as {path.name}")
        self._stored(ask.operator)

    def _end(self, stage: str, sentence: str) -> None:
        self.sentence = sentence
        self.stage = stage


def words(measured: Operator) -> str:
    """'T-pose of 60 frames: legs 0.84 m, arms 0.60 m, floor at 0.02 m, heading 12 degrees'."""
    c = measured.calibration
    return (
        f"{POSES[measured.pose]} of {measured.frames} frames: legs {c.leg_m:.2f} m, arms {measured.arm_m:.2f} m, "
        f"floor at {c.floor_z:.2f} m, heading {math.degrees(c.yaw_rad):.0f} degrees"
    )


def scale_words(robot: RobotModel, measured: Operator) -> str:
    """'scales: legs 0.87, elbow 0.79, ...': the robot's size over the operator's, left and right as one.

    Raises:
        ValueError: the robot has no table for people, or a limb that is nobody's.
    """
    from teleopd.service.retarget.retargeter import Retargeter

    found = Retargeter(robot, MVN, solver="fast", calibration=measured.calibration).target_map
    assert found is not None
    limbs: dict[str, list[float]] = {"legs": [found.leg_scale]}
    for body, scale in found.chain_scales.items():
        name = body.removeprefix("left_").removeprefix("right_").removesuffix("_link").replace("_", " ")
        limbs.setdefault(name, []).append(scale)
    return "scales: " + ", ".join(f"{limb} {sum(each) / len(each):.2f}" for limb, each in limbs.items())
