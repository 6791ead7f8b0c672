"""Episodes as tables for spreadsheets: a row a frame, a column a number, names in the first line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from teleopd.service.capture.export.frames import Frames
from teleopd.service.capture.export.layout import ACTIONS, names, side_by_side
from teleopd.service.capture.export.settings import Settings


def write_csv(path: Path, frames: Frames, settings: Settings) -> None:
    """Write the table `path`: time_s [s] from the first frame, the state, the action (action.*), the two skews [s].

    SI units, orientations wxyz; numbers with as many digits as give them back exactly. OSError where the disk says no.
    """
    action = ACTIONS[settings.action]
    titles = ["time_s", *(f"state.{name}" for name in names(settings.state, frames.joint_names, settings.joint_names))]
    titles += [f"action.{name}" for name in names(action, frames.joint_names, settings.joint_names)]
    titles += ["skew_s.state", "skew_s.action"]
    values = np.column_stack([
        np.arange(frames.n) / frames.rate_hz, side_by_side(frames.columns, "state", settings.state),
        side_by_side(frames.columns, settings.action, action), frames.skew_s["state"], frames.skew_s[settings.action],
    ])  # fmt: skip
    table = pa.Table.from_arrays([pa.array(column) for column in np.asfortranarray(values).T], names=titles)
    part = path.with_name(f"{path.name}.part")
    pa_csv.write_csv(table, part, pa_csv.WriteOptions(quoting_style="needed"))
    os.replace(part, path)
