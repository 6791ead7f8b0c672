from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import JointLimits, RobotModel
from teleopd.safety.words import Mode
from teleopd.service.streams import tick_log_fields
from teleopd.service.telemetry.tracking import KeyBodyError, TrackingMeter, headings, without_heading

KEYS = ("head", "wrist_l", "wrist_r", "elbow_l", "elbow_r", "knee_l", "knee_r", "ankle_l", "ankle_r")
XML = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody><body name="pelvis" pos="0 0 0.8"><freejoint/><geom size="0.1" mass="5"/>
    <site name="head" pos="0 0 0.5"/>
    <site name="knee_l" pos="0 .1 -.4"/><site name="ankle_l" pos="0 .1 -.8"/>
    <site name="knee_r" pos="0 -.1 -.4"/><site name="ankle_r" pos="0 -.1 -.8"/>
    <site name="elbow_r" pos="0 -.2 .1"/><site name="wrist_r" pos="0 -.2 -.2"/>
    <body pos="0 .2 .1"><joint name="elbow" axis="0 1 0"/><geom size=".03" mass="1"/>
      <site name="elbow_l"/><site name="wrist_l" pos="0 0 -.3"/></body>
    <body pos="0 0 .3"><joint name="waist" axis="0 0 1"/><geom size=".03" mass="1"/></body>
  </body></worldbody>
</mujoco>
"""


@pytest.fixture
def stick(tmp_path: Path) -> RobotModel:
    """A robot whose left forearm is 0.3 m long; its motor order differs from the file's."""
    mjcf = tmp_path / "stick.xml"
    mjcf.write_text(XML)
    two = np.zeros(2)
    return RobotModel(
        "stick", "Stick", ("waist", "elbow"), {0: JointLimits(two, two, two, two)}, 0, two, two, two, two, 0.8, mjcf,
        "pelvis", {}, KEYS, (), "hg", (0, 1), {},
    )  # fmt: skip


def about_z(angle: float) -> np.ndarray:
    return np.array([math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)])


def about_y(angle: float) -> np.ndarray:
    return np.array([math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0])


def rows_of(n: int, **columns) -> np.ndarray:
    rows = np.zeros(n, dtype=np.dtype(tick_log_fields(2)))
    rows["quat_w"] = rows["reference_root_quat_w"] = about_z(0.0)
    rows["mode"], rows["reference_seq"] = Mode.ACTIVE, 1
    for name, value in columns.items():
        rows[name] = value
    return rows


@pytest.mark.parametrize("angle", [0.3, -2.0, 3.1])
def test_a_turned_heading_is_no_error(stick, angle):
    q = np.array([[0.1, 0.7]])
    errors = KeyBodyError(stick).errors(q, about_z(0.0)[None], q, about_z(angle)[None])
    assert errors.shape == (1, 9)
    assert np.abs(errors).max() < 1e-12


def test_a_bent_elbow_moves_the_wrist_by_the_chord_and_nothing_else(stick):
    bent = 0.5
    errors = KeyBodyError(stick).errors(
        np.array([[0.0, bent]]), about_z(0.4)[None], np.array([[0.0, 0.0]]), about_z(-0.9)[None]
    )[0]
    chord = 2 * 0.3 * math.sin(bent / 2)
    assert errors[KEYS.index("wrist_l")] == pytest.approx(chord, abs=1e-12)
    assert np.delete(errors, KEYS.index("wrist_l")).max() < 1e-12


def test_a_tilted_pelvis_is_an_error_of_every_site_in_proportion_to_its_distance(stick):
    tilt = 0.2
    quat = without_heading(about_y(tilt)[None])
    assert quat[0] == pytest.approx(about_y(tilt))
    q = np.zeros((1, 2))
    errors = KeyBodyError(stick).errors(q, about_z(0.0)[None], q, about_y(tilt)[None])[0]
    assert errors[0] == pytest.approx(2 * 0.5 * math.sin(tilt / 2))
    assert errors[KEYS.index("ankle_l")] == pytest.approx(2 * 0.8 * math.sin(tilt / 2))


def test_heading_of_a_tilted_body_is_that_of_its_x_axis_on_the_floor():
    yaw, pitch = 1.1, 0.6
    z, y = about_z(yaw), about_y(pitch)
    both = np.array([z[0] * y[0], -z[3] * y[2], z[0] * y[2], z[3] * y[0]])
    assert headings(both[None])[0] == pytest.approx(yaw)
    assert without_heading(both[None])[0] == pytest.approx(y)


def test_meter_counts_active_only(stick):
    meter = TrackingMeter(stick)
    rows = rows_of(4, q=[[0, 0], [0, 0.4], [0, 0.4], [0, 9.0]], mode=[Mode.ARMED, Mode.ACTIVE, Mode.ACTIVE, Mode.HOLD])
    meter.add_ticks(rows[:2])
    meter.add_ticks(rows[2:])
    found = meter.result()
    assert found.joint_rmse_rad == pytest.approx(math.sqrt(0.4**2 / 2))
    assert found.key_body_median_mm == pytest.approx(1e3 * 2 * 0.3 * math.sin(0.2) / 9, rel=1e-6)
    assert found.root_drift_m is None and found.yaw_drift_deg == pytest.approx(0.0)


def test_never_active_is_not_judged(stick):
    meter = TrackingMeter(stick)
    meter.add_ticks(rows_of(3, mode=Mode.ARMED))
    assert meter.result() == (None, None, None, None, None)


def test_drift_is_measured_in_the_headings_at_the_begin_of_active(stick):
    """Robot turned left by 90 deg walks 1 m along its own X; the reference walks 1.2 m along X: 0.2 m are missing."""
    meter = TrackingMeter(stick)
    meter.add_ticks(rows_of(
        2, quat_w=about_z(math.pi / 2), has_odometry=True, root_pos_w=[[5, 5, 0.8], [5, 6, 0.8]],
        reference_root_pos_w=[[0, 0, 0.8], [1.2, 0, 0.7]],
    ))  # fmt: skip
    assert meter.result().root_drift_m == pytest.approx(0.2)
    assert meter.result().yaw_drift_deg == pytest.approx(0.0, abs=1e-9)


def test_yaw_drift_is_the_difference_of_turns_and_survives_the_wrap(stick):
    meter = TrackingMeter(stick)
    rows = rows_of(3)
    rows["quat_w"] = [about_z(math.radians(a)) for a in (170, 179, 190)]
    rows["reference_root_quat_w"] = [about_z(math.radians(a)) for a in (0, 9, 30)]
    meter.add_ticks(rows[:1])
    meter.add_ticks(rows[1:])
    assert meter.result().yaw_drift_deg == pytest.approx(10.0)


def test_the_worst_of_several_active_stretches_is_reported(stick):
    meter = TrackingMeter(stick)
    for angle in (5.0, 30.0, 10.0):
        rows = rows_of(3, mode=[Mode.ACTIVE, Mode.ACTIVE, Mode.HOLD])
        rows["quat_w"][1] = about_z(math.radians(angle))
        meter.add_ticks(rows)
    assert meter.result().yaw_drift_deg == pytest.approx(30.0)


def test_a_missing_site_is_named(stick):
    with pytest.raises(ValueError, match="site 'tail' of stick is missing"):
        KeyBodyError(replace(stick, key_sites=("tail",)))
