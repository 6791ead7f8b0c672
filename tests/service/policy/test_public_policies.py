"""The policies of the data folder through their cards: golden outputs, and short runs on the virtual robot."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.catalog import load_robot
from teleopd.robots.model import Reference
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy import library
from teleopd.service.policy.attitude import yaw_of
from teleopd.service.policy.explain import check
from teleopd.service.policy.kinematics import Chain
from teleopd.service.policy.library import resolve
from teleopd.service.policy.onnx_file import read_onnx
from teleopd.service.policy.runtime import PolicyRuntime

FILES = {
    "beyondmimic_jump": ("unitree_g1", "beyondmimic/Jump_wose.onnx",
                         (-0.3064, -0.0459, 0.4422, 1.5522, 0.1366, -0.2021)),
    "beyondmimic_violin": ("unitree_g1", "beyondmimic/Violin.onnx", None),
    "unitree_rl_mjlab_velocity": ("unitree_g1", "unitree_rl_mjlab/velocity/v0/exported/policy.onnx",
                                  (0.0913, -0.0292, -0.2490, -0.1581, -0.2655, 0.0046)),
    "unitree_rl_mjlab_dance1": ("unitree_g1", "unitree_rl_mjlab/mimic/dance1_subject2/exported/policy.onnx",
                                (-0.4160, 0.1234, 0.0542, 0.1594, 0.6965, 0.1741)),
    "unitree_rl_lab_velocity": ("unitree_g1", "unitree_rl_lab/velocity/v0/exported/policy.onnx",
                                (-0.0787, -0.1453, -0.0380, 0.1849, -0.1324, 0.0050)),
    "omnih2o": ("unitree_h1", "h1_omnih2o/h1_omnih2o.onnx",
                (1.18414, -0.04541, 0.49905, -0.69919, 2.47023, -0.04440)),
    "unitree_rl_gym": ("unitree_g1", "unitree_rl_gym/pre_train/g1/motion.pt", None),
    "unitree_rl_gym h1": ("unitree_h1", "unitree_rl_gym/pre_train/h1/motion.pt", None),
    "unitree_rl_gym h1_2": ("unitree_h1_2", "unitree_rl_gym/pre_train/h1_2/motion.pt", None),
}  # fmt: skip
"""Card -> robot, file, first six outputs for an input of zeros where they are published."""


@pytest.fixture
def policy(shared_data, monkeypatch, tmp_path):
    """A policy by the name of its card, found by its file; TorchScript is converted into a temporary folder."""
    monkeypatch.setattr(library, "USER_FOLDER", tmp_path)

    def find(name):
        robot, file, _ = FILES[name]
        model = load_robot(robot)
        found = resolve(str(shared_data / "policies" / file), model)
        assert found is not None
        assert found.card.name == name.split()[0]
        return model, found

    return find


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_found_checked_and_gives_its_golden_output(policy, name):
    model, found = policy(name)
    report = check(found, model)
    assert "1 golden outputs reproduced, all outputs finite" in report
    published = FILES[name][2]
    if published is not None:
        np.testing.assert_allclose(found.card.golden[0].output[:6], published, atol=1e-4)


def test_the_motion_inside_is_the_published_one(policy):
    """Joint positions and the pelvis at time 0; the length; and every body of our MJCF where the file says it is."""
    model, found = policy("beyondmimic_jump")
    runtime = PolicyRuntime(found.card, found.onnx_path, model, link="sim")
    first = runtime._clip.at(0)
    in_order = first.q[[model.joint_names.index(name) for name in found.card.state_joints]]
    np.testing.assert_allclose(in_order[:6], [-0.1608, -0.1529, 0.0054, -0.0019, 0.0012, -0.0139], atol=1e-4)
    np.testing.assert_allclose(first.root_pos_w, [0, 0, 0.7803], atol=1e-4)
    np.testing.assert_allclose(first.root_quat_w, [0.9997, 0.0127, -0.0031, 0.0193], atol=1e-4)
    assert len(runtime._clip) == 165
    bodies = read_onnx(found.onnx_path).metadata["body_names"].split(",")
    for step in (0, 60, 164):
        wanted = runtime._network.policy.probe(step, ("body_pos_w", "body_quat_w"))
        reference = runtime._clip.at(step)
        for i, body in enumerate(bodies):
            pos, quat = Chain(model, body).pose(tuple(reference.root_pos_w), tuple(reference.root_quat_w), reference.q)
            np.testing.assert_allclose(pos, wanted["body_pos_w"][0, i], atol=1e-4)
            assert abs(np.dot(quat, wanted["body_quat_w"][0, i])) > 1 - 1e-5


def test_the_motion_repeats_or_is_held_without_velocities(policy):
    model, found = policy("beyondmimic_jump")
    runtime = PolicyRuntime(found.card, found.onnx_path, model, link="sim")
    reference, state = Standing(model)(0), _state(model)
    for _ in range(165):
        runtime.step(reference, state)
    assert runtime.tracked is runtime._clip.at(164)
    runtime.step(reference, state)
    assert runtime.tracked is runtime._clip.at(0)
    runtime.clip_running = False
    for _ in range(3):
        runtime.step(reference, state)
    assert runtime.clip_progress == (1, 165)
    np.testing.assert_array_equal(runtime.tracked.q, runtime._clip.at(1).q)
    np.testing.assert_array_equal(runtime.tracked.dq, np.zeros(29))
    assert np.abs(runtime._clip.at(1).dq).max() > 0.01
    np.testing.assert_array_equal(runtime._clip.at(500).dq, np.zeros(29))


class Standing:
    """The stand reference, moved by a commanded velocity."""

    def __init__(self, model):
        self._model, self._seq, self._last_ns = model, 0, None
        self.velocity = np.zeros(3)
        self._pos = np.array([0.0, 0.0, model.stand_height_m])

    def __call__(self, now_ns):
        self._seq += 1
        self._pos = self._pos + self.velocity * (0.0 if self._last_ns is None else (now_ns - self._last_ns) * 1e-9)
        self._last_ns, n = now_ns, self._model.n
        return Reference(
            seq=self._seq, source_id=1, t_ns=now_ns, t_content_ns=now_ns, t_published_ns=now_ns, valid=True,
            deadman=False, resets=0, nominal_hz=50.0, root_pos_w=self._pos, root_quat_w=np.array([1.0, 0, 0, 0]),
            root_lin_vel_w=self.velocity, root_ang_vel_w=np.zeros(3), q=self._model.q_stand.copy(), dq=np.zeros(n),
        )  # fmt: skip


def _state(model):
    return VirtualRobot(model, odometry=True).low_state(0)


def pelvis(lockstep):
    state = lockstep._io.state
    return state.root_pos_w.copy(), yaw_of(tuple(state.quat_w.tolist()))


VELOCITY = [
    "unitree_rl_mjlab_velocity", "unitree_rl_lab_velocity", "unitree_rl_gym", "unitree_rl_gym h1",
    "unitree_rl_gym h1_2",
]  # fmt: skip


@pytest.mark.parametrize("name", VELOCITY)
@pytest.mark.slow
def test_velocity_policies_walk_as_commanded(policy, name):
    """0.5 m/s forward, then back: within 0.15 m/s over two seconds, after some to get going."""
    model, found = policy(name)
    lockstep, references = Lockstep(model, found), Standing(model)
    lockstep.arm(references)
    assert lockstep.engage(references)
    for commanded in (0.5, -0.5):
        references.velocity = np.array([commanded, 0.0, 0.0])
        lockstep.run(references, 2.0)
        start, yaw_start = pelvis(lockstep)
        lockstep.run(references, 2.4)
        end, yaw_end = pelvis(lockstep)
        mean = 0.5 * (yaw_start + yaw_end)
        forward = float(np.dot((end - start)[:2], [np.cos(mean), np.sin(mean)])) / 2.4
        assert forward == pytest.approx(commanded, abs=0.15)
    assert lockstep.fell_at_s is None


@pytest.mark.parametrize(("name", "seconds"), [("beyondmimic_violin", 13.0), ("beyondmimic_jump", 7.0)])
@pytest.mark.slow
def test_single_clip_policies_stay_up_for_their_clip(policy, name, seconds):
    """The violin once and held; the jumping jacks twice. The pose stays near the clip's."""
    model, found = policy(name)
    lockstep, references = Lockstep(model, found), Standing(model)
    lockstep.arm(references)
    runtime, errors = lockstep.control._runtime, []
    for _ in range(round(seconds * 50)):
        lockstep.step(references(lockstep.now_ns))
        errors.append(np.sqrt(np.mean((runtime.tracked.q - lockstep._io.state.q) ** 2)))
    assert lockstep.fell_at_s is None
    assert np.median(errors) < 0.15


@pytest.mark.slow
def test_the_dance_policy_stands_ten_seconds_on_a_stand_reference(policy):
    model, found = policy("unitree_rl_mjlab_dance1")
    lockstep, references = Lockstep(model, found), Standing(model)
    lockstep.arm(references)
    lockstep.run(references, 10.0)
    assert lockstep.fell_at_s is None


@pytest.mark.slow
def test_omnih2o_stands_and_walks_after_its_points(policy):
    """0.3 m/s; the card's torso IMU comes from the pelvis through the torso joint."""
    model, found = policy("omnih2o")
    lockstep, references = Lockstep(model, found), Standing(model)
    lockstep.arm(references)
    assert lockstep.engage(references)
    references.velocity = np.array([0.3, 0.0, 0.0])
    lockstep.run(references, 2.0)
    start, _ = pelvis(lockstep)
    lockstep.run(references, 4.0)
    end, _ = pelvis(lockstep)
    assert lockstep.fell_at_s is None
    assert (end - start)[0] / 4.0 == pytest.approx(0.3, abs=0.15)
