"""The H1-2's motor order, gains, variants and feet against Unitree's own files."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import WrongHardware
from teleopd.robots.unitree_h1_2.model import MODEL

from .vendor import H1_2, compiled, numbers_of, without_meshes

DEPLOY = "policies/twist2/configs/h1_2.yaml"
LEG = ("hip_yaw", "hip_pitch", "hip_roll", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")


def test_motor_order_is_left_leg_right_leg_torso_left_arm_right_arm() -> None:
    leg, arm = LEG, ARM
    wanted = [f"{side}_{j}" for side in ("left", "right") for j in leg] + ["torso"]
    wanted += [f"{side}_{j}" for side in ("left", "right") for j in arm]
    assert MODEL.joint_names == tuple(f"{j}_joint" for j in wanted)
    assert MODEL.wire_slot == tuple(range(27)) and MODEL.wire == "hg"


@pytest.mark.shared_data
def test_slots_and_gains_equal_those_of_the_vendors_deployment(shared_data: Path) -> None:
    numbers = numbers_of(shared_data / DEPLOY)
    assert tuple(numbers["leg_joint2motor_idx"] + numbers["arm_waist_joint2motor_idx"]) == MODEL.wire_slot
    np.testing.assert_array_equal(MODEL.kp_ready, numbers["kps"] + numbers["arm_waist_kps"])
    np.testing.assert_array_equal(MODEL.kd_ready, numbers["kds"] + numbers["arm_waist_kds"])
    np.testing.assert_array_equal(MODEL.q_stand, numbers["default_angles"] + numbers["arm_waist_target"])


def test_the_variants_the_vendor_names_share_one_table_and_others_are_refused() -> None:
    assert list(MODEL.limits_by_mode_machine) == [1, 2, 3, 4, 5] and MODEL.default_mode_machine == 5
    assert all(MODEL.limits_for(mode) is MODEL.limits for mode in range(1, 6))
    for mode in (0, 6):
        with pytest.raises(WrongHardware) as caught:
            MODEL.limits_for(mode)
        wanted = f"unitree_h1_2 reports mode_machine {mode}, for which there are no limits; known: [1, 2, 3, 4, 5]"
        assert str(caught.value) == wanted


@pytest.mark.shared_data
def test_the_sole_lies_where_the_foots_inertia_puts_it(shared_data: Path) -> None:
    """Only its mesh is published. The uniform box of the same inertia ends within 3 mm and 2 cm of the sole."""
    ours, _ = compiled(MODEL)
    foot = without_meshes(shared_data / H1_2.files[0]).body("left_ankle_roll_link")
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, foot.iquat)
    inertia = np.diag(turn.reshape(3, 3) @ np.diag(foot.inertia) @ turn.reshape(3, 3).T)
    edge = np.sqrt(6.0 / foot.mass[0] * (inertia.sum() - 2.0 * inertia))
    low, high = foot.ipos - edge / 2, foot.ipos + edge / 2
    sole = np.array([ours.site(f"left_sole_{i}").pos for i in (1, 2, 3, 4)])
    np.testing.assert_allclose(sole[:, 2], low[2], atol=3e-3)
    assert low[0] < sole[:, 0].min() < low[0] + 0.02 and high[0] - 0.02 < sole[:, 0].max() < high[0]
    assert low[1] < sole[:, 1].min() and sole[:, 1].max() < high[1]
