"""The student: observation to raw leg actions, with its input normalisation inside, and one bit that it remembers.

The bit says whether it steps: what to do with a foot in the air depends on whether it is walked or was pushed, and
eight ticks of history do not always show that. It comes in as it went out a tick before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from teleopd.service.policy.train.channels import Float32
from teleopd.service.policy.train.student import INPUT_CLIP, STD_FLOOR

HIDDEN = (256, 256, 128)


class LegStudent(nn.Module):
    """(action, step) = MLP(clip((x - mean) / std)); SiLU between layers. The last of x is whether it steps now."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int] = HIDDEN) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        widths = [inputs + 1, *hidden, outputs + 1]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.zeros(inputs + 1))
        self.register_buffer("std", torch.ones(inputs + 1))

    def linears(self) -> list[nn.Linear]:
        """The linear layers, first to last."""
        return [layer for layer in self.body if isinstance(layer, nn.Linear)]

    def normalise_to(self, samples: Float32) -> None:
        """Fix mean and deviation of the inputs to those of `samples` (k, inputs + 1)."""
        self.mean.copy_(torch.from_numpy(samples.mean(axis=0)))
        self.std.copy_(torch.from_numpy(np.maximum(samples.std(axis=0), STD_FLOOR)))

    def amplify(self, column: int, factor: float) -> None:
        """Take an input for `factor` times what it says: for a command that is obtained in part only.

        Raises:
            ValueError: the factor is not within 0.5 and 2.
        """
        if not 0.5 <= factor <= 2.0:
            raise ValueError(f"an input counts {factor:g} times; give a factor from 0.5 to 2")
        self.mean[column] /= factor
        self.std[column] /= factor

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Raw actions, then how sure it is to step (above 0: yes), (k, outputs + 1), of (k, inputs + 1)."""
        inputs = ((seen - self.mean) / self.std).clamp(-INPUT_CLIP, INPUT_CLIP)
        out: torch.Tensor = self.body(inputs)
        return out

    @torch.inference_mode()
    def act(self, seen: Float32, steps: Float32) -> tuple[Float32, Float32]:
        """Raw actions (k, outputs) and whether it steps (k,), 0 or 1, for observations (k, inputs) and steps before."""
        out = self(torch.from_numpy(np.hstack((seen, steps[:, None])))).numpy()
        return out[:, :-1], (out[:, -1] > 0.0).astype(np.float32)
