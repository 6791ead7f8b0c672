"""The vendor's kit in a child process: a kit of our own in its place that misbehaves as the real one does; and the real
one where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.pico.sdk_backend import SdkLink
from teleopd.drivers.pico.source import PicoSource

CLIP = load_motion("wave")
GETTERS = """
def get_headset_pose(): return [0, 1.5, 0, 0, 0, 0, 1]
def get_axis(): return [0.0, 0.0]
def get_pose(): return [0, 1, 0, 0, 0, 0, 1]
def get_no(): return False
def get_yes(): return 0.8
get_left_axis = get_right_axis = get_axis
get_left_controller_pose = get_right_controller_pose = get_pose
get_left_trigger = get_right_trigger = get_X_button = get_Y_button = get_A_button = get_B_button = get_no
get_left_axis_click = get_right_axis_click = get_left_menu_button = get_right_menu_button = get_no
get_left_grip = get_right_grip = get_yes
def is_body_data_available(): return True
def get_body_joints_pose(): return [[0.01 * k, 0.1 * k, 0, 0, 0, 0, 1] for k in range(24)]
def get_body_joints_timestamp(): return [frames] * 24
"""
GOOD = """
import time
frames = 0
print("chatter on stdout", flush=True)
def init(): pass
def close(): open("closed", "w").close()
def get_time_stamp_ns():
    global frames
    frames = int(time.monotonic() * 50)
    return 10**18 + frames * 20_000_000
"""
ABORTS = "import os\nframes = 0\ndef init(): os.abort()\ndef close(): pass\n"
SILENT = "frames = 0\ndef init(): pass\ndef close(): pass\ndef get_time_stamp_ns(): return 0\n"


def child_python(tmp_path, kit):
    """An interpreter whose kit is this text: a script in front of the real one."""
    (tmp_path / "xrobotoolkit_sdk.py").write_text(kit + GETTERS)
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "runpy.run_path(sys.argv[2], run_name='__main__')\n"
    )
    wrapper.chmod(0o755)
    return str(wrapper)


def run(act):
    return asyncio.run(asyncio.wait_for(act(), 30))


def test_frames_of_the_kit_become_poses(tmp_path):
    link = SdkLink("127.0.0.1", 1, child_python(tmp_path, GOOD))

    async def act():
        source, poses = PicoSource(link=link), []
        await source.open()
        async for pose in source.poses():
            poses.append(pose)
            if len(poses) == 10:
                await source.close()
        return poses, source

    poses, source = run(act)
    assert [pose.seq for pose in poses] == list(range(10)) and all(pose.deadman for pose in poses)
    np.testing.assert_allclose(poses[0].pos_w[6], (0.0, -0.15, 1.5), atol=1e-12)  # the head is joint 15
    assert source.counters.rejected == {} and source.reconnect.connections == 1


def test_a_kit_that_aborts_ends_only_its_own_process(tmp_path):
    link = SdkLink("127.0.0.1", 1, child_python(tmp_path, ABORTS))
    why = run(lambda: link.run(lambda: pytest.fail("never connected"), lambda data, now: None))
    assert why == "the vendor's kit crashed with SIGABRT"


def test_a_kit_that_hears_nothing_says_so(tmp_path):
    link = SdkLink("127.0.0.1", 60061, child_python(tmp_path, SILENT))
    why = run(lambda: link.run(lambda: pytest.fail("never connected"), lambda data, now: None))
    assert why == (
        "the vendor's kit receives nothing from 127.0.0.1:60061; is the PC service running, the headset sending?"
    )


def test_a_missing_kit_names_the_extra(tmp_path):
    link = SdkLink("127.0.0.1", 1, child_python(tmp_path, "raise ImportError\n"))
    why = run(lambda: link.run(lambda: None, lambda data, now: None))
    assert why == "the vendor's kit is not installed; install it with: pip install 'teleopd[pico-sdk]'"


def test_the_real_kit_streams_from_the_emulator():
    """Set TELEOPD_PICO_SDK_PYTHON to the Python of another environment that has it."""
    python = os.environ.get("TELEOPD_PICO_SDK_PYTHON", sys.executable)
    if python == sys.executable and importlib.util.find_spec("xrobotoolkit_sdk") is None:
        pytest.skip("xrobotoolkit-sdk is not installed: pip install 'teleopd[pico-sdk]'")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    async def act():
        source, poses = PicoSource(link=SdkLink("127.0.0.1", port, python)), []
        emulator = PicoEmulator(CLIP, EmulatorOptions(port=port, grip=1.0))
        running = asyncio.create_task(emulator.run(seconds=6.0))
        while emulator.service is None or emulator.service._server is None:
            await asyncio.sleep(0.01)
        await source.open()
        async for pose in source.poses():
            poses.append(pose)
            if running.done() or len(poses) == 100:
                break
        await source.close()
        await running
        return poses, source, emulator

    poses, source, emulator = run(act)
    assert len(poses) == 100 and all(pose.deadman for pose in poses) and source.counters.rejected == {}
    clip = emulator.clip.pos_w[:, 0]
    assert max(np.abs(clip - pose.pos_w[0]).max(axis=1).min() for pose in poses) < 1e-8
