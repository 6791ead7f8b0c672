from __future__ import annotations

import numpy as np
import pytest

from teleopd.safety.words import Mode
from teleopd.service.streams import COMMAND_LOG_FIELDS, REFERENCE_LOG_FIELDS, tick_log_fields
from teleopd.service.telemetry.latency import NOTHING, RECENT, Samples, StageLatencies

MS = 1_000_000


def ticks(frames_ns, published_ns, modes=Mode.ACTIVE, policy_us=1500.0):
    rows = np.zeros(len(frames_ns), dtype=np.dtype(tick_log_fields(3)))
    rows["t_reference_ns"], rows["t_published_ns"], rows["mode"] = frames_ns, published_ns, modes
    rows["policy_us"] = policy_us
    return rows


def test_percentiles_are_exact_up_to_the_cap():
    samples = Samples(cap=1001)
    samples.add(np.arange(0, 500.0))
    samples.add(np.arange(500, 1001.0))
    summary = samples.summary()
    assert summary == (500.0, 900.0, 990.0, 1000.0, 1001)


def test_beyond_the_cap_memory_is_bounded_and_max_and_n_stay_exact():
    samples = Samples(cap=2000, seed=1)
    for part in np.split(np.random.default_rng(0).permutation(100_000).astype(float), 10):
        samples.add(part)
    summary = samples.summary()
    assert len(samples.values()) == 2000
    assert summary.n == 100_000 and summary.max == 99_999.0
    assert summary.p50 == pytest.approx(50_000, abs=4_000)  # 4 standard errors of a median of 2000
    assert summary.p99 == pytest.approx(99_000, abs=1_000)


def test_nothing_measured_is_said_so():
    assert Samples().summary() == NOTHING == (None, None, None, None, 0)


def test_values_that_are_not_finite_are_ignored():
    samples = Samples()
    samples.add(np.array([1.0, np.nan, np.inf, 3.0]))
    assert samples.summary().n == 2 and samples.summary().max == 3.0


def test_recent_forgets_what_is_old():
    samples = Samples()
    samples.add(np.full(RECENT * 3 + 7, 100.0))
    samples.add(np.full(RECENT, 5.0))
    assert samples.recent() == (5.0, 5.0, 5.0, 5.0, RECENT)
    assert samples.summary().max == 100.0


def test_recent_of_a_batch_longer_than_its_window_is_the_batchs_end():
    samples = Samples()
    samples.add(np.arange(RECENT + 10.0))
    assert samples.recent().max == RECENT + 9 and samples.recent().n == RECENT
    assert samples.recent().p50 == pytest.approx(10 + (RECENT - 1) / 2)


def test_reference_log_gives_two_stages():
    stages = StageLatencies()
    rows = np.zeros(2, dtype=np.dtype(REFERENCE_LOG_FIELDS))
    rows["t_ns"], rows["t_published_ns"], rows["retarget_us"] = [0, 8 * MS], [2 * MS, 12 * MS], [400.0, 600.0]
    stages.add_references(rows)
    found = stages.summaries()
    assert found["receipt_to_reference"].p50 == pytest.approx(3.0) and found["receipt_to_reference"].max == 4.0
    assert found["retarget"].p50 == pytest.approx(0.5)


def test_a_frame_used_by_several_ticks_counts_once_even_across_batches():
    stages = StageLatencies()
    stages.add_ticks(ticks([100 * MS, 100 * MS], [110 * MS, 130 * MS]))
    stages.add_ticks(ticks([100 * MS, 140 * MS], [150 * MS, 160 * MS]))
    found = stages.summaries()["receipt_to_target"]
    assert found.n == 2 and found.max == pytest.approx(20.0) and found.p50 == pytest.approx(15.0)


def test_what_the_lookahead_delays_counts_from_receipt_to_target_and_to_command():
    stages = StageLatencies()
    stages.delay_ms = 320.0
    stages.add_ticks(ticks([100 * MS], [110 * MS]))
    rows = np.zeros(1, dtype=np.dtype(COMMAND_LOG_FIELDS))
    rows["t_reference_ns"], rows["t_command_ns"], rows["mode"] = 10 * MS, 22 * MS, Mode.ACTIVE
    stages.add_commands(rows)
    found = stages.summaries()
    assert found["receipt_to_target"].p50 == pytest.approx(330.0)
    assert found["receipt_to_command"].p50 == pytest.approx(332.0)
    assert found["policy"].max == pytest.approx(1.5), "the policy takes no longer"


def test_only_active_ticks_have_a_frame_latency_but_every_tick_has_a_policy_time():
    stages = StageLatencies()
    modes = [Mode.ARMED, Mode.ACTIVE, Mode.HOLD]
    stages.add_ticks(ticks([10 * MS, 20 * MS, 30 * MS], [15 * MS, 29 * MS, 37 * MS], modes))
    found = stages.summaries()
    assert found["receipt_to_target"].n == 1 and found["receipt_to_target"].max == pytest.approx(9.0)
    assert found["policy"].n == 3 and found["policy"].p99 == pytest.approx(1.5)


def test_ticks_before_the_first_frame_are_not_measured():
    stages = StageLatencies()
    stages.add_ticks(ticks([0, 0], [5 * MS, 25 * MS]))
    assert stages.summaries()["receipt_to_target"] == NOTHING


def test_command_log():
    stages = StageLatencies()
    rows = np.zeros(2, dtype=np.dtype(COMMAND_LOG_FIELDS))
    rows["t_reference_ns"], rows["t_command_ns"], rows["mode"] = [10 * MS, 30 * MS], [22 * MS, 40 * MS], Mode.ACTIVE
    stages.add_commands(rows)
    assert stages.summaries()["receipt_to_command"].p50 == pytest.approx(11.0)
    assert stages.recent()["receipt_to_command"].n == 2
