"""A run kept in memory for the pictures made after it: policy ticks and human poses, bounded in length."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, Reference
from teleopd.safety.words import Mode
from teleopd.service.console.errors import NothingToDraw
from teleopd.service.console.scene import SceneState
from teleopd.service.streams import FAMILIES, HumanView, tick_log_fields

MAX_TICKS = 60_000
"""20 minutes at 50 Hz, about 70 MB; a longer run keeps its first part."""
HUMAN_GONE_NS = 1_000_000_000
"""The person is not drawn when the newest pose is older than this."""
NO_MODE = -1
"""Mode of a kinematic preview."""


class Trace:
    """Tick logs and human views, looked up by time."""

    def __init__(self, start_ns: int = 0) -> None:
        """`start_ns`: zero of the times shown; 0 takes the first tick's."""
        self._start_ns = start_ns
        self._parts: list[npt.NDArray[Any]] = []
        self._count = 0
        self._human_ns: list[int] = []
        self._human_pos: list[npt.NDArray[np.float32]] = []
        self._family = 0

    def add_ticks(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `TickLog`, oldest first."""
        rows = rows[: MAX_TICKS - self._count]
        if len(rows):
            self._start_ns = self._start_ns or int(rows["t_ns"][0])
            self._parts.append(rows)
            self._count += len(rows)

    def add_human(self, view: HumanView) -> None:
        """The newest human pose; the same pose twice is kept once."""
        if len(self._human_ns) < MAX_TICKS and (not self._human_ns or view.t_ns > self._human_ns[-1]):
            self._human_ns.append(view.t_ns)
            self._human_pos.append(view.pos_w[: view.bodies].astype(np.float32))
            self._family = view.family

    def __len__(self) -> int:
        return self._count

    @property
    def duration_s(self) -> float:
        """Between the first and the last tick [s]; 0 when empty."""
        if self._count == 0:
            return 0.0
        return float(self._parts[-1]["t_ns"][-1] - self._parts[0]["t_ns"][0]) / 1e9

    def at(self, seconds: float) -> SceneState:
        """The newest tick at `seconds` after the first one, with the newest human pose of that time.

        Raises:
            NothingToDraw: the trace is empty.
        """
        if self._count == 0:
            raise NothingToDraw
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        rows = self._parts[0]
        t_ns = int(rows["t_ns"][0]) + round(seconds * 1e9)
        row = rows[max(0, int(np.searchsorted(rows["t_ns"], t_ns, side="right")) - 1)]
        return _scene(row, self._start_ns, self._human_at(t_ns), self._family)

    def _human_at(self, t_ns: int) -> Array | None:
        newest = int(np.searchsorted(self._human_ns, t_ns, side="right")) - 1
        if newest < 0 or t_ns - self._human_ns[newest] > HUMAN_GONE_NS:
            return None
        return self._human_pos[newest].astype(np.float64)


def _scene(row: Any, start_ns: int, human_pos_w: Array | None, family: int) -> SceneState:
    """One row of `TickLog` as an instant to be drawn."""
    mode, followed = int(row["mode"]), int(row["reference_seq"]) > 0
    return SceneState(
        (int(row["t_ns"]) - start_ns) / 1e9,
        None if mode == NO_MODE else Mode(mode),
        row["q"].copy(),
        row["quat_w"].copy(),
        row["root_pos_w"].copy() if row["has_odometry"] else None,
        row["reference_q"].copy() if followed else None,
        row["reference_root_quat_w"].copy() if followed else None,
        row["reference_root_pos_w"].copy() if followed else None,
        human_pos_w,
        FAMILIES[family],
    )


class TraceRecorder:
    """Fed during a run: always keeps its most telling instant, and the whole run when a video was asked for."""

    def __init__(self, keep: bool) -> None:
        """`keep`: record everything for a video."""
        self._keep = keep
        self._start_ns = 0
        self._trace = Trace()
        self._still: SceneState | None = None
        self._first_active: Array | None = None
        self._interest = -1.0
        self._last_preview_ns = 0

    def add(self, rows: npt.NDArray[Any], human: HumanView | None, reference: Reference | None = None) -> None:
        """Rows of `TickLog` drained since the last call, and the newest human pose. Where no robot runs (preview), the
        newest reference is recorded as the robot."""
        if len(rows) == 0 and reference is not None and reference.t_ns > self._last_preview_ns:
            self._last_preview_ns = reference.t_ns
            rows = _kinematic_row(reference)
        if human is not None and self._keep:
            self._trace.add_human(human)
        if len(rows) == 0:
            return
        self._start_ns = self._start_ns or int(rows["t_ns"][0])
        if self._keep:
            self._trace.add_ticks(rows)
        self._consider(rows[-1], human)

    def _consider(self, row: Any, human: HumanView | None) -> None:
        """Keep the instant whose wanted pose is furthest from the one the robot began to follow with."""
        interest = -0.5
        if int(row["mode"]) in (Mode.ACTIVE, NO_MODE):
            wanted = row["q"] if int(row["mode"]) == NO_MODE else row["reference_q"]
            if self._first_active is None:
                self._first_active = wanted.copy()
            interest = float(np.sum(np.abs(wanted - self._first_active)))
        if interest > self._interest:
            fresh = human is not None and abs(int(row["t_ns"]) - human.t_ns) < HUMAN_GONE_NS
            pos = human.pos_w[: human.bodies].copy() if human is not None and fresh else None
            self._interest = interest
            self._still = _scene(row, self._start_ns, pos, 0 if human is None else human.family)

    def still(self) -> SceneState:
        """The most telling instant of the run so far.

        Raises:
            NothingToDraw: there was no robot pose.
        """
        if self._still is None:
            raise NothingToDraw
        return self._still

    def trace(self) -> Trace:
        """The whole run; empty unless `keep`."""
        return self._trace


def _kinematic_row(reference: Reference) -> npt.NDArray[Any]:
    row = np.zeros(1, dtype=np.dtype(tick_log_fields(len(reference.q))))
    row["t_ns"], row["mode"] = reference.t_ns, NO_MODE
    row["q"], row["quat_w"] = reference.q, reference.root_quat_w
    row["has_odometry"], row["root_pos_w"] = True, reference.root_pos_w
    return row
