"""The student: observation to raw leg actions, with its input normalisation inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from teleopd.service.policy.train.channels import Float32
from teleopd.service.policy.train.student import INPUT_CLIP, STD_FLOOR

HIDDEN = (256, 256, 128)


class LegStudent(nn.Module):
    """action = MLP(clip((x - mean) / std)); SiLU between layers."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int] = HIDDEN) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        widths = [inputs, *hidden, outputs]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def linears(self) -> list[nn.Linear]:
        """The linear layers, first to last."""
        return [layer for layer in self.body if isinstance(layer, nn.Linear)]

    def normalise_to(self, samples: Float32) -> None:
        """Fix mean and deviation of the inputs to those of `samples` (k, inputs)."""
        self.mean.copy_(torch.from_numpy(samples.mean(axis=0)))
        self.std.copy_(torch.from_numpy(np.maximum(samples.std(axis=0), STD_FLOOR)))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Raw actions (k, outputs)."""
        inputs = ((seen - self.mean) / self.std).clamp(-INPUT_CLIP, INPUT_CLIP)
        out: torch.Tensor = self.body(inputs)
        return out

    @torch.inference_mode()
    def act(self, seen: Float32) -> Float32:
        """Raw actions for numpy observations, (k, outputs)."""
        return np.asarray(self(torch.from_numpy(seen)).numpy())
