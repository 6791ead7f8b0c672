"""Processes that hang without dying: found by their own words growing old, and killed so that they are replaced."""

from __future__ import annotations

from teleopd.launch.processes import HUNG_NS, Processes
from teleopd.service.streams import Bus

WORDS = {
    "robot-io": ("safety_status",),
    "control": ("targets", "loop_control"),
    "arms": ("targets", "loop_control"),
    "bridge": ("targets", "loop_control"),
    "standby": ("targets_standby", "loop_standby"),
    "source": ("loop_source",),
    "telemetry": ("loop_telemetry",),
}
"""Process -> slots that it alone writes, several times within `HUNG_NS` while it runs, whatever the others do."""
PATIENCE_NS = {"source": 10_000_000_000, "telemetry": 3_000_000_000}
"""Longer than `HUNG_NS`: the first frame makes the retargeter calibrate and build its solver, which takes seconds on a
slow host, and a silent source is held and left by the motor process long before. Nobody waits for telemetry; a broker
hears of its end at once, but of its silence only when its own timer looks (mosquitto 2.0: after 3 to 9 s)."""


def replace_hung(processes: Processes, bus: Bus, now_ns: int) -> None:
    """One look at every process of `WORDS`. While robot-io hangs, the motors hold their last targets; while control
    hangs, its warm twin balances the robot without following anybody, and there is no second twin."""
    for name, slots in WORDS.items():
        if name in processes.children:
            words = [bus.slot(slot).read() for slot in slots]
            spoke_ns = max((word.t_ns for word in words if word is not None), default=0)
            processes.watch_silence(name, spoke_ns, now_ns, PATIENCE_NS.get(name, HUNG_NS))
