"""The camera in the virtual head: what it sees turns with the robot; its times are those of the reports it shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.model import LowState, RobotModel
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture.cameras.spec import camera_specs
from teleopd.service.capture.cameras.virtual_head import VirtualHead, head_model


def report(model: RobotModel, t_ns: int, yaw: float = 0.0, elbows: float = 0.0) -> LowState:
    q = model.q_stand + elbows * np.array(["elbow" in name for name in model.joint_names])
    quat = np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
    return state_at_rest(model, t_ns)._replace(q=q, quat_w=quat)


class Scene:
    """A camera on the G1 and the report it is shown."""

    def __init__(self) -> None:
        self.state: LowState | None = None
        spec = camera_specs({"head": "virtual?size=128x96&fps=120"})[0]
        self.camera = VirtualHead(spec, MODEL, lambda: self.state)

    def see(self, state: LowState) -> np.ndarray:
        self.state = state
        picture = self.camera.read()
        assert picture is not None and picture.t_ns == state.t_ns <= picture.t_received_ns
        return picture.frame.to_ndarray(format="rgb24").astype(int)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.camera.close()


def test_without_a_robot_there_is_no_picture(scene: Scene):
    assert scene.camera.read() is None and scene.camera.received == 0


def test_what_it_sees_turns_with_the_robot_and_comes_back(scene: Scene):
    ahead = scene.see(report(MODEL, 1))
    assert ahead.shape == (96, 128, 3) and ahead.std() > 10, "a room, not a wall"
    turned = scene.see(report(MODEL, 2, yaw=0.3))
    assert np.abs(turned - ahead).mean() > 3
    np.testing.assert_allclose(scene.see(report(MODEL, 3)), ahead, atol=2)


def test_arms_that_are_raised_come_into_view(scene: Scene):
    down, up = scene.see(report(MODEL, 4)), scene.see(report(MODEL, 5, elbows=-1.2))
    changed = np.abs(up - down).max(axis=2) > 30
    left, right = changed[:, :64].sum(), changed[:, 64:].sum()
    assert min(left, right) > 50 and max(left, right) < 2 * min(left, right), "both hands, alike"


@pytest.mark.parametrize("robot", ["unitree_g1", "unitree_h1", "unitree_h1_2"])
def test_every_robot_has_a_head_whose_camera_is_outside_it_and_looks_ahead_and_down(robot: str):
    import mujoco

    model = load_robot(robot)
    built = head_model(model, 64, 48)
    data = mujoco.MjData(built)
    mujoco.mj_kinematics(built, data)
    mujoco.mj_camlight(built, data)
    camera = mujoco.mj_name2id(built, mujoco.mjtObj.mjOBJ_CAMERA, "head")
    looks = -data.cam_xmat[camera].reshape(3, 3)[:, 2]
    assert looks[0] > 0.7 and abs(looks[1]) < 1e-6 and -0.7 < looks[2] < -0.4
    assert data.cam_xpos[camera][2] > 1.0
    near = np.array([-1], dtype=np.int32)
    distance = mujoco.mj_ray(built, data, data.cam_xpos[camera], looks, None, 1, -1, near, None)
    assert distance > 0.3, "nothing of the head is before the lens"
