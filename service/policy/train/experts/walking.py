"""unitree_rl_gym's walking network for a whole batch, behind the inverted map of what it makes of a command.

It drifts back and obeys a little less than it is told (h1_default.md, section 2); the inverse of that and a slow loop
on the true velocity make it do what the command says. It marches on the spot for ever and cannot stand still.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.service.policy.importers.torchscript import tensors
from teleopd.service.policy.train.decoupled.walker import DQ_SCALE, GYRO_SCALE
from teleopd.service.policy.train.decoupled.world import Balance, World, gravity

Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
COMMAND_SCALE = np.array((2.0, 2.0, 0.25))


class Obeyed(NamedTuple):
    """What to tell the network so that a command is obeyed: matrix @ command + offset, and what corrects that."""

    matrix: tuple[tuple[float, float, float], ...]
    offset: tuple[float, float, float]
    loop_gain: float
    """On the velocity missed, low-passed over a gait cycle."""
    forward_square: float = 0.0
    """Told more per square of a forward velocity: the quicker, the less obeyed [s/m]."""
    mass_ahead_m: float = 0.0
    """Where the centre of mass is before the pelvis when the rest is right by itself [m]."""
    mass_velocity: float = 0.0
    """Told less per metre that the arms have moved it from there, where the robot runs after it [1/s]."""
    mass_lean: float = 0.0
    """And how far the network is made to feel tilted that way [rad/m]."""
    largest: tuple[float, float, float] = (1.5, 0.9, 1.6)
    """No larger command is given to it."""
    ankle_share: float = 1.0
    """How far the ankles' gains are made up for as it walks (`BothExperts`)."""


OBEYED = {
    "unitree_h1": Obeyed(((0.973, 0.0, 0.0), (-0.1, 1.115, -0.1), (0.0, 0.0, 1.043)), (0.117, 0.0, 0.018), 0.4),
    "unitree_h1_2": Obeyed(
        ((0.77, 0.06, 0.04), (0.09, 1.05, 0.04), (0.0, 0.0, 1.1)), (0.04, 0.0, -0.04), 0.4,
        forward_square=0.47, mass_ahead_m=0.0187, mass_velocity=10.0, mass_lean=0.6, largest=(1.3, 0.9, 1.6),
        ankle_share=0.0,
    ),
}  # fmt: skip
"""H1: begun with the inverse of h1_default.md, section 2 (diagonal 1.045, 1.25, 1.111; offset 0.082), and corrected by
what a student of that made of 12 commands: sideways 9 % too fast, and drifting left as it walked or turned. H1-2: from
48 walks of this expert over the same commands, and of a student of it; its heavier arms move its speed by 7 m/s a metre
of the centre of mass; told ahead, that leaves a fifth of the spread (0.3 m/s gave 0.19 to 0.40, now 0.31 to 0.33).
With gains 30 % too low it walks on in 20 of 25 runs where its ankles are left as soft as they are, in 7 where not."""


class Network:
    """The recurrent network: LSTM, linear, ELU, linear."""

    def __init__(self, weights: Mapping[str, Float32], count: int) -> None:
        self._in, self._rec = weights["memory.weight_ih_l0"].T.copy(), weights["memory.weight_hh_l0"].T.copy()
        self._bias = weights["memory.bias_ih_l0"] + weights["memory.bias_hh_l0"]
        self._first, self._first_bias = weights["actor.0.weight"].T.copy(), weights["actor.0.bias"]
        self._last, self._last_bias = weights["actor.2.weight"].T.copy(), weights["actor.2.bias"]
        self._hidden = self._rec.shape[0]
        self._h = np.zeros((count, self._hidden), dtype=np.float32)
        self._c = np.zeros_like(self._h)

    def reset(self, which: Bools) -> None:
        """These robots begin to walk."""
        self._h[which] = 0.0
        self._c[which] = 0.0

    def __call__(self, observation: Float32) -> Float32:
        """Raw actions (k, legs) of observations (k, inputs)."""
        gates = observation @ self._in + self._h @ self._rec + self._bias
        i, f, g, o = np.split(gates, 4, axis=1)
        self._c = _sigmoid(f) * self._c + _sigmoid(i) * np.tanh(g)
        self._h = _sigmoid(o) * np.tanh(self._c)
        a = self._h @ self._first + self._first_bias
        out: Float32 = np.where(a > 0.0, a, np.expm1(np.minimum(a, 0.0))) @ self._last + self._last_bias
        return out


class WalkingExpert:
    """Legs of every robot of a world as if all of them walked."""

    def __init__(self, teacher: Path, world: World, obeyed: Obeyed | None = None) -> None:
        """Raises:
        CannotImport: the file is no such network.
        """
        self._network = Network(tensors(teacher), world.count)
        self._world, self.obeyed = world, obeyed or OBEYED[world.walker.model.name]

    def reset(self, which: Bools) -> None:
        """These robots begin to walk."""
        self._network.reset(which)

    def __call__(self, command: Array, balance: Balance) -> Float32:
        """Raw actions (k, legs) for a velocity forward, left, turn (k, 3)."""
        world, legs = self._world, len(self._world.walker.legs)
        o = self.obeyed
        told = command @ np.transpose(o.matrix) + o.offset + o.loop_gain * (command - balance.velocity)
        told[:, 0] += o.forward_square * np.maximum(command[:, 0], 0.0) ** 2
        moved = world.mass_place()[:, :2] - (o.mass_ahead_m, 0.0)
        told[:, :2] -= o.mass_velocity * moved
        felt = gravity(world.qpos[:, 3:7])
        felt[:, :2] += o.mass_lean * moved
        told = np.clip(told, np.negative(o.largest), o.largest) * COMMAND_SCALE
        angle = world.angle()[:, None]
        seen = np.hstack((
            world.qvel[:, 3:6] * GYRO_SCALE, felt, told,
            world.qpos[:, 7 : 7 + legs] - world.walker.default[:legs], world.qvel[:, 6 : 6 + legs] * DQ_SCALE,
            world.last_action, np.sin(angle), np.cos(angle),
        ))  # fmt: skip
        return self._network(seen.astype(np.float32))


def _sigmoid(x: Float32) -> Float32:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
