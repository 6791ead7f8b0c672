"""The student: a small network that corrects the reference, with its input normalisation; and its running average."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from teleopd.service.policy.train.channels import JOINTS, Float32, N
from teleopd.service.policy.train.features import ACTION_SCALE, COLUMNS, DEFAULT

HIDDEN = (512, 384, 256)
STD_FLOOR = 0.02
INPUT_CLIP = 8.0
"""Normalised inputs are held within this."""
LAST_LAYER_GAIN = 0.1
"""The correction starts small."""


class Student(nn.Module):
    """action = (reference joints - default) / scale + MLP(clip((x - mean) / std)); SiLU between layers.

    `forward` takes the used columns (k, 537), in which the reference stands first.
    """

    mean: torch.Tensor
    std: torch.Tensor
    default: torch.Tensor

    def __init__(self, hidden: Sequence[int] = HIDDEN) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        widths = [len(COLUMNS), *hidden, N]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.body = nn.Sequential(*layers[:-1])
        last = self.linears()[-1]
        with torch.no_grad():
            last.weight *= LAST_LAYER_GAIN
            last.bias.zero_()
        self.register_buffer("mean", torch.zeros(len(COLUMNS)))
        self.register_buffer("std", torch.ones(len(COLUMNS)))
        self.register_buffer("default", torch.tensor(DEFAULT, dtype=torch.float32))

    def linears(self) -> list[nn.Linear]:
        """The linear layers, first to last."""
        return [layer for layer in self.body if isinstance(layer, nn.Linear)]

    def normalise_to(self, samples: Float32) -> None:
        """Fix mean and deviation of the inputs to those of `samples` (k, 537)."""
        self.mean.copy_(torch.from_numpy(samples.mean(axis=0)))
        self.std.copy_(torch.from_numpy(np.maximum(samples.std(axis=0), STD_FLOOR)))

    def forward(self, used: torch.Tensor) -> torch.Tensor:
        """Raw actions (k, 29)."""
        residual = (used[:, JOINTS] - self.default) / ACTION_SCALE
        inputs = ((used - self.mean) / self.std).clamp(-INPUT_CLIP, INPUT_CLIP)
        out: torch.Tensor = residual + self.body(inputs)
        return out

    @torch.inference_mode()
    def act(self, used: Float32) -> Float32:
        """Raw actions for numpy observations, (k, 29)."""
        return np.asarray(self(torch.from_numpy(used)).numpy())


@torch.no_grad()
def between(one: Student, other: Student, share: float) -> Student:
    """The network whose weights lie between those of two, `share` of the way from `one` (Wortsman et al. 2022).

    Meant for a network and one that was trained on from it: they share the inputs' normalisation.
    """
    first, second = one.state_dict(), other.state_dict()
    made = Student(one.hidden)
    made.load_state_dict({name: torch.lerp(first[name], second[name], share) for name in first})
    return made


@torch.no_grad()
def follow(average: nn.Module, student: nn.Module, decay: float) -> None:
    """Move the running average towards the student: average = decay average + (1 - decay) student."""
    for slow, fast in zip(average.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1.0 - decay)
