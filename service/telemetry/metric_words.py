"""What each metric means, in one sentence: the endpoint's help and the table in docs/telemetry.md."""

from __future__ import annotations

import re
from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "teleopd_source_status_age_seconds": "Time since the source process spoke",
    "teleopd_source_rate_hertz": "Frames of the last second",
    "teleopd_source_delay_p50_seconds": "Median delay of frames against the fastest one",
    "teleopd_source_delay_p99_seconds": "99th percentile of that delay",
    "teleopd_source_jitter_seconds": "Spread of the frames' arrival",
    "teleopd_source_loss_ratio": "Share of frames that never came, 0 to 1",
    "teleopd_source_age_seconds": "Age of the newest frame",
    "teleopd_source_content_age_seconds": "Time since the content of a frame differed from the one before",
    "teleopd_source_state_*": "1 where the source stands, 0 elsewhere",
    "teleopd_source_content_*": "1 for what the frames hold, 0 for the others",
    "teleopd_source_*_total": "Frames (or restarts of the motion) counted by the source",
    "teleopd_loop_*_rate_hertz": "Rate the loop runs at",
    "teleopd_loop_*_late_p99_seconds": "99th percentile of the lateness of waking",
    "teleopd_loop_*_late_max_seconds": "Largest lateness of waking",
    "teleopd_loop_*_missed_total": "Deadlines skipped",
    "teleopd_loop_*_cpu_ratio": "Share of one core",
    "teleopd_link_*_total": "Reports and commands counted by the link to the robot",
    "teleopd_safety_status_age_seconds": "Time since the robot loop spoke",
    "teleopd_mode_age_seconds": "Time in this mode",
    "teleopd_mode_*": "1 for the mode of the ladder, 0 for the others",
    "teleopd_engaged": "1 while the deadman that counts is held",
    "teleopd_operator_refused_total": "Operator commands refused",
    "teleopd_cause_*_total": "How often the cause came into force",
    "teleopd_cause_*": "1 while the cause is in force",
    "teleopd_gate_*_ticks_total": "Ticks in which this step of the gate changed something",
    "teleopd_latency_*_p50_seconds": "Median of the newest 512 samples of the stage",
    "teleopd_latency_*_p90_seconds": "90th percentile of them",
    "teleopd_latency_*_p99_seconds": "99th percentile of them",
    "teleopd_latency_*_max_seconds": "Largest of them",
    "teleopd_latency_*_seconds": "Histogram of the stage's latency over the whole run",
    "teleopd_recorder_episodes_total": "Episodes finished",
    "teleopd_recorder_lost_samples": "Samples lost in this episode",
    "teleopd_motor_temperature_max_celsius": "Temperature of the hottest motor",
    "teleopd_motor_faults": "Motors that report a fault",
    "teleopd_battery_ratio": "Charge of the robot's battery, 0 to 1",
    "teleopd_mqtt_connected": "1 while the broker answers",
    "teleopd_mqtt_connections_total": "Connections made to the broker",
    "teleopd_mqtt_lost_events_total": "Events dropped because the broker took none",
}
"""Pattern -> meaning; the first that fits counts."""
_PATTERNS = [(re.compile(re.escape(name).replace(r"\*", r"\w+")), words) for name, words in WORDS.items()]


def words_of(name: str) -> str:
    """What a metric means.

    Raises:
        KeyError: nothing was written about it.
    """
    for pattern, words in _PATTERNS:
        if pattern.fullmatch(name):
            return words
    raise KeyError(name)
