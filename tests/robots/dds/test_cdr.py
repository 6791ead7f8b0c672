"""The raw message path against cyclonedds' own serialiser: byte for byte, field for field, for all robots."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.cdr import LOW_CMD, LOW_STATE, LowCmdDecoder, LowCmdEncoder, checksum_stored, modes_of
from teleopd.robots.links.dds.idl import MODULES, fields_of, message, zero
from teleopd.robots.links.dds.imu import pelvis_to_torso, torso_to_pelvis
from teleopd.robots.links.dds.low_state import LowStateDecoder, LowStateEncoder, rpy_of
from teleopd.robots.model import LowState, RobotModel

ROBOTS = ("unitree_g1", "unitree_h1", "unitree_h1_2")
SIZE = {"b": 1, "u16": 2, "i16": 2, "f32": 4, "u32": 4, "i32": 4, "i64": 8}


@pytest.fixture(params=ROBOTS)
def model(request: pytest.FixtureRequest) -> RobotModel:
    return load_robot(request.param)


def offsets(family: str, name: str, at: int = 0, path: str = "") -> tuple[dict[str, int], int]:
    """Offset of every leaf of a struct by the rules of XCDR1 (align to own size, never a struct's start); the end."""
    found: dict[str, int] = {}
    for field in fields_of(family, name):
        for i in range(1 if field.count is None else field.count):
            leaf = f"{path}{field.name}" + ("" if field.count is None else f"[{i}]")
            if field.kind in MODULES[family].TABLES:
                inner, at = offsets(family, field.kind, at, leaf + ".")
                found.update(inner)
            else:
                size = SIZE[field.kind]
                at = -(-at // size) * size
                found[leaf] = at
                at += size
    return found, at


@pytest.mark.parametrize("family", ["hg", "go"])
def test_layouts_follow_from_the_field_tables(family: str):
    cmd, end = offsets(family, "LowCmd_")
    layout = LOW_CMD[family]
    assert (layout.size, layout.crc) == (end, cmd["crc"])
    for i in range(layout.motors):
        assert cmd[f"motor_cmd[{i}].mode"] == (layout.mode_0 if i == 0 else layout.mode_1 + layout.stride * (i - 1))
        for k, name in enumerate(("q", "dq", "tau", "kp", "kd")):
            assert cmd[f"motor_cmd[{i}].{name}"] == layout.q + layout.stride * i + 4 * k
    assert cmd.get("mode_machine") == layout.mode_machine
    state, end = offsets(family, "LowState_")
    layout = LOW_STATE[family]
    assert (layout.size, layout.crc, layout.tick) == (end, state["crc"], state["tick"])
    assert (layout.imu, layout.remote) == (state["imu_state.quaternion[0]"], state["wireless_remote[0]"])
    assert layout.imu is not None and state["imu_state.rpy[2]"] == layout.imu + 48
    assert state.get("mode_machine") == layout.mode_machine
    columns = {"q": 0, "dq": 1, "tau_est": 3, **({"motorstate": 8, "temperature[0]": 4} if family == "hg" else {})}
    columns.update({"temperature": 7} if family == "go" else {})
    for i in range(layout.motors):
        assert state[f"motor_state[{i}].mode"] == (layout.mode_0 if i == 0 else layout.mode_1 + layout.stride * (i - 1))
        for name, k in columns.items():
            assert state[f"motor_state[{i}].{name}"] == layout.q + layout.stride * i + 4 * k


def command_oracle(model: RobotModel, machine: int, rows: np.ndarray) -> bytes:
    """The same command through the dataclasses and the public serialiser."""
    low = zero(model.wire, "LowCmd_")
    if model.wire == "go":
        low.head, low.level_flag = [0xFE, 0xEF], 0xFF
        for motor in low.motor_cmd:
            motor.q, motor.dq = 2.146e9, 16000.0
    else:
        low.mode_machine = machine
    for slot, (q, dq, tau, kp, kd) in zip(model.wire_slot, rows.T, strict=True):
        motor = low.motor_cmd[slot]
        motor.mode = 1 if model.wire == "hg" else (0x01 if slot >= 10 else 0x0A)
        motor.q, motor.dq, motor.tau, motor.kp, motor.kd = (float(value) for value in (q, dq, tau, kp, kd))
    low.crc = LOW_CMD[model.wire].checksum(low.serialize()[4:])
    return bytes(low.serialize())


def test_command_is_byte_identical_to_the_public_path(model: RobotModel):
    encoder = LowCmdEncoder(model)
    rng = np.random.default_rng(3)
    for _ in range(5):
        rows, machine = rng.normal(0.0, 20.0, (5, model.n)), int(rng.integers(0, 256))
        assert encoder.encode(machine, *rows) == command_oracle(model, machine, rows)


def test_command_is_read_back_in_motor_order(model: RobotModel):
    rows = np.random.default_rng(4).normal(0.0, 20.0, (5, model.n)).astype(np.float32).astype(np.float64)
    data = LowCmdEncoder(model).encode(5, *rows)
    assert checksum_stored(data, LOW_CMD[model.wire])
    heard = LowCmdDecoder(model).decode(data)
    for name, row in zip(("q", "dq", "tau", "kp", "kd"), rows, strict=True):
        assert np.array_equal(getattr(heard, name), row), name
    assert heard.enabled.all() and heard.mode_machine == (5 if model.wire == "hg" else -1)
    modes = modes_of(data, LOW_CMD[model.wire])
    assert sorted(np.flatnonzero(modes)) == sorted(model.wire_slot)


@pytest.mark.parametrize("byte", [0, 1, 40, 500])
def test_a_changed_byte_fails_the_checksum(model: RobotModel, byte: int):
    data = bytearray(LowCmdEncoder(model).encode(5, *np.ones((5, model.n))))
    data[4 + byte] ^= 0x10
    assert not checksum_stored(bytes(data), LOW_CMD[model.wire])


def random_state(family: str, seed: int) -> Any:
    """A LowState message in which every field has a value of its own."""
    rng = np.random.default_rng(seed)

    def fill(name: str) -> Any:
        values = {}
        for field in fields_of(family, name):
            kind = field.kind

            def one(kind: str = kind) -> Any:
                if kind in MODULES[family].TABLES:
                    return fill(kind)
                if kind == "f32":
                    return float(np.float32(rng.normal()))
                low, high = {"b": (0, 255), "i16": (-300, 300), "u16": (0, 65535), "u32": (0, 2**32 - 1),
                             "i32": (-(2**31), 2**31 - 1)}[kind]  # fmt: skip
                return int(rng.integers(low, high))

            values[field.name] = one() if field.count is None else [one() for _ in range(field.count)]
        return message(family, name)(**values)

    low = fill("LowState_")
    quat = rng.normal(size=4)
    low.imu_state.quaternion = [float(np.float32(v)) for v in quat / np.linalg.norm(quat)]
    low.crc = LOW_STATE[family].checksum(low.serialize()[4:])
    return low


def test_state_is_read_like_the_public_path(model: RobotModel):
    low = random_state(model.wire, 5)
    data = bytes(low.serialize())
    assert len(data) == 4 + LOW_STATE[model.wire].size and checksum_stored(data, LOW_STATE[model.wire])
    got = LowStateDecoder(model).decode(data, 77)
    motors = [low.motor_state[slot] for slot in model.wire_slot]
    assert (got.t_ns, got.tick) == (77, low.tick)
    assert got.q.tolist() == [motor.q for motor in motors]
    assert got.dq.tolist() == [motor.dq for motor in motors]
    assert got.tau.tolist() == [motor.tau_est for motor in motors]
    assert got.remote.tolist() == low.wireless_remote
    if model.wire == "hg":
        assert got.mode_machine == low.mode_machine
        assert got.temperature_c.tolist() == [max(motor.temperature) for motor in motors]
        assert got.motor_fault.tolist() == [motor.motorstate for motor in motors]
    else:
        assert got.mode_machine == model.default_mode_machine
        assert got.temperature_c.tolist() == [motor.temperature for motor in motors]
        assert not got.motor_fault.any()
    if model.name == "unitree_g1":
        assert got.quat_w.tolist() == low.imu_state.quaternion
        assert got.gyro_b.tolist() == low.imu_state.gyroscope
        assert got.accel_b.tolist() == low.imu_state.accelerometer
    for array in (got.q, got.dq, got.tau, got.quat_w, got.gyro_b, got.accel_b, got.temperature_c):
        assert array.dtype == np.float64


def state_of(model: RobotModel, seed: int) -> LowState:
    rng = np.random.default_rng(seed)
    n = model.n
    quat = rng.normal(size=4)
    fault = rng.integers(0, 2**31, n).astype(np.uint32) if model.wire == "hg" else np.zeros(n, np.uint32)
    return LowState(
        t_ns=9, tick=123456, mode_machine=model.default_mode_machine, q=rng.normal(size=n), dq=rng.normal(size=n),
        tau=rng.normal(size=n), quat_w=quat / np.linalg.norm(quat), gyro_b=rng.normal(size=3),
        accel_b=rng.normal(size=3), temperature_c=20.0 + np.arange(n), motor_fault=fault,
        remote=np.arange(40, dtype=np.uint8), has_odometry=False, root_pos_w=np.zeros(3), root_lin_vel_w=np.zeros(3),
    )  # fmt: skip


def test_state_crosses_there_and_back(model: RobotModel):
    sent = state_of(model, 6)
    data = LowStateEncoder(model).encode(sent)
    assert checksum_stored(data, LOW_STATE[model.wire])
    got = LowStateDecoder(model).decode(data, 9)
    for name, a, b in zip(sent._fields, sent, got, strict=True):
        assert b == pytest.approx(a, rel=2e-6, abs=2e-6), name
    low = message(model.wire, "LowState_").deserialize(data)
    assert low.imu_state.rpy == pytest.approx(rpy_of(np.array(low.imu_state.quaternion)), abs=1e-6)
    assert [low.motor_state[slot].mode for slot in model.wire_slot] == [1] * model.n


@pytest.mark.parametrize(("celsius", "hg", "go"), [(-40.4, -40, 0), (300.6, 301, 255), (35.5, 36, 36)])
def test_temperatures_stay_inside_their_field(celsius: float, hg: int, go: int):
    for name, expected in (("unitree_g1", hg), ("unitree_h1", go)):
        model = load_robot(name)
        sent = state_of(model, 7)._replace(temperature_c=np.full(model.n, celsius))
        got = LowStateDecoder(model).decode(LowStateEncoder(model).encode(sent), 0)
        assert got.temperature_c.tolist() == [expected] * model.n


def test_rpy_at_known_turns():
    half = np.sqrt(0.5)
    assert rpy_of(np.array([half, half, 0.0, 0.0])) == pytest.approx((np.pi / 2, 0.0, 0.0))
    assert rpy_of(np.array([half, 0.0, half, 0.0]))[1] == pytest.approx(np.pi / 2)
    assert rpy_of(np.array([half, 0.0, 0.0, half])) == pytest.approx((0.0, 0.0, np.pi / 2))


@pytest.mark.parametrize("name", ["unitree_h1", "unitree_h1_2"])
def test_torso_imu_is_turned_as_mujoco_turns_it(name: str):
    """The torso site's orientation and rates in a moving robot, against ours from the pelvis, and back."""
    model = load_robot(name)
    m = mujoco.MjModel.from_xml_path(str(model.mjcf))
    d = mujoco.MjData(m)
    rng = np.random.default_rng(8)
    quat = rng.normal(size=4)
    d.qpos[3:7] = quat / np.linalg.norm(quat)
    d.qvel[3:6] = rng.normal(size=3)
    joint = m.joint("torso_joint")
    d.qpos[joint.qposadr[0]], d.qvel[joint.dofadr[0]] = 0.7, -1.3
    mujoco.mj_forward(m, d)
    pelvis = d.qpos[3:7].copy(), d.qvel[3:6].copy(), d.sensor("imu_pelvis_accel").data.copy()
    torso = d.sensor("imu_torso_quat").data, d.sensor("imu_torso_gyro").data
    shown = pelvis_to_torso(*pelvis, 0.7, -1.3)
    assert abs(shown[0] @ torso[0]) == pytest.approx(1.0, abs=1e-12)
    assert shown[1] == pytest.approx(torso[1], abs=1e-12)
    for back, true in zip(torso_to_pelvis(*shown, 0.7, -1.3), pelvis, strict=True):
        assert back == pytest.approx(true, abs=1e-12)


def test_the_tables_have_no_robot_without_its_joint():
    from teleopd.robots.links.dds.imu import TORSO_IMU, torso_joint_of

    for name, joint in TORSO_IMU.items():
        model = load_robot(name)
        index = torso_joint_of(model)
        assert index is not None and model.joint_names[index] == joint
        assert "torso" in model.provenance["imu_sites"]
    assert torso_joint_of(load_robot("unitree_g1")) is None
