"""Everything a network may want or give beside one observation and one action."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.errors import (
    DataAbsent,
    HashMismatch,
    MetadataConflict,
    NeedsOdometry,
    NonFiniteWeights,
    NotOnnx,
    WrongArmature,
    WrongWidth,
)
from teleopd.service.policy.kinematics import armature_of
from teleopd.service.policy.onnx_file import check_weights, read_onnx
from teleopd.service.policy.runtime import PolicyRuntime
from teleopd.service.policy.setting import check_metadata


def refusal(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.fixture
def load(tiny, tripod, tmp_path):
    """The tripod's policy with another ONNX and a changed card."""

    def make(content, *replacements, **options):
        path = tmp_path / "tiny.onnx"
        text, _ = tiny(*replacements)
        path.write_bytes(content)
        before = re.search(r'sha256 = "([0-9a-f]{64})"', text)[1]
        text = text.replace(before, hashlib.sha256(content).hexdigest(), 1)
        return PolicyRuntime(parse_card(text, "tiny.toml"), path, tripod, link="sim", **options)

    return make


def extras(*entries):
    return ("[joints]", f"extras = [{', '.join(entries)}]\n[joints]")


def test_a_recurrent_state_is_fed_back_and_forgotten_at_reset(load, fused, make_reference, make_state):
    """h_out = h_in: the state stays what it is. With h_out = obs[:3] the action is the observation of a tick ago."""
    content = fused(
        {"obs": np.zeros((9, 3)), "h_in": np.eye(9)[:, 3:6]}, 3, passed={"h_out": "obs"}, shapes={"h_in": (1, 9)}
    )
    policy = load(content, extras("{ input = 'h_in', source = 'recurrent', shape = [1, 9], output = 'h_out' }"))
    for _ in range(2):
        policy.reset()
        previous = np.zeros(3)
        for tick in range(1, 4):
            q = np.array([tick, 2.0 * tick, 3.0 * tick])
            output = policy.step(make_reference(3), make_state(3, q=q))
            np.testing.assert_array_equal(output.action, previous)
            previous = q


def test_an_unhealthy_tick_leaves_the_recurrent_state_alone(load, fused, make_reference, make_state):
    content = fused(
        {"obs": np.zeros((9, 3)), "h_in": np.eye(9)[:, 3:6]}, 3, passed={"h_out": "obs"}, shapes={"h_in": (1, 9)}
    )
    policy = load(content, extras("{ input = 'h_in', source = 'recurrent', shape = [1, 9], output = 'h_out' }"))
    policy.step(make_reference(3), make_state(3, q=np.array([1.0, 2.0, 3.0])))
    assert not policy.step(make_reference(3), make_state(3, q=np.full(3, np.nan))).healthy
    output = policy.step(make_reference(3), make_state(3, q=np.full(3, 9.0)))
    np.testing.assert_array_equal(output.action, [1.0, 2.0, 3.0])


def test_a_rehearsal_changes_no_later_answer(load, fused, make_reference, make_state):
    """With a state that adds up what was observed, a rehearsal that counted would show in every later action."""
    content = fused(
        {"obs": np.zeros((9, 3)), "h_in": np.eye(9)[:, 3:6]}, 3, passed={"h_out": "obs"}, shapes={"h_in": (1, 9)}
    )
    policy = load(content, extras("{ input = 'h_in', source = 'recurrent', shape = [1, 9], output = 'h_out' }"))

    def actions(rehearsals):
        policy.reset()
        answers = []
        for tick in range(4):
            for _ in range(rehearsals):
                policy.rehearse()
            output = policy.step(make_reference(3), make_state(3, q=np.array([tick, 2.0 * tick, 3.0 * tick])))
            answers.append((output.healthy, output.action.tolist(), output.q.tolist()))
        return answers

    assert actions(2) == actions(0)


def test_a_rehearsal_that_fails_is_left_to_the_next_tick(load, fused, make_reference, make_state, monkeypatch):
    policy = load(fused({"obs": np.zeros((9, 3))}, 3))

    def broken():
        raise RuntimeError("out of memory")

    monkeypatch.setattr(policy._network, "rehearse", broken)
    policy.rehearse()
    assert policy.step(make_reference(3), make_state(3)).healthy


def test_the_observation_is_divided_between_inputs(load, fused, make_reference, make_state):
    """Nine values: the first six into obs, the last three (the fed-back action, here 0) into more, plus q of a."""
    content = fused({"obs": np.eye(6)[:, 3:6], "more": np.eye(3) * 0.5}, 3, bias=np.array([1.0, 0.0, 0.0]))
    policy = load(
        content, ("input_width = 9", "input_width = 6"),
        extras("{ input = 'more', source = 'observation', shape = [1, 3] }"),
    )  # fmt: skip
    state = make_state(3, q=np.array([4.0, 5.0, 6.0]))
    np.testing.assert_array_equal(policy.step(make_reference(3), state).action, [5.0, 5.0, 6.0])
    np.testing.assert_array_equal(policy.step(make_reference(3), state).action, [7.5, 7.5, 9.0])


def test_constants_and_the_first_tick_are_given(load, fused, make_reference, make_state):
    content = fused({"obs": np.zeros((9, 3)), "gain": np.eye(3)[:1], "first": np.eye(3)[1:2]}, 3)
    policy = load(
        content,
        extras("{ input = 'gain', source = 'constant', shape = [1, 1], value = 2.5 }",
               "{ input = 'first', source = 'first_tick', shape = [1, 1] }"),
    )  # fmt: skip
    policy.reset()
    assert policy.step(make_reference(3), make_state(3)).action.tolist() == [2.5, 1.0, 0.0]
    assert policy.step(make_reference(3), make_state(3)).action.tolist() == [2.5, 0.0, 0.0]
    policy.reset()
    assert policy.step(make_reference(3), make_state(3)).action.tolist() == [2.5, 1.0, 0.0]


COMPLIANCE = ("[gains.sim]", "[compliance]\nlower_n = 5\nupper_n = 15\ndefault_n = 10\n[gains.sim]")


def test_a_force_limit_is_an_input_held_within_the_cards_range(load, fused, make_reference, make_state):
    content = fused({"obs": np.zeros((9, 3)), "limit": np.eye(3)[:1]}, 3)
    policy = load(content, extras("{ input = 'limit', source = 'force_limit', shape = [1, 1] }"), COMPLIANCE)
    seen = []
    for newton in (None, 7.0, 3.0, 99.0, float("nan")):
        policy.set_force_limit(newton)
        seen.append(float(policy.step(make_reference(3), make_state(3)).action[0]))
    assert seen == [0.0, 7.0, 5.0, 15.0, 15.0]
    assert policy.force_limit_n == 15.0


def test_a_policy_without_a_force_limit_ignores_one(load, fused):
    policy = load(fused({"obs": np.zeros((9, 3))}, 3))
    policy.set_force_limit(7.0)
    assert policy.force_limit_n is None


def test_inputs_that_do_not_fit_are_refused_with_both_values(load, fused):
    content = fused({"obs": np.zeros((9, 3)), "h": np.zeros((4, 3))}, 3)
    with refusal(WrongWidth, "card 'tiny' says input 'h' is tensor(float) [1, 5], the ONNX has tensor(float) [1, 4]"):
        load(content, extras("{ input = 'h', source = 'constant', shape = [1, 5] }"))
    with refusal(WrongWidth, "card 'tiny' says an input is called 'k', the ONNX has 'obs'"):
        load(fused({"obs": np.zeros((9, 3))}, 3), extras("{ input = 'k', source = 'constant', shape = [1, 5] }"))
    with refusal(WrongWidth, "card 'tiny' says an output is called 'h_out', the ONNX has 'actions'"):
        load(content, extras("{ input = 'h', source = 'recurrent', shape = [1, 4], output = 'h_out' }"))


def smoothed(stage):
    return ("[gains.sim]", f"[action.smoothing]\nalpha = 0.8\nstage = '{stage}'\n[gains.sim]")


@pytest.mark.parametrize(
    ("stage", "first", "second"),
    [("before_clip", 10.0, 10.0), ("after_clip", 8.0, 9.6)],
)
def test_the_moving_average(load, fused, make_reference, make_state, stage, first, second):
    """Output 30, clip 10, alpha 0.8. Averaged first: 24 then 0.8*30 + 0.2*10, both clipped; averaged after: 8, 9.6."""
    content = fused({"obs": np.zeros((9, 3))}, 3, bias=np.array([30.0, 0.0, 0.0]))
    policy = load(content, smoothed(stage), ('feedback = "raw"', 'feedback = "filtered"'))
    for wanted in (first, second):
        output = policy.step(make_reference(3), make_state(3))
        assert output.q[1] == pytest.approx(0.2 + 0.5 * wanted, abs=1e-6)
        assert policy._actions.fed_back[0] == pytest.approx(wanted, abs=1e-6)
        assert output.action[0] == 30.0


@pytest.mark.parametrize(("follow", "wanted"), [("reference", 7.0), ("default_pose", 0.1)])
def test_joints_that_the_network_leaves_alone(load, fused, make_reference, make_state, follow, wanted):
    content = fused({"obs": np.zeros((8, 2))}, 2, bias=np.array([1.0, 2.0]))
    policy = load(
        content,
        ('action = ["b", "c", "a"]', f'action = ["b", "c"]\n[joints.rest]\njoints = ["a"]\nfollow = "{follow}"'),
        ("input_width = 9", "input_width = 8"), ("output_width = 3", "output_width = 2"),
    )  # fmt: skip
    output = policy.step(make_reference(3, q=np.array([7.0, 8.0, 9.0])), make_state(3))
    np.testing.assert_allclose(output.q, [wanted, 0.2 + 0.5, 0.3 + 1.0], atol=1e-12)
    np.testing.assert_array_equal(policy.kp, [1.0, 2.0, 3.0])


def test_an_encoder_runs_first(load, fused, tmp_path, make_reference, make_state):
    """The first three values (reference c a b) become a token of two: their sum and c; the policy adds q of a."""
    encoder = fused({"x": np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])}, 2, output="token")
    (tmp_path / "encoder.onnx").write_bytes(encoder)
    weights = np.zeros((8, 3))
    weights[0, 0] = weights[1, 1] = weights[2, 2] = 1.0
    section = (
        f'[encoder]\nfile = "encoder.onnx"\nsha256 = "{hashlib.sha256(encoder).hexdigest()}"\nopset = 13\n'
        'input = "x"\noutput = "token"\ninput_width = 3\noutput_width = 2\n[joints]'
    )
    policy = load(fused({"obs": weights}, 3), ("input_width = 9", "input_width = 8"), ("[joints]", section))
    reference, state = make_reference(3, q=np.array([1.0, 2.0, 4.0])), make_state(3, q=np.array([9.0, 0.0, 0.0]))
    assert policy.step(reference, state).action.tolist() == [7.0, 4.0, 9.0]
    (tmp_path / "encoder.onnx").write_bytes(encoder + b"\x12\x01x")
    with pytest.raises(HashMismatch, match="encoder.onnx has "):
        load(fused({"obs": weights}, 3), ("input_width = 9", "input_width = 8"), ("[joints]", section))


def test_odometry_is_refused_where_nothing_measures_it(tiny, tripod):
    text, path = tiny(("odometry = false", "odometry = true"))
    card = parse_card(text, "tiny.toml")
    PolicyRuntime(card, path, tripod, link="sim")
    PolicyRuntime(card, path, tripod, link="dds", odometry=True)
    message = (
        "card 'tiny' needs odometry (position and velocity of the root), the link 'dds' has none: "
        "run it in simulation, or with motion capture of the robot"
    )
    with refusal(NeedsOdometry, message):
        PolicyRuntime(card, path, tripod, link="dds")


def test_another_rotor_inertia_is_refused_in_simulation(tiny, tripod):
    joints = "".join(f'<body><joint name="{name}" armature="0.01"/><geom size=".1"/></body>' for name in "abc")
    tripod.mjcf.write_text(f"<mujoco><worldbody>{joints}</worldbody></mujoco>")
    armature_of.cache_clear()
    text, path = tiny(("default_pose =", "armature = {a = 0.02, b = 0.01, c = 0.0099}\ndefault_pose ="))
    PolicyRuntime(parse_card(text, "t"), path, tripod, link="sim")
    text = text.replace("b = 0.01", "b = 0.04", 1)
    PolicyRuntime(parse_card(text, "t"), path, tripod, link="dds")
    message = (
        "card 'tiny' says armature 0.04 kg m^2 at b, the robot's MJCF has 0.01: "
        "a policy trained with one falls with the other"
    )
    with refusal(WrongArmature, message):
        PolicyRuntime(parse_card(text, "t"), path, tripod, link="sim")


GOOD = {
    "joint_names": "b,c,a", "joint_stiffness": "2.000,3.000,1.000", "joint_damping": "0.500,0.500,0.500",
    "default_joint_pos": "0.200,0.300,0.100", "action_scale": "0.500",
}  # fmt: skip
OVER = "; if the card is right, write over_metadata = true into gains.sim"
CONFLICTS = [
    ({"joint_names": "b,a,c"}, "joint 1 of the action is c, the ONNX metadata say a"),
    ({"joint_names": "b,c"}, "joints of the action: 3, the ONNX metadata say 2"),
    ({"joint_stiffness": "2.0,3.0,99.0"}, f"sim kp of a 1, the ONNX metadata say 99{OVER}"),
    ({"joint_damping": "0.5,0.5,-0.0"}, f"sim kd of a 0.5, the ONNX metadata say -0{OVER}"),
    ({"default_joint_pos": "0.2,0.3,0.2"}, "default joint pos of a 0.1, the ONNX metadata say 0.2"),
    ({"action_scale": "0.25"}, "action scale of b 0.5, the ONNX metadata say 0.25"),
]


@pytest.fixture
def alike(tiny):
    """The tripod's card with the same gains in both sets."""
    return tiny(
        ("kp = 40.0", 'kp = {"a" = 1.0, "b" = 2.0, "c" = 3.0}'), ('kd = {"a" = 4.0, "[bc]" = 5.0}', "kd = 0.5")
    )  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CONFLICTS, ids=[row[1][:40] for row in CONFLICTS])
def test_metadata_that_contradict_the_card_are_refused(alike, with_metadata, change, message):
    text, path = alike
    path.write_bytes(with_metadata(path.read_bytes(), GOOD | change))
    with refusal(MetadataConflict, f"card 'tiny' says {message}"):
        check_metadata(parse_card(text, "t"), read_onnx(path))


def test_metadata_that_agree_or_are_overruled_on_purpose(alike, with_metadata):
    text, path = alike
    plain = path.read_bytes()
    path.write_bytes(with_metadata(plain, GOOD))
    check_metadata(parse_card(text, "t"), read_onnx(path))
    path.write_bytes(with_metadata(plain, GOOD | {"joint_stiffness": "1.0"}))
    meant = text.replace('reason = "why not"', 'reason = "why not"\nover_metadata = true')
    check_metadata(parse_card(meant, "t"), read_onnx(path))
    with pytest.raises(MetadataConflict):
        check_metadata(parse_card(text, "t"), read_onnx(path))


def test_metadata_inputs_and_outputs_are_read(tmp_path, fused, with_metadata):
    path = tmp_path / "a.onnx"
    content = fused({"obs": np.zeros((9, 3)), "h": np.zeros((4, 3))}, 3, passed={"h_out": "h"}, shapes={"h": (1, 2, 2)})
    path.write_bytes(with_metadata(content, {"kp": "[1, 2]", "empty": ""}))
    onnx = read_onnx(path)
    assert onnx.metadata == {"kp": "[1, 2]", "empty": ""}
    assert onnx.inputs == {"obs": (1, 9), "h": (1, 2, 2)}
    assert onnx.outputs == {"actions": (1, 3), "h_out": (1, 2, 2)}


def test_a_nan_weight_that_no_output_shows_is_refused(tmp_path, write_onnx):
    """Weights are read from the file, because a dead unit can hide a NaN from every run."""
    path = tmp_path / "a.onnx"
    weights = np.ones((9, 3))
    write_onnx(path, weights, np.zeros(3))
    check_weights(read_onnx(path))
    weights[2, 1] = np.nan
    weights[3, 1] = np.inf
    write_onnx(path, weights, np.zeros(3))
    with refusal(NonFiniteWeights, f"{path} has 2 non-finite values of 27 in the weights 'w'"):
        check_weights(read_onnx(path))


def external(location: bytes, size: int) -> bytes:
    """An ONNX whose weights [9, 3] lie elsewhere: TensorProto external_data 13 (key 1, value 2), data_location 14."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    pairs = {b"location": location, b"offset": b"0", b"length": str(size).encode()}
    weights = b"\x08\x09\x08\x03\x10\x01" + field(8, b"w")
    weights += b"".join(field(13, field(1, key) + field(2, value)) for key, value in pairs.items()) + b"\x70\x01"
    node = field(1, b"obs") + field(1, b"w") + field(2, b"actions") + field(4, b"MatMul")
    shape = {}
    for name, size in ((b"obs", 9), (b"actions", 3)):
        dims = b"\x0a\x02\x08\x01" + field(1, bytes([8, size]))
        shape[name] = field(1, name) + field(2, field(1, b"\x08\x01" + field(2, dims)))
    graph = field(1, node) + field(2, b"g") + b"\x2a" + len(weights).to_bytes(1, "big") + weights
    graph += field(11, shape[b"obs"]) + field(12, shape[b"actions"])
    return b"\x08\x08\x3a" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph + b"\x42\x04\x0a\x00\x10\x0d"


def test_weights_in_a_file_beside_it(load, tmp_path, make_reference, make_state):
    weights = np.arange(27, dtype="<f4").reshape(9, 3)
    data = weights.tobytes()
    content = external(b"tiny.onnx.data", len(data))
    entry = f"data = [{{ file = 'tiny.onnx.data', sha256 = '{hashlib.sha256(data).hexdigest()}' }}]\n[joints]"
    with refusal(
        DataAbsent,
        f"{tmp_path / 'tiny.onnx'} keeps its weights in 'tiny.onnx.data', which is not beside it: "
        f"put it into {tmp_path}",
    ):
        load(content, ("[joints]", entry))
    (tmp_path / "tiny.onnx.data").write_bytes(data)
    policy = load(content, ("[joints]", entry))
    output = policy.step(make_reference(3), make_state(3, q=np.array([1.0, 0.0, 0.0])))
    np.testing.assert_array_equal(output.action, weights[3])
    with refusal(WrongWidth, "card 'tiny' says weights in the files none, the ONNX has tiny.onnx.data"):
        load(content)
    (tmp_path / "tiny.onnx.data").write_bytes(data[:-4] + np.array([np.nan], "<f4").tobytes())
    with pytest.raises(HashMismatch, match=r"tiny\.onnx\.data has "):
        load(content, ("[joints]", entry))
    with refusal(NonFiniteWeights, f"{tmp_path / 'tiny.onnx'} has 1 non-finite values of 27 in the weights 'w'"):
        check_weights(read_onnx(tmp_path / "tiny.onnx"))


@pytest.mark.parametrize("location", [b"../secret", b"/etc/passwd", b"a/b", b".."])
def test_weights_may_only_lie_beside_the_file(tmp_path, location):
    (tmp_path / "tiny.onnx").write_bytes(external(location, 108))
    with pytest.raises(NotOnnx, match="which is not a file beside it$"):
        read_onnx(tmp_path / "tiny.onnx")
