"""Published observation layouts whose weights are not here: the vector is put together once more, independently.

Each layout goes through a card, a synthetic ONNX of its exact sizes and 30 random ticks. References are plain rotation
matrices, lists of past ticks and loops, as the layout tables are written.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.policy.card_reader import card_from, load_card
from teleopd.service.policy.library import shipped_cards
from teleopd.service.policy.observation import ObservationBuilder
from teleopd.service.policy.runtime import PolicyRuntime

LAYOUTS = MODEL.mjcf.parent / "policies" / "layouts"
ISAAC = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20, 27, 21, 28]
STEPS = (0, 2, 4, 8, 16)
DOWN = np.array([0.0, 0.0, -1.0])


def matrix(quat):
    w, x, y, z = quat
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def yaw_matrix(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def yaw(rotation):
    return math.atan2(rotation[1, 0], rotation[0, 0])


def tilted(rng):
    """A quaternion that leans less than 90 degrees, so that its heading is defined."""
    q = np.array([1.0, *(0.2 * rng.normal(size=2)), 0.6 * rng.normal()])
    return q / np.linalg.norm(q)


def random_reference(rng, make_reference, n=29):
    return make_reference(
        n, root_pos_w=rng.normal(size=3), root_quat_w=tilted(rng), root_lin_vel_w=rng.normal(size=3),
        root_ang_vel_w=rng.normal(size=3), q=rng.normal(size=n), dq=rng.normal(size=n),
    )  # fmt: skip


def random_state(rng, make_state, n=29):
    return make_state(
        n, q=rng.normal(size=n), dq=rng.normal(size=n), quat_w=tilted(rng), gyro_b=rng.normal(size=3),
        has_odometry=True, root_pos_w=rng.normal(size=3), root_lin_vel_w=rng.normal(size=3),
    )  # fmt: skip


def lagged(past, lags, fill):
    """Entries of a list of ticks (the present one last), `fill` before the start."""
    return np.concatenate([past[-1 - lag] if lag < len(past) else fill for lag in lags])


def compare(card, model, rng, make_reference, make_state, independent, *, with_window):
    """30 random ticks through the builder and through `independent(references, states, actions, window)`."""
    builder = ObservationBuilder(card, model)
    states, actions, references = [], [np.zeros(card.model.output_width)], []
    for _ in range(30):
        references.append(random_reference(rng, make_reference, model.n))
        states.append(random_state(rng, make_state, model.n))
        coming = [random_reference(rng, make_reference, model.n) for _ in card.future_steps]
        window = coming if with_window else [references[-1]] * len(card.future_steps)
        found = builder.build(references[-1], states[-1], coming if with_window else None)
        wanted = independent(references, states, actions, [references[-1], *window])
        assert found.shape == (1, len(wanted))
        np.testing.assert_allclose(found[0], wanted, atol=2e-6)
        actions.append(rng.normal(size=card.model.output_width).astype(np.float32))
        builder.push(actions[-1])


def gentle_tail(states, actions):
    state = states[-1]
    isaac = [s.q[ISAAC] for s in states]
    return [
        state.gyro_b, matrix(state.quat_w).T @ DOWN, lagged(isaac, (0, 1, 2, 3, 4, 8), isaac[0]),
        lagged(actions, (0, 1, 2), np.zeros(29)),
    ]  # fmt: skip


@pytest.mark.parametrize("with_window", [True, False])
def test_gentle_humanoid_450(make_reference, make_state, with_window):
    def independent(references, states, actions, window):
        here = window[0]
        level = yaw_matrix(yaw(matrix(here.root_quat_w)))
        headings = [level.T @ yaw_matrix(yaw(matrix(r.root_quat_w))) for r in window[1:]]
        return np.concatenate([
            [0.0], [r.root_pos_w[2] for r in window],
            *[(level.T @ (r.root_pos_w - here.root_pos_w))[:2] for r in window[1:]],
            *[heading[:2, 0] for heading in headings], [10.0], *[r.q for r in window],
            *[matrix(r.root_quat_w).T @ DOWN for r in window], *gentle_tail(states, actions),
        ])  # fmt: skip

    card = load_card(LAYOUTS / "gentle_humanoid.toml")
    assert card.future_steps == STEPS[1:]
    compare(card, MODEL, np.random.default_rng(2), make_reference, make_state, independent, with_window=with_window)


@pytest.mark.parametrize("with_window", [True, False])
def test_motion_tracking_623(make_reference, make_state, with_window):
    turn = None

    def independent(references, states, actions, window):
        nonlocal turn
        here, robot = window[0], matrix(states[-1].quat_w)
        if turn is None:
            turn = yaw_matrix(yaw(robot) - yaw(matrix(here.root_quat_w)))
        sixes = [(robot.T @ turn @ matrix(r.root_quat_w))[:, :2].T.reshape(6) for r in window]
        return np.concatenate([
            [0.0], *[matrix(here.root_quat_w).T @ (r.root_pos_w - here.root_pos_w) for r in window[1:]],
            *sixes, [1.0, 10.0, 200.0], *[r.q[ISAAC] for r in window],
            *[(r.q - states[-1].q)[ISAAC] for r in window], [r.root_pos_w[2] + 0.035 for r in window],
            *[matrix(r.root_quat_w).T @ DOWN for r in window], *gentle_tail(states, actions),
        ])  # fmt: skip

    card = load_card(LAYOUTS / "motion_tracking.toml")
    compare(card, MODEL, np.random.default_rng(3), make_reference, make_state, independent, with_window=with_window)


def test_sonic_encoder_1247_and_decoder_994(make_reference, make_state):
    turn = None

    def independent(references, states, actions, window):
        nonlocal turn
        robot = matrix(states[-1].quat_w)
        if turn is None:
            turn = yaw_matrix(yaw(robot) - yaw(matrix(window[0].root_quat_w)))
        sixes = [(robot.T @ turn @ matrix(r.root_quat_w))[:, :2].reshape(6) for r in window]
        encoder = np.concatenate([
            np.zeros(4), *[r.q[ISAAC] for r in window], *[r.dq[ISAAC] for r in window], *sixes, np.zeros(603),
        ])  # fmt: skip
        assert len(encoder) == 1247
        ten = range(9, -1, -1)
        pasts = [
            [s.gyro_b for s in states], [s.q[ISAAC] for s in states], [s.dq[ISAAC] for s in states], actions,
            [matrix(s.quat_w).T @ DOWN for s in states],
        ]  # fmt: skip
        decoder = np.concatenate([lagged(past, ten, past[0]) for past in pasts])
        assert len(decoder) + 64 == 994
        return np.concatenate([encoder, decoder])

    card = load_card(LAYOUTS / "sonic_low_latency.toml")
    assert card.lookahead_steps / card.rate_hz == pytest.approx(0.18)
    compare(card, MODEL, np.random.default_rng(4), make_reference, make_state, independent, with_window=True)


def test_sonic_runs_as_two_networks(tmp_path, fused, make_reference, make_state):
    """Synthetic weights: token 0 is the reference of joint 0 nine ticks ahead; action 0 passes the token on."""
    encoder_weights, decoder_weights = np.zeros((1247, 64)), np.zeros((994, 29))
    encoder_weights[4 + 9 * 29, 0] = decoder_weights[0, 0] = 1.0
    decoder_weights[64 + 30 + 9 * 29, 1] = 1.0
    encoder = fused({"obs": encoder_weights}, 64, output="token")
    decoder = fused({"obs": decoder_weights}, 29, output="action")
    (tmp_path / "encoder.onnx").write_bytes(encoder)
    (tmp_path / "decoder.onnx").write_bytes(decoder)
    text = (LAYOUTS / "sonic_low_latency.toml").read_text().replace("opset = 17", "opset = 13")
    for content in (decoder, encoder):
        text = text.replace("0" * 64, hashlib.sha256(content).hexdigest(), 1)
    (tmp_path / "decoder.toml").write_text(text)
    card = load_card(tmp_path / "decoder.toml")
    policy = PolicyRuntime(card, tmp_path / "decoder.onnx", MODEL, link="sim")
    now, ahead = make_reference(29, q=np.full(29, 0.25)), make_reference(29, q=np.full(29, 0.75))
    state = make_state(29, q=np.full(29, 0.5))
    assert policy.step(now, state).action[:2].tolist() == [0.25, 0.5]
    assert policy.step(now, state, [now] * 8 + [ahead]).action[:2].tolist() == [0.75, 0.5]


def command(factors):
    return [
        {"kind": "reference_lin_vel", "group": "frame", "axes": "xy", "frame": "heading", "scale": factors[0]},
        {"kind": "reference_ang_vel", "group": "frame", "axes": "z", "frame": "heading", "scale": factors[1]},
    ]


def locomotion_card(width, joints, driven, blocks, name):
    frame = [{**block, "group": "frame", "hidden": True} for block in blocks]
    rest = [joint for joint in MODEL.joint_names if joint not in driven]
    gains = {"kp": 1.0, "kd": 1.0, "source": "-", "reason": "-"}
    return card_from(
        {
            "schema": 1, "name": name, "title": "-", "robot": "unitree_g1", "licence": "-", "attribution": "-",
            "homepage": "-", "rate_hz": 50.0, "imu": "pelvis", "odometry": False, "lookahead_steps": 0,
            "role": "velocity",
            "model": {"file": "x.onnx", "sha256": "0" * 64, "opset": 13, "input": "obs", "output": "actions",
                      "input_width": width, "output_width": len(driven)},
            "joints": {"state": joints, "reference": "state", "action": driven,
                       "rest": {"joints": rest, "follow": "reference"}},
            "default_pose": 0.1,
            "observation": [*frame, {"kind": "history", "of": ["frame"], "length": 6, "order": "oldest_first",
                                     "fill": "zeros", "present": True}],
            "action": {"scale": 0.25, "offset": "default_pose", "feedback": "raw"},
            "gains": {"sim": gains, "real": gains},
        },
        name,
    )  # fmt: skip


def stacked(frames, width):
    return np.concatenate([*[np.zeros(width)] * (6 - len(frames)), *frames[-6:]])


def walking_command(reference):
    level = yaw_matrix(yaw(matrix(reference.root_quat_w)))
    linear, angular = level.T @ reference.root_lin_vel_w, level.T @ reference.root_ang_vel_w
    return np.array([linear[0], linear[1], angular[2]])


def test_gr00t_516(make_reference, make_state):
    names = list(MODEL.joint_names)
    blocks = [
        *command((2.0, 0.25)), {"kind": "reference_height"}, {"kind": "constant", "width": 3},
        {"kind": "gyro", "scale": 0.25}, {"kind": "gravity"}, {"kind": "q", "offset": "default_pose"},
        {"kind": "dq", "scale": 0.05}, {"kind": "last_action"},
    ]  # fmt: skip
    card, frames = locomotion_card(516, names, names[:15], blocks, "gr00t"), []

    def independent(references, states, actions, window):
        reference, state = references[-1], states[-1]
        frames.append(np.concatenate([
            walking_command(reference) * [2, 2, 0.25], [reference.root_pos_w[2]], np.zeros(3), 0.25 * state.gyro_b,
            matrix(state.quat_w).T @ DOWN, state.q - 0.1, 0.05 * state.dq, actions[-1],
        ]))  # fmt: skip
        return stacked(frames, 86)

    compare(card, MODEL, np.random.default_rng(5), make_reference, make_state, independent, with_window=False)


def test_openhomie_456(make_reference, make_state):
    names = [name for name in MODEL.joint_names if name not in ("waist_roll_joint", "waist_pitch_joint")]
    blocks = [
        *command((2.0, 0.25)), {"kind": "reference_height"}, {"kind": "gyro", "scale": 0.5}, {"kind": "gravity"},
        {"kind": "q", "offset": "default_pose"}, {"kind": "dq", "scale": 0.05}, {"kind": "last_action"},
    ]  # fmt: skip
    card, frames = locomotion_card(456, names, names[:12], blocks, "homie"), []
    kept = [i for i in range(29) if i not in (13, 14)]

    def independent(references, states, actions, window):
        reference, state = references[-1], states[-1]
        frames.append(np.concatenate([
            walking_command(reference) * [2, 2, 0.25], [reference.root_pos_w[2]], 0.5 * state.gyro_b,
            matrix(state.quat_w).T @ DOWN, state.q[kept] - 0.1, 0.05 * state.dq[kept], actions[-1],
        ]))  # fmt: skip
        return stacked(frames, 76)

    compare(card, MODEL, np.random.default_rng(6), make_reference, make_state, independent, with_window=False)


def test_unitree_480_is_stacked_term_by_term(make_reference, make_state):
    """unitree_rl_lab: each term's five ticks, oldest first, filled with the first one; clip before scale."""
    card = load_card(shipped_cards(MODEL)["unitree_rl_lab_velocity"])
    default = np.zeros(29)
    for index, value in ((0, -0.1), (6, -0.1), (3, 0.3), (9, 0.3), (4, -0.2), (10, -0.2), (15, 0.3), (22, 0.3),
                         (16, 0.25), (23, -0.25), (18, 0.97), (25, 0.97), (19, 0.15), (26, -0.15)):  # fmt: skip
        default[index] = value

    def independent(references, states, actions, window):
        terms = [
            [0.2 * s.gyro_b for s in states], [matrix(s.quat_w).T @ DOWN for s in states],
            [np.clip(walking_command(r), [-0.5, -0.3, -0.2], [1.0, 0.3, 0.2]) for r in references],
            [(s.q - default)[ISAAC] for s in states], [0.05 * s.dq[ISAAC] for s in states], actions,
        ]  # fmt: skip
        return np.concatenate([lagged(term, (4, 3, 2, 1, 0), term[0]) for term in terms])

    compare(card, MODEL, np.random.default_rng(7), make_reference, make_state, independent, with_window=False)


def test_unitree_rl_gym_47_and_its_clock(make_reference, make_state):
    card = load_card(shipped_cards(MODEL)["unitree_rl_gym"])
    default = np.array([-0.1, 0, 0, 0.3, -0.2, 0] * 2)

    def independent(references, states, actions, window):
        state, angle = states[-1], 2 * math.pi * (len(states) - 1) * 0.02 / 0.8
        clipped = np.clip(walking_command(references[-1]), [-0.8, -0.5, -1.57], [0.8, 0.5, 1.57])
        return np.concatenate([
            0.25 * state.gyro_b, matrix(state.quat_w).T @ DOWN, clipped * [2, 2, 0.25], state.q[:12] - default,
            0.05 * state.dq[:12], actions[-1], [math.sin(angle), math.cos(angle)],
        ])  # fmt: skip

    compare(card, MODEL, np.random.default_rng(8), make_reference, make_state, independent, with_window=False)


def test_omnih2o_1665_with_torso_imu_and_points(make_reference, make_state):
    """The torso joint turns about the vertical; points through MuJoCo's own kinematics, velocities by a small step."""
    card = load_card(shipped_cards(H1)["omnih2o"])
    order = [H1.joint_names.index(name) for name in card.state_joints]
    torso = H1.joint_names.index("torso_joint")
    mj = mujoco.MjModel.from_xml_path(str(H1.mjcf))
    data = mujoco.MjData(mj)
    places = [mj.joint(name).qposadr[0] for name in H1.joint_names]
    root = mj.jnt_qposadr[mj.body(H1.root_body).jntadr[0]]
    points = (("left_elbow_link", (0.3, 0, 0)), ("right_elbow_link", (0.3, 0, 0)), ("pelvis", (0, 0, 0.75)))

    def where(pos, quat, q):
        data.qpos[root : root + 3], data.qpos[root + 3 : root + 7] = pos, quat
        data.qpos[places] = q
        mujoco.mj_kinematics(mj, data)
        return np.array([data.body(b).xpos + data.body(b).xmat.reshape(3, 3) @ offset for b, offset in points])

    def after(reference, seconds):
        quat = np.array(reference.root_quat_w)
        mujoco.mju_quatIntegrate(quat, matrix(reference.root_quat_w).T @ reference.root_ang_vel_w, seconds)
        pos = reference.root_pos_w + seconds * reference.root_lin_vel_w
        return where(pos, quat, reference.q + seconds * reference.dq)

    def proprioception(state):
        turn = yaw_matrix(state.q[torso])
        gyro = turn.T @ state.gyro_b + [0, 0, state.dq[torso]]
        return [state.q[order], state.dq[order], gyro, turn.T @ matrix(state.quat_w).T @ DOWN]

    frames = []

    def independent(references, states, actions, window):
        reference, state = references[-1], states[-1]
        level = yaw_matrix(yaw(matrix(state.quat_w)))
        robot, wanted = where(state.root_pos_w, state.quat_w, state.q), after(reference, 0.0)
        velocity = (after(reference, 1e-6) - after(reference, -1e-6)) / 2e-6
        own = proprioception(state)
        history = [*reversed(frames), *[np.zeros(63)] * 25][:25]
        frames.append(np.concatenate([*own, actions[-1]]))
        task = [(wanted - robot) @ level, (wanted - state.root_pos_w) @ level, velocity @ level]
        return np.concatenate([*own, *[t.reshape(9) for t in task], actions[-1], *history])

    compare(card, H1, np.random.default_rng(9), make_reference, make_state, independent, with_window=False)


def test_layouts_are_no_cards_until_their_hash_is_filled_in():
    names = {path.stem for path in Path(LAYOUTS).glob("*.toml")}
    assert names == {"gentle_humanoid", "motion_tracking", "sonic_low_latency"}
    assert not names & set(shipped_cards(MODEL))
    assert all(load_card(LAYOUTS / f"{name}.toml").model.sha256 == "0" * 64 for name in names)
