"""Run by an environment with lerobot and the plugin: LeRobot finds, builds, connects and reads the teleoperator.

Arguments: our own Python, and a folder for the session.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lerobot
import numpy as np
import torchvision_operators  # noqa: F401  before lerobot
from lerobot.teleoperators.config import TeleoperatorConfig
from lerobot.teleoperators.utils import make_teleoperator_from_config
from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError
from lerobot.utils.import_utils import register_third_party_plugins


def joints_of_lerobots_g1() -> list[str]:
    """From its file: the package around it imports simulators."""
    path = Path(lerobot.__file__).parent / "robots/unitree_g1/g1_utils.py"
    spec = importlib.util.spec_from_file_location("g1_utils", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [f"{index.name}.q" for index in module.G1_29_JointIndex]


@contextlib.contextmanager
def refused(kind: type[Exception], sentence: str = "") -> Iterator[None]:
    """What is inside is refused so."""
    try:
        yield
    except kind as error:
        assert re.search(sentence, str(error)), error
    else:
        raise AssertionError(f"nothing was refused: {sentence or kind.__name__}")


def main() -> int:
    python, work = sys.argv[1:3]
    os.environ["TELEOPD_RUNTIME_DIR"] = f"{work}/run"
    register_third_party_plugins()
    config_class = TeleoperatorConfig.get_choice_class("teleopd")
    teleoperator = make_teleoperator_from_config(config_class())
    assert list(teleoperator.action_features) == joints_of_lerobots_g1(), "the joints of LeRobot's own G1, in its order"
    with refused(DeviceNotConnectedError, "^no service runs for unitree_g1; start one with: teleop serve"):
        teleoperator.connect()
    with refused(ValueError, "action 'x' is not one of: command, reference$"):
        make_teleoperator_from_config(config_class(action="x"))
    print("LeRobot discovers the teleoperator 'teleopd'; its joints are those of LeRobot's G1")
    service = subprocess.Popen([python, str(Path(__file__).with_name("slots.py"))], stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout is not None and service.stdout.readline() == "ready\n"
        teleoperator.connect()
        with refused(DeviceAlreadyConnectedError):
            teleoperator.connect()
        action = teleoperator.get_action()
        np.testing.assert_array_equal(list(action.values()), 0.01 * np.arange(29))
        other = make_teleoperator_from_config(config_class(action="reference", joint_names="mjcf"))
        other.connect()
        np.testing.assert_allclose(list(other.get_action().values()), 1.0 + 0.01 * np.arange(29))
        assert next(iter(other.action_features)) == "left_hip_pitch_joint.q"
    finally:
        service.kill()
        service.wait()
    with refused(DeviceNotConnectedError, r"^the service of unitree_g1 has said nothing for \d"):
        while True:
            teleoperator.get_action()
    teleoperator.disconnect()
    with refused(DeviceNotConnectedError, "is not connected$"):
        teleoperator.get_action()
    print("it reads command and reference of a session, and refuses what is old")
    return 0


if __name__ == "__main__":
    sys.exit(main())
