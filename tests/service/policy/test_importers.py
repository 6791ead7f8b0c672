"""Somebody else's description -> a card that says where each number came from, or one sentence."""

from __future__ import annotations

import pickle
import re
import zipfile
from dataclasses import replace

import msgspec
import numpy as np
import onnxruntime
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.card_writer import card_text
from teleopd.service.policy.errors import BadCard, CannotImport, MetadataConflict, WrongRate
from teleopd.service.policy.importers.auto import Answers, _check_agreement, import_any
from teleopd.service.policy.importers.deploy_yaml import read_yaml
from teleopd.service.policy.importers.holosoma import import_holosoma
from teleopd.service.policy.importers.onnx_metadata import import_metadata
from teleopd.service.policy.importers.torchscript import convert
from teleopd.service.policy.library import resolve
from teleopd.service.policy.onnx_file import read_onnx
from teleopd.service.policy.runtime import PolicyRuntime

METADATA = {
    "joint_names": "b,c,a", "joint_stiffness": "2.0,3.0,1.0", "joint_damping": "0.2,0.3,0.1", "run_path": "r1",
    "default_joint_pos": "0.2,0.3,0.1", "action_scale": "0.5", "anchor_body_name": "torso_link",
    "command_names": "twist", "observation_names": "base_ang_vel,command,joint_pos,actions",
}  # fmt: skip


def refusal(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@pytest.fixture
def onnx_of(tmp_path, fused, with_metadata):
    """An ONNX of 12 inputs and 3 outputs with some metadata."""

    def make(metadata, width=12, **more):
        path = tmp_path / "exported" / "p.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(with_metadata(fused({"obs": np.zeros((width, 3)), **more}, 3), metadata))
        return read_onnx(path)

    return make


def test_metadata_become_a_card(onnx_of, tripod):
    imported = import_metadata(onnx_of(METADATA), tripod)
    card = imported.card
    assert (card.action_joints, card.role, card.model.input_width) == (("b", "c", "a"), "velocity", 12)
    np.testing.assert_array_equal(card.per_joint(card.gains.real.kp, ("a", "b", "c")), [1, 2, 3])
    np.testing.assert_array_equal(card.per_joint(card.gains.sim.kd, ("a", "b", "c")), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(card.default_of(("a", "b", "c")), [0.1, 0.2, 0.3])
    kinds = [(type(block).__name__, getattr(block, "frame", "")) for block in card.observation]
    assert kinds == [
        ("Gyro", ""), ("ReferenceLinVel", "heading"), ("ReferenceAngVel", "heading"), ("Q", ""), ("LastAction", "")
    ]  # fmt: skip
    assert imported.notes[1] == "kp: ONNX metadata joint_stiffness"
    assert "mapped by name" in imported.notes[0]
    again = parse_card(card_text(card, imported.notes), "again.toml")
    assert again.observation == card.observation
    assert again.model == card.model


UNUSABLE = [
    (CannotImport, {"joint_damping": ""}, "its metadata lack joint_damping"),
    (CannotImport, {"joint_stiffness": "1,2"}, "joint_stiffness has 2 values for 3 joints"),
    (CannotImport, {"joint_names": "b,c,d"}, "its joint 'd' is not one of tripod"),
    (CannotImport, {"observation_names": "base_ang_vel,joint_poss"}, "unknown term 'joint_poss' in the metadata's "
     "observation_names; did you mean 'joint_pos'?"),
    (BadCard, {"joint_stiffness": "1.0,0.0,1.0"}, "gains.sim.kp of c is 0, must be above 0"),
    (BadCard, {"joint_damping": "-0.0"}, "gains.sim.kd of b is -0, must be above 0"),
    (BadCard, {"joint_damping": "0.1,x,0.1"}, "gains.sim.kd.c is nan, must be finite"),
    (BadCard, {"observation_names": "base_ang_vel"}, "the observation blocks add up to 3, model.input_width is 12"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "change", "problem"), UNUSABLE, ids=[row[2][:40] for row in UNUSABLE])
def test_metadata_that_cannot_be_used(onnx_of, tripod, error, change, problem):
    with pytest.raises(error, match=re.escape(problem)):
        import_metadata(onnx_of(METADATA | change), tripod)


DEPLOY = """
joint_ids_map: [1, 2, 0]
step_dt: 0.02
stiffness: [1.0, 2.0, 3.0]
damping: [0.1, 0.2, 0.3]
default_joint_pos: [0.2, 0.3, 0.1]
commands: {base_velocity: {ranges: {lin_vel_x: [-0.5, 1.0], lin_vel_y: null, ang_vel_z: [-1.0, 1.0]}}}
actions:
  JointPositionAction:
    {clip: null, scale: [0.5, 0.6, 0.7], offset: [0.2, 0.3, 0.1],
     joint_ids: !!python/object/apply:builtins.slice [null, null, null]}
observations:
  base_ang_vel: {params: {}, clip: [-9.0, 9.0], scale: [0.2, 0.2, 0.2], history_length: 2}
  velocity_commands: {clip: null, scale: [2.0, 2.0, 0.25], history_length: 1}
  joint_pos_rel: {clip: null, scale: [1.0, 2.0, 3.0], history_length: 1}
"""


@pytest.fixture
def deploy(onnx_of, tripod):
    """A deploy.yaml with replacements, in Unitree's place beside the ONNX, imported."""
    pytest.importorskip("yaml", reason="the importer of deploy.yaml needs the package pyyaml")

    def make(*replacements, metadata=None, prefer=None):
        onnx = onnx_of(metadata or {})
        path = onnx.path.parent.parent / "params" / "deploy.yaml"
        path.parent.mkdir(exist_ok=True)
        text = DEPLOY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)
        return import_any(onnx, tripod, Answers(prefer))

    return make


def test_deploy_yaml_becomes_a_card(deploy):
    """Gains are in motor order (a b c), everything else in the policy's (b c a)."""
    card = deploy().card
    assert card.action_joints == ("b", "c", "a")
    np.testing.assert_array_equal(card.per_joint(card.gains.sim.kp, ("a", "b", "c")), [1, 2, 3])
    np.testing.assert_array_equal(card.default_of(("a", "b", "c")), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(card.per_joint(card.action.scale, ("a", "b", "c")), [0.7, 0.5, 0.6])
    gyro, history, x, y, z, q = card.observation
    assert (gyro.hidden, gyro.clip, gyro.scale) == (True, (-9.0, 9.0), 0.2)
    assert (history.length, history.present, history.order, history.fill) == (2, True, "oldest_first", "current")
    assert [(block.axes, block.scale, block.clip) for block in (x, y, z)] == [
        ("x", 2.0, (-0.5, 1.0)), ("y", 2.0, None), ("z", 0.25, (-1.0, 1.0))
    ]  # fmt: skip
    assert q.scale == (1.0, 2.0, 3.0)


WRONG_YAML = [
    (CannotImport, "[1, 2, 0]", "[1, 2]", "joint_ids_map names 2 motors up to 2, tripod has 3"),
    (WrongRate, "step_dt: 0.02", "step_dt: 0.01", "says 100 Hz, the control loop runs at 50 Hz"),
    (CannotImport, "{clip: null, scale: [0.5", "{clip: 1.0, scale: [0.5", "JointPositionAction.clip is 1.0"),
    (CannotImport, "offset: [0.2,", "offset: [0.0,", "action offset of b is 0, default_joint_pos 0.2: must agree"),
    (CannotImport, "base_ang_vel", "base_ang_val", "unknown term 'base_ang_val' in deploy.yaml; did you mean"),
    (CannotImport, "[null, null, null]", "[0, 2, 1]", "a slice of some joints is not supported"),
    (CannotImport, "builtins.slice [null, null, null]", "os.system ['true']", "could not determine a constructor"),
    (BadCard, "stiffness: [1.0,", "stiffness: [0.0,", "gains.sim.kp of a is 0, must be above 0"),
    (BadCard, "history_length: 2", "history_length: 3", "the observation blocks add up to 15, model.input_width is 12"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "old", "new", "problem"), WRONG_YAML, ids=[row[3][:40] for row in WRONG_YAML])
def test_a_deploy_yaml_that_cannot_be_used(deploy, error, old, new, problem):
    with pytest.raises(error, match=re.escape(problem)):
        deploy((old, new))


def test_two_sources_that_disagree_are_refused_until_one_is_named(deploy):
    other = METADATA | {"joint_stiffness": "2.0,3.0,7.0", "action_scale": "0.5,0.6,0.7"}
    message = "card 'deploy.yaml' says kp of a 1, the ONNX metadata say 7; say which is meant with --prefer"
    with refusal(MetadataConflict, message):
        deploy(metadata=other)
    by_yaml = deploy(metadata=other, prefer="deploy_yaml").card
    assert by_yaml.per_joint(by_yaml.gains.sim.kp, ("a",)) == [1.0]
    assert by_yaml.gains.sim.over_metadata
    by_metadata = deploy(metadata=other, prefer="metadata").card
    assert by_metadata.per_joint(by_metadata.gains.sim.kp, ("a",)) == [7.0]


def test_two_sources_with_other_joints_are_refused(deploy):
    card = deploy().card
    for joints, message in (
        (("b", "c"), "joints of the action: 3, the ONNX metadata say 2; say which is meant with --prefer"),
        (("b", "a", "c"), "joint 1 is c, the ONNX metadata say a; say which is meant with --prefer"),
    ):
        with refusal(MetadataConflict, f"card 'deploy.yaml' says {message}"):
            other = msgspec.structs.replace(card.joints, action=joints)
            _check_agreement(card, msgspec.structs.replace(card, joints=other))


def test_yaml_without_pyyaml_is_one_sentence(tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("teleopd.service.policy.importers.deploy_yaml.importlib.import_module", absent)
    with refusal(CannotImport, f"{tmp_path} cannot be imported: reading YAML needs the package pyyaml: "
                               "pip install 'teleopd[import]'"):  # fmt: skip
        read_yaml(tmp_path)


def test_holosoma_needs_what_its_file_does_not_say(onnx_of, tripod):
    """Its terms go in alphabetical order; a missing action scale is asked for, never guessed."""
    onnx = onnx_of({"dof_names": '["a", "b", "c"]', "kp": "[1, 2, 3]", "kd": "[1, 1, 1]"})
    with pytest.raises(CannotImport, match="only the whole-body tracker"):
        import_holosoma(onnx, tripod)
    motion = {"time_step": (1, 1)}
    outputs = {name: (1, 3) for name in ("joint_pos", "joint_vel", "ref_pos_xyz")} | {"ref_quat_xyzw": (1, 4)}
    onnx = replace(onnx, inputs={**onnx.inputs, **motion}, outputs={**onnx.outputs, **outputs})
    with pytest.raises(CannotImport, match="do not say the action scale: give it with --action-scale$"):
        import_holosoma(onnx, tripod)
    with pytest.raises(CannotImport, match="do not say the default pose: give it with --default-pose$"):
        import_holosoma(onnx, tripod, action_scale=1.0)
    config = '{"robot": {"control": {"action_scale": 0.25}}}'
    noted = replace(onnx, metadata={**onnx.metadata, "experiment_config": config})
    with pytest.raises(CannotImport, match=r"action scale 1 was given, its experiment_config says 0\.25$"):
        import_holosoma(noted, tripod, action_scale=1.0)
    with pytest.raises(CannotImport, match="its metadata 'kp' are no JSON list$"):
        import_holosoma(replace(onnx, metadata={**onnx.metadata, "kp": "1,2,3"}), tripod)


def test_an_unknown_file_is_not_imported(onnx_of, tripod):
    assert import_any(onnx_of({}), tripod) is None


def torchscript(tmp_path, tree: bytes):
    path = tmp_path / "motion.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", tree)
    return path


def test_a_torchscript_file_runs_nothing(tmp_path):
    """A pickle that calls os.system is refused by name, as is everything that is no tensor or module."""
    path = torchscript(tmp_path, b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(CannotImport, match=r"not readable as TorchScript: os\.system is not allowed$"):
        convert(path)
    with pytest.raises(CannotImport, match="it has no weights 'memory.weight_ih_l0'"):
        convert(torchscript(tmp_path, pickle.dumps({"a": 1})))
    (tmp_path / "motion.pt").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(CannotImport, match="not readable as TorchScript"):
        convert(tmp_path / "motion.pt")


@pytest.mark.parametrize(("robot", "width"), [("g1", 47), ("h1", 41), ("h1_2", 47)])
def test_unitree_rl_gym_converts_to_what_torch_would_compute(shared_data, robot, width):
    """Two ticks against the LSTM written out: gates i f g o, actor ELU; the zip is read by numpy alone."""
    path = shared_data / "policies" / "unitree_rl_gym" / "pre_train" / robot / "motion.pt"
    content = convert(path)
    assert content == convert(path)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with zipfile.ZipFile(path) as archive:
        raw = {i: np.frombuffer(archive.read(f"policy_lstm_1/data/{i}"), "<f4").astype(float) for i in range(2, 10)}
    w0, b0, w1, b1 = raw[2].reshape(32, 64), raw[3], raw[4].reshape(-1, 32), raw[5]
    w, r, bias = raw[6].reshape(256, width), raw[7].reshape(256, 64), raw[8] + raw[9]
    h, c = np.zeros(64), np.zeros(64)
    state = {name: np.zeros((1, 1, 64), np.float32) for name in ("h_in", "c_in")}
    rng = np.random.default_rng(1)
    for _ in range(2):
        x = rng.normal(size=width).astype(np.float32)
        i, f, g, o = np.split(w @ x + r @ h + bias, 4)
        sigmoid = [1 / (1 + np.exp(-gate)) for gate in (i, f, o)]
        c = sigmoid[1] * c + sigmoid[0] * np.tanh(g)
        h = sigmoid[2] * np.tanh(c)
        hidden = w0 @ h + b0
        wanted = w1 @ np.where(hidden > 0, hidden, np.exp(hidden) - 1) + b1
        action, h_out, c_out = session.run(["actions", "h_out", "c_out"], {"obs": x[None], **state})
        np.testing.assert_allclose(action[0], wanted, atol=1e-5)
        state = {"h_in": h_out, "c_in": c_out}


def test_beyondmimic_is_imported_from_its_metadata(shared_data, tmp_path):
    """Copied away from the shipped card's hash by one more metadata entry; the swapped gains are then refused."""
    content = (shared_data / "policies" / "beyondmimic" / "Jump_wose.onnx").read_bytes()
    path = tmp_path / "jump.onnx"
    path.write_bytes(content + b"\x72\x06\x0a\x01x\x12\x01y")
    found = resolve(str(path), MODEL)
    assert found is not None
    assert "kp: ONNX metadata joint_stiffness" in found.notes
    assert "motion: inside the ONNX, 165 steps found by running it" in found.notes
    assert found.card.state_joints[:3] == ("left_hip_pitch_joint", "right_hip_pitch_joint", "waist_yaw_joint")
    assert PolicyRuntime(found.card, path, MODEL, link="sim").clip_progress == (0, 165)
    edited = msgspec.to_builtins(found.card)
    edited["gains"]["sim"]["kp"]["left_knee_joint"] = 150.0
    card = msgspec.convert(edited, type(found.card))
    with pytest.raises(MetadataConflict, match="says sim kp of left_knee_joint 150, the ONNX metadata say 99.098; "):
        PolicyRuntime(card, path, MODEL, link="sim")
