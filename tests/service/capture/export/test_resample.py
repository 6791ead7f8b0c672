"""The one resampling policy, against values computed by hand: which sample, when, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.resample import Want, resample
from teleopd.service.capture.export.sampling import nearest, next_or_held, slerp, typical_phase

MS = 1_000_000
S = 1_000_000_000


def episode(**streams: Stream) -> Episode:
    return Episode(Path("e.mcap"), "toy", ("hip", "knee"), streams, {}, {}, {}, ())


def stream(t_ms: list[float], column: str = "joint_pos", values: object = None) -> Stream:
    t_ns = S + np.rint(np.array(t_ms) * MS).astype(np.int64)
    data = np.repeat(np.array(t_ms)[:, None], 2, axis=1) if values is None else values
    return Stream(t_ns, {column: np.array(data, dtype=float)})


def every(step_ms: float, until_ms: float, first_ms: float = 0.0) -> list[float]:
    return [first_ms + i * step_ms for i in range(int((until_ms - first_ms) / step_ms) + 1)]


STATE, TARGET = Want("state", ("joint_pos",), "nearest"), Want("target", ("joint_pos",), "next")


def test_every_target_gets_the_frame_a_quarter_period_before_it():
    (grid,) = resample(
        episode(state=stream(every(2, 400)), target=stream(every(20, 400, 7))), (STATE, TARGET), 50.0
    )
    assert ((grid.t_ns - S) / MS).tolist() == every(20, 382, 2)
    assert grid.columns["target.joint_pos"][:, 0].tolist() == every(20, 387, 7)
    assert np.allclose(grid.skew_s["target"], 0.005, atol=1e-12)
    assert grid.columns["state.joint_pos"][:, 0].tolist() == every(20, 382, 2)
    assert np.all(grid.skew_s["state"] == 0.0)
    assert (grid.held, grid.passed_over) == (0, 0)


@pytest.mark.parametrize("late_ms", [-4.0, 0.0, 14.0])
def test_a_target_some_milliseconds_early_or_late_keeps_its_frame(late_ms: float):
    t = every(20, 400, 7)
    t[5] += late_ms
    (grid,) = resample(episode(state=stream(every(2, 420)), target=stream(t)), (STATE, TARGET), 50.0)
    assert grid.columns["target.joint_pos"][:, 0].tolist() == t
    assert (grid.held, grid.passed_over) == (0, 0)


def test_where_no_target_was_issued_the_one_before_is_held():
    t = every(20, 400, 7)
    missed = t.pop(6)
    (grid,) = resample(episode(state=stream(every(2, 420)), target=stream(t)), (STATE, TARGET), 50.0)
    taken = grid.columns["target.joint_pos"][:, 0].tolist()
    assert missed not in taken and taken[5] == taken[6] == t[5]
    assert grid.skew_s["target"][6] == pytest.approx(-0.015)
    assert (grid.held, grid.passed_over) == (1, 0)


def test_of_two_targets_within_a_period_the_first_counts_and_the_other_is_counted():
    t = sorted([*every(20, 400, 7), 112.0])
    (grid,) = resample(episode(state=stream(every(2, 420)), target=stream(t)), (STATE, TARGET), 50.0)
    assert 112.0 not in grid.columns["target.joint_pos"]
    assert (grid.held, grid.passed_over) == (0, 1)


def test_a_faster_grid_holds_and_a_slower_one_passes_over():
    parts = episode(state=stream(every(2, 420)), target=stream(every(20, 400, 7)))
    (fast,) = resample(parts, (STATE, TARGET), 100.0)
    assert fast.held == len(fast.t_ns) // 2
    (slow,) = resample(parts, (STATE, TARGET), 25.0)
    assert slow.held == 0 and slow.passed_over in (len(slow.t_ns), len(slow.t_ns) - 1)


def test_times_are_first_plus_k_over_rate_without_drift():
    (grid,) = resample(episode(state=stream(every(2, 60_000))), (STATE,), 30.0)
    assert len(grid.t_ns) == 1801
    assert np.array_equal(grid.t_ns - grid.t_ns[0], np.rint(np.arange(1801) * 1e9 / 30.0).astype(np.int64))


def test_the_grid_lies_where_every_stream_is():
    (grid,) = resample(
        episode(state=stream(every(2, 900, 100)), target=stream(every(20, 1400, 207))), (STATE, TARGET), 50.0
    )
    assert (grid.t_ns[0] - S) / MS == 202.0
    assert (grid.t_ns[-1] - S) / MS == 882.0


def test_nearest_takes_the_nearer_sample_and_the_earlier_of_two():
    t = np.array([0, 10, 20], dtype=np.int64)
    assert nearest(t, np.array([-5, 0, 4, 5, 6, 19, 30], dtype=np.int64)).tolist() == [0, 0, 0, 0, 1, 2, 2]


def test_next_takes_the_first_within_a_period_else_the_newest_before():
    t = np.array([0, 10, 12, 50], dtype=np.int64)
    grid = np.array([0, 9, 11, 20, 41, 60], dtype=np.int64)
    assert next_or_held(t, grid, 1e8).tolist() == [0, 1, 2, 2, 3, 3]  # a period of 10 ns


def test_linear_lies_on_the_line_and_quaternions_on_the_arc():
    angles = np.array([0.0, 0.4])
    quat = np.stack([np.cos(angles / 2), np.sin(angles / 2), 0 * angles, 0 * angles], axis=1)
    parts = Stream(S + np.array([0, 40 * MS]), {"p": np.array([[0.0], [4.0]]), "quat_w": quat * [[1.0], [-1.0]]})
    (grid,) = resample(episode(state=parts), (Want("state", ("p", "quat_w"), "linear"),), 100.0)
    assert np.allclose(grid.columns["state.p"][:, 0], [0.0, 1.0, 2.0, 3.0, 4.0])
    half = np.array([0.0, 0.05, 0.1, 0.15, 0.2])
    assert np.allclose(grid.columns["state.quat_w"], np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=1))
    assert np.all(grid.skew_s["state"] == 0.0)


def test_slerp_of_equal_and_opposite_signs_stays_unit():
    q = np.array([[0.5, 0.5, 0.5, 0.5]])
    for other in (q, -q, q + 1e-12):
        assert np.allclose(slerp(q, other, np.array([[0.3]])), q)


def test_quaternions_keep_their_sign_from_frame_to_frame():
    n = 6
    quat = np.tile([-0.6, 0.8, 0.0, 0.0], (n, 1)) * np.array([1, -1, 1, 1, -1, -1.0])[:, None]
    parts = Stream(S + np.arange(n) * 20 * MS, {"imu_quat_w": quat})
    (grid,) = resample(episode(state=parts), (Want("state", ("imu_quat_w",), "nearest"),), 50.0)
    assert np.array_equal(grid.columns["state.imu_quat_w"], np.tile([0.6, -0.8, 0.0, 0.0], (n, 1)))


def test_the_typical_phase_is_a_median_on_the_circle():
    period = 20.0
    assert typical_phase(np.array([19.0, 39.5, 60.0, 80.5, 101.0, 125.0]), period) == pytest.approx(0.25)
    assert typical_phase(np.arange(100) * 20.0 + 3.0, period) == pytest.approx(3.0)


def test_a_value_that_is_not_finite_is_refused_by_name_and_time():
    values = np.zeros((300, 2))
    values[123, 1] = np.nan
    with pytest.raises(EpisodeRefused) as raised:
        resample(episode(state=stream(every(2, 598), values=values)), (STATE,), 50.0)
    assert str(raised.value) == "'state.joint_pos' of knee is nan at 0.246 s"
    gyro = np.zeros((300, 3))
    gyro[7, 2] = -np.inf
    parts = episode(state=stream(every(2, 598), "imu_gyro_b", gyro))
    with pytest.raises(EpisodeRefused, match=r"^'state.imu_gyro_b'\[2\] is -inf at 0.014 s$"):
        resample(parts, (Want("state", ("imu_gyro_b",), "nearest"),), 50.0)


def test_a_value_that_is_not_finite_in_a_column_nobody_wants_is_nobodys_business():
    parts = stream(every(2, 598))
    parts = replace(parts, columns={**parts.columns, "temperature_c": np.full((300, 2), np.nan)})
    assert len(resample(episode(state=parts), (STATE,), 50.0)) == 1


def test_an_orientation_off_norm_one_is_refused():
    parts = stream([0, 2], "imu_quat_w", [[1, 0, 0, 0], [0, 0, 0, 0]])
    with pytest.raises(EpisodeRefused) as raised:
        resample(episode(state=parts), (Want("state", ("imu_quat_w",), "nearest"),), 50.0)
    assert str(raised.value) == "'state.imu_quat_w' is no orientation at 0.002 s: its norm is 0, not 1"


def test_time_that_goes_back_is_refused_even_with_split():
    t = every(2, 100)
    t[20:] = [v - 30.0 for v in t[20:]]
    with pytest.raises(EpisodeRefused) as raised:
        resample(episode(state=stream(t)), (STATE,), 50.0, on_gap="split")
    assert str(raised.value) == "the clock of 'state' goes back by 0.028 s at 0.038 s"


def test_time_that_went_back_in_the_file_is_refused_though_it_was_sorted():
    made = replace(episode(state=stream(every(2, 100))), metadata={"time_back": '{"state": 3, "human": 1}'})
    with pytest.raises(EpisodeRefused) as raised:
        resample(made, (STATE,), 50.0, on_gap="split")
    assert str(raised.value) == "the clock of 'state' goes back 3 times; what came first is not known"
    other = replace(made, metadata={"time_back": '{"human": 1}'})
    assert len(resample(other, (STATE,), 50.0)[0].t_ns) > 0, "of a stream that is not asked for it does not matter"


def test_a_gap_is_refused_with_its_length_place_and_the_way_out():
    t = every(2, 1500) + every(2, 4000, 1700)
    with pytest.raises(EpisodeRefused) as raised:
        resample(episode(state=stream(t)), (STATE,), 50.0)
    assert str(raised.value) == (
        "'state' has a gap, or its clock jumps, by 0.200 s at 1.500 s (at most 0.1 s is bridged); "
        "cut it there with --on-gap split"
    )


def test_a_gap_of_exactly_the_limit_is_bridged():
    t = every(2, 1500) + every(2, 3000, 1600)
    assert len(resample(episode(state=stream(t)), (STATE,), 50.0)) == 1


def test_split_cuts_all_streams_at_the_gap_of_one_and_leaves_out_what_is_short():
    t = every(2, 1500) + every(2, 2400, 1700) + every(2, 5000, 2600)
    parts = episode(state=stream(t), target=stream(every(20, 5000, 7)))
    first, second = resample(parts, (STATE, TARGET), 50.0, on_gap="split")
    assert [(g.t_ns[[0, -1]] - S).tolist() for g in (first, second)] == [
        [2 * MS, 1482 * MS], [2602 * MS, 4982 * MS],
    ]  # fmt: skip
    for grid in (first, second):
        assert np.abs(grid.skew_s["state"]).max() <= 0.001
        assert grid.held == 0


def test_a_clock_jump_of_an_hour_splits_into_two():
    jump = 3_600_000.0
    t = every(2, 1500) + every(2, jump + 1500, jump)
    target = every(20, 1500, 7) + every(20, jump + 1500, jump + 7)
    parts = episode(state=stream(t), target=stream(target))
    with pytest.raises(EpisodeRefused, match="by 3598.500 s at 1.500 s"):
        resample(parts, (STATE, TARGET), 50.0)
    assert [len(g.t_ns) for g in resample(parts, (STATE, TARGET), 50.0, on_gap="split")] == [75, 75]


def test_what_is_missing_is_said():
    parts = episode(state=stream(every(2, 100)))
    with pytest.raises(EpisodeRefused, match="^it has no stream 'target'; it has state$"):
        resample(parts, (STATE, TARGET), 50.0)
    with pytest.raises(EpisodeRefused, match="^its stream 'state' has no column 'joint_vel'; it has joint_pos$"):
        resample(parts, (Want("state", ("joint_vel",), "nearest"),), 50.0)
    apart = episode(state=stream(every(2, 100)), target=stream(every(20, 900, 500)))
    with pytest.raises(EpisodeRefused) as raised:
        resample(apart, (STATE, TARGET), 50.0)
    assert str(raised.value) == (
        "its streams state, target share no stretch of time long enough for a frame at 50 Hz"
    )


def test_two_samples_of_one_time_do_no_harm():
    t = every(2, 100)
    t[10] = t[9]
    (grid,) = resample(episode(state=stream(t)), (Want("state", ("joint_pos",), "linear"),), 50.0)
    assert np.isfinite(grid.columns["state.joint_pos"]).all()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-4.0, 14.0), min_size=10, max_size=60), st.sampled_from([25.0, 30.0, 50.0, 60.0, 100.0]),
    st.integers(0, 10**18),
)  # fmt: skip
def test_whatever_the_jitter_every_frame_has_what_the_definition_says(late_ms: list[float], rate: float, t0_ns: int):
    """Against a search over all samples; the clock may stand anywhere."""
    n = len(late_ms)
    target = t0_ns + np.sort(np.rint((20.0 * np.arange(n) + 5.0 + np.array(late_ms)) * MS).astype(np.int64))
    state = t0_ns + np.arange(10 * n, dtype=np.int64) * 2 * MS
    made = episode(
        state=Stream(state, {"joint_pos": np.arange(10.0 * n)[:, None] * [1.0, 1.0]}),
        target=Stream(target, {"joint_pos": np.arange(float(n))[:, None] * [1.0, 1.0]}),
    )
    (grid,) = resample(made, (STATE, TARGET), rate)
    assert grid.t_ns[0] >= state[0] and grid.t_ns[-1] <= min(state[-1], target[-1])
    assert np.array_equal(grid.t_ns - grid.t_ns[0], np.rint(np.arange(len(grid.t_ns)) * 1e9 / rate).astype(np.int64))
    taken = grid.columns["target.joint_pos"][:, 0].astype(int)
    for k, t in enumerate(grid.t_ns.tolist()):
        inside = [j for j in range(n) if 0 <= target[j] - t and target[j] - t < 1e9 / rate]
        expected = inside[0] if inside else max(j for j in range(n) if target[j] < t)
        assert target[taken[k]] == target[expected]
        apart = np.abs(state - t)
        assert apart[int(grid.columns["state.joint_pos"][k, 0])] == apart.min()
    assert grid.held == int(np.count_nonzero(target[taken] < grid.t_ns))
