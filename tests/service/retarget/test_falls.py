"""A robot whose operator falls: what its limbs do at the floor, on a real fall."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.catalog import load_robot
from teleopd.service.dataset.retarget_clip import pose_of
from teleopd.service.retarget.artifacts import below_floor
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.retarget.robot_shape import RobotShape
from teleopd.service.retarget.solver_choice import SolverName


@pytest.mark.parametrize("solver", ["fast", "compiled"])
def test_limbs_that_fall_far_within_a_frame_stop_at_the_floor(shared_data, solver: SolverName):
    """An H1's arms and thighs as a real person hits the ground, 0.67 rad a frame: without looking for the floor again
    two of these frames put a limb 4 and 6 cm into it."""
    clip, h1 = load_motion(str(shared_data / "bvh" / "lafan1_fallAndGetUp1_subject1.bvh")), load_robot("unitree_h1")
    retargeter, shape, qpos = Retargeter(h1, clip.skeleton, solver=solver), RobotShape(h1), []
    for i in range(620, 860):
        reference = retargeter.update(pose_of(clip, i))
        assert reference is not None
        qpos.append(np.concatenate((reference.root_pos_w, reference.root_quat_w, reference.q)))
    deepest, _ = below_floor(shape.over(np.array(qpos)).capsules, shape.radii)
    assert deepest < 0.02
