"""A policy that does not fit is refused with both values; one that runs never raises and never forgets its targets."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from teleopd.service.policy import runtime as runtime_module
from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.errors import (
    GoldenMismatch,
    HashMismatch,
    NonFiniteOutput,
    NotOnnx,
    TooSlow,
    Unsupported,
    WrongJoints,
    WrongRate,
    WrongRobot,
    WrongWidth,
)
from teleopd.service.policy.runtime import PolicyRuntime


def load(tiny, tripod, *replacements, link="sim", loop_rate_hz=50.0, **onnx):
    text, path = tiny(*replacements, **onnx)
    return PolicyRuntime(parse_card(text, "tiny.toml"), path, tripod, link=link, loop_rate_hz=loop_rate_hz)


REFUSED = [
    (WrongWidth, "card 'tiny' says input width 9, the ONNX has 154", [], {"weights": np.zeros((154, 3))}),
    (WrongWidth, "card 'tiny' says output width 3, the ONNX has 29", [], {"weights": np.zeros((9, 29))}),
    (WrongWidth, "card 'tiny' says the input is called 'obs', the ONNX has 'x'", [], {"names": ("x", "actions")}),
    (WrongWidth, "card 'tiny' says the output is called 'actions', the ONNX has 'y'", [], {"names": ("obs", "y")}),
    (WrongWidth, "card 'tiny' says opset 13, the ONNX has 11", [], {"opset": 11}),
    (Unsupported, "card 'tiny': feeds 'obs', the ONNX wants 2 inputs: obs, time_step", [],
     {"extra_input": "time_step"}),
    (NonFiniteOutput, "policy 'tiny' gives 3 non-finite values of 3 for a finite input", [],
     {"weights": np.full((9, 3), np.nan)}),
    (NonFiniteOutput, "policy 'tiny' gives 1 non-finite values of 3 for a finite input", [],
     {"bias": np.array([0.0, np.inf, 0.0])}),
    (WrongRobot, "card 'tiny' is for robot 'unitree_h1', this robot is 'tripod'",
     [('robot = "tripod"', 'robot = "unitree_h1"')], {}),
    (WrongRate, "card 'tiny' says 100 Hz, the control loop runs at 50 Hz", [("rate_hz = 50.0", "rate_hz = 100.0")], {}),
    (Unsupported, "card 'tiny': wants the torso IMU, the robot state carries the pelvis IMU",
     [('imu = "pelvis"', 'imu = "torso"')], {}),
    (Unsupported, "card 'tiny': wants 4 steps of future reference, a live stream has 0",
     [("lookahead_steps = 0", "lookahead_steps = 4"), ("input_width = 9", "input_width = 18"),
      ("[action]", '[[observation]]\nkind = "future"\nof = ["now"]\nsteps = [4]\n[action]')], {}),
    (WrongJoints, "card 'tiny': tripod has no joint 'left_hip'; its joints are: a, b, c",
     [('action = ["b", "c", "a"]', 'action = ["b", "c", "left_hip"]'), ('"a" = 0.1', '"a" = 0.1, "left_hip" = 0.0'),
      ('{"a" = 1.0', '{"left_hip" = 1.0, "a" = 1.0'), ('{"a" = 4.0', '{"left_hip" = 1.0, "a" = 4.0')], {}),
    (WrongJoints, "card 'tiny': drives 2 joints of 3; nothing drives a",
     [('action = ["b", "c", "a"]', 'action = ["b", "c"]'), ("output_width = 3", "output_width = 2"),
      ("input_width = 9", "input_width = 8")], {}),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "replacements", "onnx"), REFUSED, ids=[row[1][:60] for row in REFUSED])
def test_a_misfit_is_refused_with_both_values(tiny, tripod, error, message, replacements, onnx):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        load(tiny, tripod, *replacements, **onnx)


def test_another_loop_rate_is_refused(tiny, tripod):
    with pytest.raises(WrongRate, match="card 'tiny' says 50 Hz, the control loop runs at 100 Hz"):
        load(tiny, tripod, loop_rate_hz=100.0)


def test_another_file_than_the_card_means_is_refused(tiny, tripod, write_onnx):
    text, path = tiny()
    found = write_onnx(path, np.ones((9, 3)), np.zeros(3))
    card = parse_card(text, "tiny.toml")
    message = f"card 'tiny' is for the model with sha256 {card.model.sha256}, {path} has {found}"
    with pytest.raises(HashMismatch, match=f"^{re.escape(message)}$"):
        PolicyRuntime(card, path, tripod, link="sim")


def test_a_file_that_onnxruntime_refuses_is_one_sentence(tiny, tripod):
    with pytest.raises(NotOnnx, match=r"tiny.onnx is not a usable ONNX model: onnxruntime refuses it: ") as caught:
        load(tiny, tripod, ("opset = 13", "opset = 9999"), opset=9999)
    assert "\n" not in str(caught.value)


def test_a_policy_slower_than_its_period_is_refused(tiny, tripod, monkeypatch):
    ticks = iter(range(0, 10**12, 21_000_000))
    monkeypatch.setattr(runtime_module.time, "perf_counter_ns", lambda: next(ticks))
    with pytest.raises(TooSlow, match=r"^policy 'tiny' takes 21\.0 ms a step here, its period is 20 ms$"):
        load(tiny, tripod)


GOLDEN = '\n[[golden]]\nname = "probe"\nsegments = [{at = 1, values = [2.0], repeat = 2, stride = 3}]\noutput = OUT\n'


def test_a_golden_output_is_compared_at_load(tiny, tripod):
    """Inputs 1 and 4 are 2.0; column sums of those weight rows are the expected output."""
    weights = np.arange(27.0).reshape(9, 3)
    wanted = [2.0 * (3 + 12), 2.0 * (4 + 13), 2.0 * (5 + 14)]
    text, path = tiny(weights=weights)
    PolicyRuntime(parse_card(text + GOLDEN.replace("OUT", str(wanted)), "t"), path, tripod, link="sim")
    wanted[1] += 0.001
    message = "policy 'tiny' does not reproduce 'probe': output 1 should be 34.00100 within 0.0001, is 34.00000"
    with pytest.raises(GoldenMismatch, match=f"^{re.escape(message)}$"):
        PolicyRuntime(parse_card(text + GOLDEN.replace("OUT", str(wanted)), "t"), path, tripod, link="sim")


def test_targets_are_clipped_scaled_offset_and_put_into_motor_order(tiny, tripod, make_reference, make_state):
    """Outputs (b, c, a) = (1, -30, 4): clip to +-10, times 0.5, plus the default pose."""
    policy = load(tiny, tripod, bias=np.array([1.0, -30.0, 4.0]))
    output = policy.step(make_reference(3), make_state(3))
    assert output.healthy
    np.testing.assert_array_equal(output.action, [1.0, -30.0, 4.0])
    np.testing.assert_allclose(output.q, [0.1 + 2.0, 0.2 + 0.5, 0.3 - 5.0], atol=1e-12)
    assert output.q.dtype == np.float64


@pytest.mark.parametrize(("feedback", "fed_back"), [("raw", 30.0), ("clipped", 10.0)])
def test_the_card_says_which_action_is_fed_back(tiny, tripod, make_reference, make_state, feedback, fed_back):
    """The first output is bias 30; the second adds what was fed back for the joint (b) that the weights pass on."""
    weights = np.zeros((9, 3))
    weights[6, 1] = 1.0
    policy = load(
        tiny, tripod, ('feedback = "raw"', f'feedback = "{feedback}"'), weights=weights, bias=np.array([30.0, 0.0, 0.0])
    )
    assert policy.step(make_reference(3), make_state(3)).action.tolist() == [30.0, 0.0, 0.0]
    assert policy.step(make_reference(3), make_state(3)).action.tolist() == [30.0, fed_back, 0.0]


def test_gains_depend_on_the_link(tiny, tripod):
    sim, dds, lcm = (load(tiny, tripod, link=link) for link in ("sim", "dds", "lcm"))
    assert (sim.gain_set, dds.gain_set, lcm.gain_set) == ("sim", "real", "real")
    np.testing.assert_array_equal(sim.kp, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(sim.kd, [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(dds.kp, [40.0, 40.0, 40.0])
    np.testing.assert_array_equal(dds.kd, [4.0, 5.0, 5.0])
    np.testing.assert_array_equal(lcm.kp, dds.kp)
    with pytest.raises(ValueError, match="read-only"):
        sim.kp[0] = 400.0


def _ramp() -> np.ndarray:
    """Weights whose outputs are the three measured joints."""
    weights = np.zeros((9, 3))
    weights[3, 2] = weights[4, 0] = weights[5, 1] = 1.0
    return weights


def test_a_non_finite_output_repeats_the_last_good_targets(tiny, tripod, make_reference, make_state):
    """Finite input, infinite output: the product 3e38 * 10 overflows float32."""
    weights = _ramp() * 10.0
    policy = load(tiny, tripod, weights=weights)
    good = policy.step(make_reference(3), make_state(3, q=np.array([0.01, 0.02, 0.03])))
    assert good.healthy
    bad = policy.step(make_reference(3), make_state(3, q=np.full(3, 3e38)))
    assert not bad.healthy
    np.testing.assert_array_equal(bad.q, good.q)
    np.testing.assert_array_equal(bad.action, good.action)
    assert policy.step(make_reference(3), make_state(3)).healthy


BROKEN: list[Callable] = [
    lambda r, s: (r, s._replace(q=np.array([np.nan, 0.0, 0.0]))),
    lambda r, s: (r, s._replace(q=np.array([1e300, 0.0, 0.0]))),
    lambda r, s: (r, s._replace(q=np.zeros(2))),
    lambda r, s: (r, s._replace(q=None)),
    lambda r, s: (r._replace(q=np.array([0.0, np.inf, 0.0])), s),
    lambda r, s: (r._replace(q="zero"), s),
    lambda r, s: (None, s),
    lambda r, s: (r, None),
]


@pytest.mark.parametrize("breaking", BROKEN)
def test_no_input_makes_step_raise(tiny, tripod, make_reference, make_state, breaking):
    policy = load(tiny, tripod, weights=_ramp())
    reference, state = make_reference(3), make_state(3, q=np.array([0.1, 0.2, 0.3]))
    good = policy.step(reference, state)
    bad = policy.step(*breaking(reference, state))
    assert not bad.healthy
    np.testing.assert_array_equal(bad.q, good.q)
    after = policy.step(reference, state)
    assert after.healthy
    np.testing.assert_array_equal(after.q, good.q)


def test_before_the_first_good_tick_the_targets_are_the_default_pose(tiny, tripod, make_reference, make_state):
    policy = load(tiny, tripod)
    output = policy.step(make_reference(3), make_state(3, q=np.full(3, np.nan)))
    assert not output.healthy
    np.testing.assert_array_equal(output.q, [0.1, 0.2, 0.3])


def test_outputs_are_left_alone_by_later_ticks(tiny, tripod, make_reference, make_state):
    policy = load(tiny, tripod, weights=_ramp())
    first = policy.step(make_reference(3), make_state(3, q=np.array([1.0, 2.0, 3.0])))
    kept = first.q.copy(), first.action.copy()
    policy.step(make_reference(3), make_state(3, q=np.array([-1.0, -2.0, -3.0])))
    np.testing.assert_array_equal(first.q, kept[0])
    np.testing.assert_array_equal(first.action, kept[1])


def test_reset_makes_the_policy_as_new(tiny, tripod, make_reference, make_state):
    weights = np.zeros((9, 3))
    weights[6:9] = np.eye(3) * 0.5
    policy = load(tiny, tripod, weights=weights, bias=np.ones(3))
    runs = []
    for _ in range(2):
        policy.reset()
        runs.append([policy.step(make_reference(3), make_state(3)).action.tolist() for _ in range(4)])
    assert runs[0] == runs[1]
    assert runs[0][0] == [1.0, 1.0, 1.0]
    assert runs[0][1] == [1.5, 1.5, 1.5]


def test_tilt_is_that_of_the_reference_tracked(tiny, tripod, make_reference, make_state):
    """Pitch 0.3 rad about y: quaternion (cos 0.15, 0, sin 0.15, 0)."""
    policy = load(tiny, tripod)
    np.testing.assert_array_equal(policy.tilt_rp, [0.0, 0.0])
    tilted = make_reference(3, root_quat_w=np.array([np.cos(0.15), 0.0, np.sin(0.15), 0.0]))
    policy.step(tilted, make_state(3))
    np.testing.assert_allclose(policy.tilt_rp, [0.0, 0.3], atol=1e-12)
    policy.step(make_reference(3), make_state(3, q=np.full(3, np.nan)))
    np.testing.assert_allclose(policy.tilt_rp, [0.0, 0.3], atol=1e-12)


def test_a_policy_that_needs_odometry_is_unhealthy_without(tiny, tripod, make_reference, make_state):
    policy = load(tiny, tripod, ("odometry = false", "odometry = true"))
    assert not policy.step(make_reference(3), make_state(3)).healthy
    assert policy.step(make_reference(3), make_state(3, has_odometry=True)).healthy
