"""The numbers of the safety layer, written down a second time: none of them changes by accident."""

from __future__ import annotations

from teleopd.safety.thresholds import THRESHOLD_TABLE, Thresholds, thresholds_markdown

TABLE = {
    # limit: (value, how far it may be tightened, unit); whoever changes one here says why in the table itself
    "source_stale_periods": (3, 2, "frame periods"), "source_stale_floor": (60, 40, "ms"),
    "source_stale_ceiling": (100, 50, "ms"), "source_lost": (400, 150, "ms"), "source_frozen": (200, 100, "ms"),
    "hold_longest": (2000, 400, "ms"), "source_fresh": (1000, 3000, "ms"), "source_resume": (100, 500, "ms"),
    "source_rate": (0.8, 0.95, "of nominal"), "pose_error": (2.5, 0.5, "rad"), "deadman_return": (400, 100, "ms"),
    "deadman_heartbeat": (250, 100, "ms"), "command_stale": (1000, 250, "ms"), "targets_late": (40, 25, "ms"),
    "targets_standby": (80, 45, "ms"), "targets_lost": (100, 60, "ms"), "targets_invalid": (3, 1, "ticks"),
    "state_late": (10, 6, "ms"), "state_lost": (40, 20, "ms"), "tilt_error": (35, 30, "deg"),
    "tilt_error_time": (60, 0, "ms"), "tilt_fast_error": (25, 20, "deg"), "tilt_fast_rate": (2, 1, "rad/s"),
    "tilt_absolute": (60, 45, "deg"), "joint_speed": (35, 25, "rad/s"), "joint_speed_samples": (3, 1, "samples"),
    "motor_warm": (80, 60, "deg C"), "motor_hot": (90, 65, "deg C"), "motor_too_hot": (105, 85, "deg C"),
    "motor_cools": (5, 15, "K"), "own_lateness": (10, 5, "ms"), "stall_budget": (250, 0, "ms in 1 s"),
    "command_gap": (200, 50, "ms"), "foreign_quiet": (2000, 10000, "ms"), "check_messages": (50, 500, "messages"),
    "ready_tilt": (20, 10, "deg"), "outside_range": (0.2, 0.05, "rad"), "ramp_error": (0.6, 0.2, "rad"),
    "reset_wait": (2000, 10000, "ms"), "return_time": (1200, 2500, "ms"), "stop_long_press": (1000, 300, "ms"),
    "torque_share": (0.9, 0.5, "of the limit"), "motor_rate": (60, 30, "rad/s"),
    "reference_speed": (1, 0.1, "of a person's speed"), "reference_acceleration": (750, 100, "rad/s^2"),
    "reference_overlap": (35, 10, "mm"), "reference_range": (1, 0.1, "of the motion"),
    "legs_follow": (1, 0, "(1 yes, 0 no)"), "joint_range": (1, 0.9, "of the range"),
}  # fmt: skip


def test_no_number_of_the_table_changes_by_accident():
    assert {row.name: (row.value, row.strictest, row.unit) for row in THRESHOLD_TABLE} == TABLE


def test_each_limit_stands_in_the_table_once():
    assert len({row.name for row in THRESHOLD_TABLE}) == len(THRESHOLD_TABLE)


def test_a_time_is_in_nanoseconds_to_the_last_one():
    assert Thresholds().ns("state_lost") == 40_000_000
    assert Thresholds({"foreign_quiet": 10_000.0}).ns("foreign_quiet") == 10_000_000_000


def test_the_table_for_people_has_a_row_for_each_limit_and_ends_its_last_line():
    text = thresholds_markdown()
    lines = text.splitlines()
    assert lines[:2] == ["| limit | value | may be tightened to | from |", "|---|---|---|---|"] and text[-1] == "\n"
    assert [line.split("`")[1] for line in lines[2:]] == list(TABLE)
    assert "| `source_lost` | 400 ms | 150 | a held pose costs twice the torque of standing (25 dropouts) |" in lines


def test_a_rate_below_one_and_one_below_none_are_slow():
    assert Thresholds().stale_after_ns(0.5) == Thresholds().stale_after_ns(-0.5) == 100_000_000
