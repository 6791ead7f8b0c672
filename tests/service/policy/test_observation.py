"""Observation blocks, each against values worked out by hand or written a second time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teleopd.service.policy.attitude import roll_pitch, rotate_heading_inverse, rotate_inverse
from teleopd.service.policy.card_reader import load_card, parse_card
from teleopd.service.policy.errors import WrongJoints
from teleopd.service.policy.library import shipped_cards
from teleopd.service.policy.observation import ObservationBuilder

LEG_DEFAULT, ARM_DEFAULT = [-0.2, 0.0, 0.0, 0.4, -0.2, 0.0], [1.2, 0.0, 0.0, 0.0]
TWIST2_DEFAULT = [*LEG_DEFAULT, *LEG_DEFAULT, 0, 0, 0, 0, 0.4, 0, *ARM_DEFAULT, 0, -0.4, 0, *ARM_DEFAULT]


def matrix_of(quaternion):
    """Rotation matrix body -> world of a wxyz quaternion, as nested lists."""
    w, x, y, z = quaternion
    return [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]


def transposed_times(matrix, vector):
    return [sum(matrix[row][column] * vector[row] for row in range(3)) for column in range(3)]


class Twist2Builder:
    """TWIST2's 1432 values written from the layout table in plain loops, sharing no code with the product."""

    def __init__(self):
        self.history = [[0.0] * 127 for _ in range(10)]

    def build(self, reference, state, last_action):
        rotation = matrix_of(reference.root_quat_w)
        velocity = transposed_times(rotation, reference.root_lin_vel_w)
        rates = transposed_times(rotation, reference.root_ang_vel_w)
        mimic = [velocity[0], velocity[1], reference.root_pos_w[2], *self.roll_pitch(rotation), rates[2]]
        mimic += [float(q) for q in reference.q]
        now = list(mimic)
        now += [0.25 * float(rate) for rate in state.gyro_b]
        now += self.roll_pitch(matrix_of(state.quat_w))
        now += [float(state.q[i]) - TWIST2_DEFAULT[i] for i in range(29)]
        now += [0.0 if i in (4, 5, 10, 11) else 0.05 * float(state.dq[i]) for i in range(29)]
        now += [float(a) for a in last_action]
        vector = list(now)
        for old in self.history:
            vector += old
        vector += mimic
        self.history = [*self.history[1:], now]
        return vector

    @staticmethod
    def roll_pitch(rotation):
        """Roll and pitch out of the last row of the rotation matrix."""
        return [math.atan2(rotation[2][1], rotation[2][2]), math.asin(max(-1.0, min(1.0, -rotation[2][0])))]


def random_quaternion(rng):
    q = rng.normal(size=4)
    return q / np.linalg.norm(q)


def test_twist2_equals_an_independent_builder_on_1000_random_ticks(g1, make_reference, make_state):
    """One run of 1000 ticks with three restarts; each value to 1e-6 of its size or absolutely, as float32 holds it."""
    rng = np.random.default_rng(1)
    builder = ObservationBuilder(load_card(shipped_cards(g1)["twist2"]), g1)
    independent, last_action = Twist2Builder(), np.zeros(29, np.float32)
    worst = 0.0
    for tick in range(1000):
        if tick in (3, 300, 301):
            builder.reset()
            independent, last_action = Twist2Builder(), np.zeros(29, np.float32)
        reference = make_reference(
            29, root_pos_w=rng.normal(size=3), root_quat_w=random_quaternion(rng), root_lin_vel_w=rng.normal(size=3),
            root_ang_vel_w=rng.normal(size=3), q=rng.normal(size=29), dq=rng.normal(size=29),
        )  # fmt: skip
        state = make_state(
            29, q=rng.normal(size=29), dq=5 * rng.normal(size=29), quat_w=random_quaternion(rng),
            gyro_b=rng.normal(size=3),
        )  # fmt: skip
        observation = builder.build(reference, state)
        wanted = np.array(independent.build(reference, state, last_action))
        assert observation.shape == (1, 1432)
        assert observation.dtype == np.float32
        worst = max(worst, float((np.abs(observation[0] - wanted) / np.maximum(1.0, np.abs(wanted))).max()))
        last_action = rng.normal(size=29).astype(np.float32)
        builder.push(last_action)
    assert worst < 1e-6


def card_with(tiny, blocks: str, width: int, *more):
    """The tripod's card with other observation blocks."""
    text, _ = tiny(("input_width = 9", f"input_width = {width}"), *more)
    start, end = text.index("[[observation]]"), text.index("[action]")
    return parse_card(text[:start] + blocks + text[end:], "tiny.toml")


def block(kind: str, *lines: str, group: str = "now") -> str:
    return "\n".join(["[[observation]]", f'kind = "{kind}"', *([f'group = "{group}"'] if group else []), *lines, ""])


def test_each_quantity_has_its_own_joint_order(tiny, tripod, make_reference, make_state):
    """State a b c; reference c a b; action b c a."""
    blocks = block("reference_q") + block("reference_dq") + block("q") + block("dq") + block("last_action")
    builder = ObservationBuilder(card_with(tiny, blocks, 15), tripod)
    builder.push(np.array([7, 8, 9], np.float32))
    reference = make_reference(3, q=np.array([1.0, 2, 3]), dq=np.array([10.0, 20, 30]))
    state = make_state(3, q=np.array([4.0, 5, 6]), dq=np.array([40.0, 50, 60]))
    assert builder.build(reference, state)[0].tolist() == [3, 1, 2, 30, 10, 20, 4, 5, 6, 40, 50, 60, 7, 8, 9]


def test_subsets_offsets_zeros_clips_and_scales(tiny, tripod, make_reference, make_state):
    """(q - default) of c then a: (2.7, 0.9), clipped to 1.5, times 2; dq of b zeroed; action of a alone."""
    blocks = (
        block("q", 'joints = ["c", "a"]', 'offset = "default_pose"', "clip = [-1.5, 1.5]", "scale = 2.0")
        + block("dq", 'zero = ["b"]', "scale = 0.1")
        + block("last_action", 'joints = ["a"]')
    )
    builder = ObservationBuilder(card_with(tiny, blocks, 6), tripod)
    builder.push(np.array([7, 8, 9], np.float32))
    state = make_state(3, q=np.array([1.0, 2, 3]), dq=np.array([10.0, math.nan, 30]))
    observation = builder.build(make_reference(3), state)
    np.testing.assert_allclose(observation[0], [3.0, 1.8, 1.0, 0.0, 3.0, 9.0], atol=1e-6)


def test_velocities_in_three_frames(tiny, tripod, make_reference, make_state):
    """Yaw 90 deg then pitch 90 deg (nose down): body x points down, body y points to world -x, body z to world +y."""
    quaternion = np.array([0.5, -0.5, 0.5, 0.5])
    blocks = "".join(
        block(kind, f'frame = "{frame}"', 'axes = "xyz"')
        for kind in ("reference_lin_vel", "reference_ang_vel")
        for frame in ("root", "heading", "world")
    )
    builder = ObservationBuilder(card_with(tiny, blocks, 18), tripod)
    reference = make_reference(
        3, root_quat_w=quaternion, root_lin_vel_w=np.array([1.0, 2, 3]), root_ang_vel_w=np.array([4.0, 5, 6])
    )
    observation = builder.build(reference, make_state(3))[0]
    np.testing.assert_allclose(observation[0:3], [-3, -1, 2], atol=1e-6)
    np.testing.assert_allclose(observation[6:9], [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(observation[9:12], [-6, -4, 5], atol=1e-6)


def test_heading_frame_turns_by_yaw_only():
    """Yaw 90 deg with roll 0.3: forward is world +y, left is world -x, up stays up."""
    half = math.sqrt(0.5)
    roll = (math.cos(0.15), math.sin(0.15))
    quaternion = np.array([half * roll[0], half * roll[1], half * roll[1], half * roll[0]])
    np.testing.assert_allclose(rotate_heading_inverse(quaternion, np.array([1.0, 2.0, 3.0])), [2.0, -1.0, 3.0])


def test_attitude_blocks(tiny, tripod, make_reference, make_state):
    """Roll 0.4 of the robot; pitch 0.3 and height 0.7 of the reference."""
    blocks = block("roll_pitch") + block("gravity") + block("reference_roll_pitch") + block("reference_height")
    builder = ObservationBuilder(card_with(tiny, blocks + block("gyro", 'axes = "xy"'), 10), tripod)
    reference = make_reference(
        3, root_quat_w=np.array([math.cos(0.15), 0, math.sin(0.15), 0]), root_pos_w=np.array([5.0, 6.0, 0.7])
    )
    state = make_state(3, quat_w=np.array([math.cos(0.2), math.sin(0.2), 0, 0]), gyro_b=np.array([1.0, 2.0, 3.0]))
    wanted = [0.4, 0, 0, -math.sin(0.4), -math.cos(0.4), 0, 0.3, 0.7, 1.0, 2.0]
    np.testing.assert_allclose(builder.build(reference, state)[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("order", "fill", "rows"),
    [
        ("oldest_first", "zeros", [[0, 0], [0, 1], [1, 2], [2, 3]]),
        ("newest_first", "zeros", [[0, 0], [1, 0], [2, 1], [3, 2]]),
        ("oldest_first", "current", [[1, 1], [1, 1], [1, 2], [2, 3]]),
    ],
)
def test_history_excludes_the_present_tick(tiny, tripod, make_reference, make_state, order, fill, rows):
    """q of a is 1, 2, 3, 4; two ticks of history."""
    history = block("history", 'of = ["now"]', "length = 2", f'order = "{order}"', f'fill = "{fill}"', group="")
    builder = ObservationBuilder(card_with(tiny, history + block("q", 'joints = ["a"]'), 3), tripod)
    for _ in range(2):
        builder.reset()
        for tick, row in enumerate(rows, start=1):
            state = make_state(3, q=np.array([float(tick), 0, 0]))
            assert builder.build(make_reference(3), state)[0].tolist() == [*row, tick]
            builder.push(np.zeros(3, np.float32))


def test_a_tick_without_push_leaves_no_trace(tiny, tripod, make_reference, make_state):
    history = block("history", 'of = ["now"]', "length = 2", 'order = "oldest_first"', 'fill = "zeros"', group="")
    builder = ObservationBuilder(card_with(tiny, block("q", 'joints = ["a"]') + history, 3), tripod)
    for q, wanted, keep in ((1.0, [0, 0], True), (9.0, [0, 1], False), (2.0, [0, 1], True), (3.0, [1, 2], True)):
        observation = builder.build(make_reference(3), make_state(3, q=np.array([q, 0, 0])))
        assert observation[0, 1:].tolist() == wanted
        if keep:
            builder.push(np.zeros(3, np.float32))


def test_groups_are_stacked_in_the_order_named(tiny, tripod, make_reference, make_state):
    """History of (two, one) although `one` comes first in the vector; the future repeats `one`."""
    blocks = (
        block("q", 'joints = ["a"]', group="one")
        + block("q", 'joints = ["b"]', group="two")
        + block("q", 'joints = ["c"]', group="one")
        + block("history", 'of = ["two", "one"]', "length = 1", 'order = "oldest_first"', 'fill = "current"', group="")
        + block("future", 'of = ["one"]', "steps = [0, 0]", group="")
    )
    builder = ObservationBuilder(card_with(tiny, blocks, 10), tripod)
    observation = builder.build(make_reference(3), make_state(3, q=np.array([1.0, 2.0, 3.0])))
    assert observation[0].tolist() == [1, 2, 3, 2, 1, 3, 1, 3, 1, 3]


def test_joints_of_another_robot_are_refused(tiny, g1):
    card = parse_card(tiny()[0], "tiny.toml")
    with pytest.raises(WrongJoints, match=r"^card 'tiny': unitree_g1 has no joint 'c'; its joints are: left_hip_pitch"):
        ObservationBuilder(card, g1)


def test_attitude_of_broken_quaternions_is_not_finite_and_not_an_exception():
    broken = np.array([math.nan, 0.0, 0.0, 0.0])
    assert not any(map(math.isfinite, roll_pitch(broken)))
    assert not any(map(math.isfinite, rotate_inverse(broken, np.ones(3))))


def test_pitch_of_a_slightly_long_quaternion_stays_in_range():
    quaternion = np.array([math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0]) * (1 + 1e-9)
    assert roll_pitch(quaternion)[1] == pytest.approx(math.pi / 2)
