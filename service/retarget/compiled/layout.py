"""The order of all arrays of a solver in one table (`memory.py`), and the views that compiled code takes of it."""

from __future__ import annotations

from typing import Any

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.compiled import memory
from teleopd.service.retarget.compiled.jit import compiled
from teleopd.service.retarget.compiled.memory import feet_at, flags, grid, ground_at, index, line
from teleopd.service.retarget.compiled.parts import Asked, Bounds, Feet, Frame, Place, Scratch, Stacked, Tree

PLACE = len(Tree._fields)
STACKED = PLACE + len(Place._fields)
BOUNDS = STACKED + len(Stacked._fields)
FRAME = BOUNDS + len(Bounds._fields)
SCRATCH = FRAME + len(Frame._fields)
ASKED = SCRATCH + len(Scratch._fields)
FEET = ASKED + len(Asked._fields)


def table(
    tree: Tree, place: Place, stacked: Stacked, bounds: Bounds, frame: Frame, scratch: Scratch, asked: Asked,
    feet: Feet, qpos: Array,
) -> IntArray:  # fmt: skip
    """Where all of it lies."""
    return memory.table([*tree, *place, *stacked, *bounds, *frame, *scratch, *asked, *feet, qpos])


@compiled
def tree_at(t: Any) -> Any:
    return Tree(
        index(t[0]), grid(t[1]), grid(t[2]), index(t[3]), grid(t[4]), grid(t[5]), line(t[6]), index(t[7]), index(t[8]),
        index(t[9]), index(t[10]), index(t[11]), grid(t[12]), grid(t[13]),
    )  # fmt: skip


@compiled
def place_at(whole: Any) -> Any:
    t = whole[PLACE:]
    return Place(grid(t[0]), grid(t[1]), grid(t[2]), grid(t[3]), grid(t[4]), grid(t[5]), grid(t[6]))


@compiled
def stacked_at(whole: Any) -> Any:
    t = whole[STACKED:]
    return Stacked(grid(t[0]), line(t[1]), line(t[2]), index(t[3]), index(t[4]), grid(t[5]), grid(t[6]))


@compiled
def bounds_at(whole: Any) -> Any:
    t = whole[BOUNDS:]
    return Bounds(
        line(t[0]), line(t[1]), line(t[2]), line(t[3]), line(t[4]), index(t[5]), grid(t[6]), index(t[7]), line(t[8]),
        index(t[9]), line(t[10]), line(t[11]), index(t[12]), index(t[13]), line(t[14]),
    )  # fmt: skip


@compiled
def frame_at(whole: Any) -> Any:
    t = whole[FRAME:]
    return Frame(line(t[0]), line(t[1]), line(t[2]), line(t[3]))


@compiled
def scratch_at(whole: Any) -> Any:
    t = whole[SCRATCH:]
    return Scratch(
        grid(t[0]), line(t[1]), line(t[2]), line(t[3]), line(t[4]), grid(t[5]), line(t[6]), line(t[7]), index(t[8]),
        line(t[9]), index(t[10]), line(t[11]),
    )  # fmt: skip


@compiled
def asked_at(whole: Any) -> Any:
    t = whole[ASKED:]
    return Asked(grid(t[0]), grid(t[1]), flags(t[2]), index(t[3]), index(t[4]), line(t[5]))


@compiled
def known_at(whole: Any) -> Any:
    t = whole[FEET:]
    return Feet(feet_at(t[0]), ground_at(t[1]), index(t[2]), index(t[3]), line(t[4]))
