"""The H1's motor array, gains and variant against Unitree's own files."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import WrongHardware
from teleopd.robots.unitree_h1.model import MODEL

from .vendor import compiled, numbers_of

DEPLOY = "policies/twist2/configs/h1.yaml"

# Slot of the vendor's motor array -> joint; slot 9 is not used.
SLOTS = {
    0: "right_hip_roll", 1: "right_hip_pitch", 2: "right_knee",
    3: "left_hip_roll", 4: "left_hip_pitch", 5: "left_knee",
    6: "torso", 7: "left_hip_yaw", 8: "right_hip_yaw", 10: "left_ankle", 11: "right_ankle",
    12: "right_shoulder_pitch", 13: "right_shoulder_roll", 14: "right_shoulder_yaw", 15: "right_elbow",
    16: "left_shoulder_pitch", 17: "left_shoulder_roll", 18: "left_shoulder_yaw", 19: "left_elbow",
}  # fmt: skip
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")


def test_motor_order_is_the_vendors_motor_array_without_its_empty_slot() -> None:
    assert MODEL.joint_names == tuple(f"{joint}_joint" for joint in SLOTS.values())
    assert MODEL.wire_slot == tuple(SLOTS) and 9 not in MODEL.wire_slot
    assert MODEL.wire == "go"


@pytest.mark.shared_data
def test_slots_and_gains_equal_those_of_the_vendors_deployment(shared_data: Path) -> None:
    """Its maps go from the order of the legs and arms to the motor array: an independent spelling of `wire_slot`."""
    numbers = numbers_of(shared_data / DEPLOY)
    legs = [f"{side}_{j}" for side in ("left", "right") for j in ("hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle")]
    arms = [f"{side}_{j}" for side in ("left", "right") for j in ARM]
    slots = numbers["leg_joint2motor_idx"] + numbers["arm_waist_joint2motor_idx"]
    kps, kds = numbers["kps"] + numbers["arm_waist_kps"], numbers["kds"] + numbers["arm_waist_kds"]
    stand = numbers["default_angles"] + numbers["arm_waist_target"]
    for joint, slot, kp, kd, q in zip([*legs, "torso", *arms], slots, kps, kds, stand, strict=True):
        i = MODEL.joint_names.index(f"{joint}_joint")
        assert MODEL.wire_slot[i] == slot, joint
        assert (MODEL.kp_ready[i], MODEL.kd_ready[i], MODEL.q_stand[i]) == (kp, kd, q), joint


@pytest.mark.parametrize("mode", [0, 5])
def test_there_is_one_variant(mode: int) -> None:
    assert list(MODEL.limits_by_mode_machine) == [1] and MODEL.default_mode_machine == 1
    with pytest.raises(WrongHardware) as caught:
        MODEL.limits_for(mode)
    known = "[1]"
    assert str(caught.value) == f"unitree_h1 reports mode_machine {mode}, for which there are no limits; known: {known}"


def test_the_elbows_point_is_its_links_origin_hung_on_the_link_before() -> None:
    """As OmniH2O has it: a body carries one key site."""
    m, d = compiled(MODEL)
    d.qpos[7:] = np.random.default_rng(4).uniform(*m.jnt_range[1:].T)
    mujoco.mj_kinematics(m, d)
    for side in ("left", "right"):
        np.testing.assert_allclose(d.site(f"key_{side}_elbow").xpos, d.body(f"{side}_elbow_link").xpos, atol=1e-12)
