"""A trained student -> what is shipped: ONNX file, card, model card."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort

from teleopd.service.policy.card import Card
from teleopd.service.policy.card_reader import card_from
from teleopd.service.policy.card_writer import card_text
from teleopd.service.policy.train.channels import Float32
from teleopd.service.policy.train.decoupled.student import LegStudent
from teleopd.service.policy.train.decoupled.suite import Network
from teleopd.service.policy.train.decoupled.walker import (
    ACTION_CLIP,
    ACTION_SCALE,
    CLOCK_S,
    COMMAND,
    DQ_SCALE,
    GYRO_SCALE,
    HEIGHT,
    LAGS,
    RATE_HZ,
    Walker,
)
from teleopd.service.policy.train.export import (
    INPUT,
    NAME,
    OUTPUT,
    ExportFailed,
    check_export,
    parameters_of,
    write_files,
)
from teleopd.service.policy.train.onnx_writer import OPSET, Node, layers, model
from teleopd.service.policy.train.student import INPUT_CLIP

STEPS, STEPS_OUT = "steps", "steps_out"
MAX_BYTES = 2_000_000
TEMPLATE = "model_card.txt"
FORWARD, LEFT, TURN, LOWEST_M = (-0.4, 0.9), (-0.5, 0.5), (-1.0, 1.0), 0.85
"""What is declared; training goes a little further."""
NOTES = (
    "The policy that comes with the package: trained by this project's own code (service/policy/train/decoupled),",
    "which also wrote this file. default.md says from what, how, and what it can and cannot do.",
)


def to_onnx(student: LegStudent) -> bytes:
    """The network, normalisation inside: from the card's observation and whether it steps to action and the same."""
    constants: dict[str, Any] = {
        "mean": student.mean.numpy(), "inverse_std": (1.0 / student.std).numpy(),
        "low": np.float32(-INPUT_CLIP).reshape(()), "high": np.float32(INPUT_CLIP).reshape(()),
        "zero": np.zeros(1, dtype=np.float32),
    }  # fmt: skip
    nodes = [
        Node("Concat", (INPUT, STEPS), "all", {"axis": 1}),
        Node("Sub", ("all", "mean"), "centred"),
        Node("Mul", ("centred", "inverse_std"), "scaled"),
        Node("Clip", ("scaled", "low", "high"), "x0"),
    ]
    nodes += layers(parameters_of(student), constants)
    legs, last = student.linears()[-1].out_features - 1, "out"
    constants["legs"] = np.arange(legs, dtype=np.int64)
    constants["step"] = np.array([legs], dtype=np.int64)
    nodes += [
        Node("Gather", (last, "legs"), OUTPUT, {"axis": 1}),
        Node("Gather", (last, "step"), "sure", {"axis": 1}),
        Node("Greater", ("sure", "zero"), "does"),
        Node("Cast", ("does",), STEPS_OUT, {"to": 1}),
    ]
    inputs = student.mean.numel() - 1
    return model(nodes, constants, (INPUT, inputs), (OUTPUT, legs), "teleopd", ((STEPS, 1),), ((STEPS_OUT, 1),))


def network_of(content: bytes | Path, threads: int = 1) -> Network:
    """An exported file as a network for batches."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(
        content if isinstance(content, bytes) else str(content), options, providers=["CPUExecutionProvider"]
    )

    def run(seen: Float32, steps: Float32) -> tuple[Float32, Float32]:
        action, after = session.run([OUTPUT, STEPS_OUT], {INPUT: seen, STEPS: steps[:, None]})
        return action, after[:, 0]

    return run


def checked_onnx(student: LegStudent) -> bytes:
    """`to_onnx`, proven on random observations of the size that occurs.

    Raises:
        ExportFailed: it answers differently, not finitely, or is too large to ship.
    """
    content = to_onnx(student)
    rng = np.random.default_rng(0)
    spread = rng.standard_normal((256, student.mean.numel())).astype(np.float32)
    observation = (student.mean.numpy() + 2.0 * student.std.numpy() * spread)[:, :-1]
    steps = (rng.random(256) < 0.5).astype(np.float32)
    wanted, wanted_steps = student.act(observation, steps)
    got, got_steps = network_of(content)(observation, steps)
    if (got_steps != wanted_steps).any():
        raise ExportFailed("the exported network steps where the trained one stands, or the other way round")
    check_export(got, wanted, len(content), MAX_BYTES)
    return content


def card_of(walker: Walker, sha256: str, golden: Float32 | None = None) -> Card:
    """The card of a network with that hash; `golden` is its answer to `standing_observation`, (legs,)."""
    names, robot = walker.model.joint_names, walker.model
    kp = {name: float(value) for name, value in zip(names, robot.kp_ready, strict=True)}
    kd = {name: float(value) for name, value in zip(names, robot.kd_ready, strict=True)}
    source = "trained with them, each robot's drawn around: " + robot.provenance["kp_ready"]
    gains = {"kp": kp, "kd": kd, "source": source, "reason": "simulation and robot hold the legs with the same gains"}
    now = "proprioception"
    data: dict[str, Any] = {
        "schema": 1, "name": NAME, "robot": robot.name,
        "title": "teleopd's own: stands, squats, steps and walks by velocity; arms and torso follow",
        "licence": "BSD-3-Clause",
        "attribution": "Copyright 2026 the teleopd authors; its walk is distilled from unitree_rl_gym, Copyright (c) "
        "2016-2023 HangZhou YuShu TECHNOLOGY CO.,LTD. (Unitree Robotics)",
        "homepage": "https://github.com/unitreerobotics/unitree_rl_gym",
        "rate_hz": RATE_HZ, "imu": "pelvis", "odometry": False, "lookahead_steps": 0, "role": "velocity",
        "model": {
            "file": f"{NAME}.onnx", "sha256": sha256, "opset": OPSET, "input": INPUT, "output": OUTPUT,
            "input_width": walker.width, "output_width": len(walker.legs),
            "extras": [{"input": STEPS, "source": "recurrent", "shape": (1, 1), "output": STEPS_OUT}],
        },
        "capabilities": {
            "legs": False, "upper_body": True, "forward": FORWARD, "left": LEFT, "turn": TURN,
            "height": (LOWEST_M, robot.stand_height_m),
        },
        "joints": {
            "state": walker.joints, "reference": "state", "action": walker.legs,
            "rest": {"joints": walker.upper, "follow": "reference"},
        },
        "default_pose": {name: float(q) for name, q in zip(walker.joints, walker.default, strict=True)},
        "observation": [
            {"kind": "reference_lin_vel", "group": "command", "axes": "x", "frame": "heading", "clip": FORWARD},
            {"kind": "reference_lin_vel", "group": "command", "axes": "y", "frame": "heading", "clip": LEFT},
            {"kind": "reference_ang_vel", "group": "command", "axes": "z", "frame": "heading", "clip": TURN},
            {"kind": "reference_height", "group": "command", "clip": (LOWEST_M, robot.stand_height_m)},
            {"kind": "reference_walks", "group": "command"},
            {"kind": "phase", "group": "clock", "function": "sin", "period_s": CLOCK_S},
            {"kind": "phase", "group": "clock", "function": "cos", "period_s": CLOCK_S},
            {"kind": "reference_q", "group": "upper_body", "joints": walker.upper},
            {"kind": "gyro", "group": now, "scale": GYRO_SCALE},
            {"kind": "gravity", "group": now},
            {"kind": "q", "group": now, "offset": "default_pose"},
            {"kind": "dq", "group": now, "scale": DQ_SCALE},
            {"kind": "last_action", "group": now},
            {"kind": "balance", "group": now, "feet": walker.feet},
            {"kind": "lags", "of": [now], "lags": LAGS, "fill": "current"},
        ],
        "action": {"scale": ACTION_SCALE, "offset": "default_pose", "clip": ACTION_CLIP, "feedback": "clipped"},
        "gains": {"sim": gains, "real": gains},
    }  # fmt: skip
    if golden is not None:
        data["golden"] = [{
            "name": "standing still, zero history",
            "segments": [
                {"at": HEIGHT, "values": [robot.stand_height_m]}, {"at": COMMAND + 1, "values": [1.0]},
                {"at": _gravity_at(walker), "values": [0.0, 0.0, -1.0]},
            ],
            "output": [round(float(value), 5) for value in golden],
        }]  # fmt: skip
    return card_from(_plain(data), NAME)


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(data))
    return plain


def _gravity_at(walker: Walker) -> int:
    return COMMAND + 2 + len(walker.upper) + 3


def standing_observation(walker: Walker) -> Float32:
    """The golden input of the card: asked to stand, upright, everything else zero, (1, width)."""
    observation = np.zeros((1, walker.width), dtype=np.float32)
    observation[0, HEIGHT], observation[0, COMMAND + 1] = walker.model.stand_height_m, 1.0
    observation[0, _gravity_at(walker) + 2] = -1.0
    return observation


def write_policy(student: LegStudent, walker: Walker, folder: Path, figures: str, notice: str) -> list[Path]:
    """`default.onnx`, `.toml` and `.md` in `folder`; `figures` are the measured tables, `notice` the teacher's licence.

    Raises:
        ExportFailed: the network cannot be shipped.
    """
    content = checked_onnx(student)
    golden = network_of(content)(standing_observation(walker), np.zeros(1, dtype=np.float32))[0][0]
    card = card_text(card_of(walker, hashlib.sha256(content).hexdigest(), golden), NOTES)
    story = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    words = {"@TITLE@": walker.model.title, "@LOAD@": walker.load, "@FIGURES@": figures, "@NOTICE@": notice}
    for word, text in words.items():
        story = story.replace(word, text)
    return write_files(folder, content, card, story)
