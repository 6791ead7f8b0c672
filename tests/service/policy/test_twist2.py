"""The real TWIST2 weights through their card: golden outputs, the ignored channel, and what a user is told."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from teleopd.service.policy.explain import check, explain
from teleopd.service.policy.library import resolve
from teleopd.service.policy.runtime import PolicyRuntime

LEG_DEFAULT, ARM_DEFAULT = [-0.2, 0.0, 0.0, 0.4, -0.2, 0.0], [1.2, 0.0, 0.0, 0.0]
DEFAULT = np.array([*LEG_DEFAULT, *LEG_DEFAULT, 0, 0, 0, 0, 0.4, 0, *ARM_DEFAULT, 0, -0.4, 0, *ARM_DEFAULT])
STANDING = [
    .03595, -.06058, -.08996, -.28445, -.00809, .15187, .05808, .07581, .19541, -.29896, .07315, .00174, -.00344,
    .04343, -.04775, -.34307, -.05505, .07138, .13917, -.09841, -.16596, -.14678, .11689, -.07423, -.25921, .28023,
    -.02212, -.24213, .01862,
]  # fmt: skip
"""Output for a robot that stands on the stand reference and has done so for ten ticks."""
FIRST_TICK = {0: .14811, 1: -.25548, 2: -.21272, 3: -.29171, 4: .12569, 5: .12495,
              15: -.53077, 16: -.72583, 17: .62882, 18: 1.63724}  # fmt: skip
"""Output for the same at the first tick, whose history is zero."""
IGNORED_CHANNEL = 1431


@pytest.fixture(scope="session")
def twist2(shared_data, g1):
    """The policy as a user names it: by its file."""
    policy = resolve(str(shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx"), g1)
    assert policy is not None
    return policy


@pytest.fixture
def runtime(twist2, g1):
    return PolicyRuntime(twist2.card, twist2.onnx_path, g1, link="sim")


def test_golden_first_tick(runtime, make_reference, make_state):
    """The stand reference with the robot exactly in the default pose: only the history differs from standing."""
    output = runtime.step(make_reference(29, q=DEFAULT), make_state(29, q=DEFAULT))
    assert output.healthy
    for index, wanted in FIRST_TICK.items():
        assert output.action[index] == pytest.approx(wanted, abs=1e-4)
    np.testing.assert_allclose(output.q, output.action * 0.5 + DEFAULT, atol=1e-6)


def test_golden_standing(runtime, make_reference, make_state, monkeypatch):
    """Ten ticks whose fed-back action is held at zero fill the history with the standing vector."""
    push = runtime._builder.push
    monkeypatch.setattr(runtime._builder, "push", lambda action: push(np.zeros(29, np.float32)))
    for _ in range(11):
        output = runtime.step(make_reference(29, q=DEFAULT), make_state(29, q=DEFAULT))
    np.testing.assert_allclose(output.action, STANDING, atol=1e-4)


def test_the_card_holds_the_published_golden_outputs(twist2):
    first, standing = twist2.card.golden[1], twist2.card.golden[2]
    np.testing.assert_allclose([first.output[i] for i in FIRST_TICK], list(FIRST_TICK.values()), atol=1e-5)
    np.testing.assert_allclose(standing.output, STANDING, atol=1e-5)


def test_the_last_channel_has_no_effect(twist2):
    session = onnxruntime.InferenceSession(str(twist2.onnx_path), providers=["CPUExecutionProvider"])
    vector = np.zeros((1, 1432), np.float32)
    before = session.run(None, {"input": vector})[0]
    vector[0, IGNORED_CHANNEL] += 5.0
    np.testing.assert_array_equal(session.run(None, {"input": vector})[0], before)
    vector[0, IGNORED_CHANNEL - 1] += 5.0
    assert np.abs(session.run(None, {"input": vector})[0] - before).max() > 1e-3


def test_buffers_give_what_a_plain_session_gives(runtime, twist2, make_reference, make_state):
    """The bound buffers against `session.run` on the same observations."""
    session = onnxruntime.InferenceSession(str(twist2.onnx_path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(4)
    for _ in range(20):
        reference = make_reference(29, q=DEFAULT + 0.1 * rng.normal(size=29), root_lin_vel_w=rng.normal(size=3))
        state = make_state(29, q=DEFAULT + 0.1 * rng.normal(size=29), dq=rng.normal(size=29))
        output = runtime.step(reference, state)
        plain = session.run(None, {"input": runtime._builder._observation})[0][0]
        np.testing.assert_allclose(output.action, plain, atol=1e-5)


def test_what_a_user_is_told(twist2, g1):
    lines = explain(twist2)
    assert lines[0] == "twist2: TWIST2 general motion tracker, checkpoint 1017 at 20k iterations"
    text = "\n".join(lines)
    for part in (
        "licence     MIT; Copyright (c) 2025 Yanjie Ze (TWIST2); https://github.com/amazon-far/TWIST2",
        "rate        50 Hz, no other",
        "lookahead   none",
        "the pelvis IMU, no odometry; of the reference: q, root_ang_vel_w, root_lin_vel_w, root_pos_w, root_quat_w",
        "127..1396  history of reference + proprioception: the 10 ticks before, oldest first, zeros at start",
        "69..97    dq of 29 joints, 4 of them zeroed, times 0.05",
        "output      'output', 29 values; target = clip(output, +-10) * 0.5 + default pose; the raw output is fed back",
        "*_wrist_* 4/0.2",
        "*_wrist_* 20/1",
    ):
        assert part in text
    report = check(twist2, g1)
    assert "3 golden outputs reproduced, all outputs finite" in report
    assert "left_wrist_yaw_joint kp 4/20 kd 0.2/1" in report[-1]
    assert "elbow" not in report[-1]
