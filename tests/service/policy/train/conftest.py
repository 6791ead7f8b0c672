"""Clips made of numbers, so that no capture is needed. Every module here skips itself where torch is absent."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def card():
    """The shipped card's layout and gains, without weights."""
    from teleopd.service.policy.train.export import training_card

    return training_card()


@pytest.fixture(scope="session")
def swaying():
    """Eight seconds of swaying arms and knees, standing."""
    from teleopd.service.policy.train.channels import JOINTS, Clip, stand

    t = np.arange(400) / 50.0
    channels = np.tile(stand(), (400, 1))
    channels[:, JOINTS] += 0.1 * np.sin(2 * np.pi * 0.5 * t)[:, None] * np.linspace(-1, 1, 29)
    return Clip("swaying", channels)


@pytest.fixture(scope="session", params=("unitree_h1", "unitree_h1_2"))
def walker(request):
    """A robot whose legs a policy of ours moves."""
    from teleopd.service.policy.train.decoupled.walker import WALKERS

    return WALKERS[request.param]()
