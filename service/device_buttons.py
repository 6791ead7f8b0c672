"""What a capture device's buttons do: soft stop, force limit, episodes. Which does what, the device's options say."""

from __future__ import annotations

from collections.abc import Collection

from teleopd.robots.ipc.session import Session
from teleopd.safety.operator import OperatorWriter
from teleopd.service.capture.wishes import EpisodeButtons, EpisodeWishes
from teleopd.service.force_limit import ForceLimitButtons, ForceLimitWriter
from teleopd.service.streams import Bus

STOP = "stop"
"""The name a button must have to be the soft stop: a press returns to stand, holding it for a second damps."""


class DeviceButtons:
    """Takes the buttons of every frame, of refused ones too: a stop needs no good posture."""

    def __init__(self, session: Session, bus: Bus) -> None:
        self._operator = OperatorWriter(bus.slot("operator_device"), session.token)
        self._limit = ForceLimitButtons(ForceLimitWriter(bus.slot("compliance_device"), session.token))
        self._policy = bus.slot("policy_status")
        self._episodes = EpisodeButtons(EpisodeWishes(bus.slot("episode_device"), session.token))
        self._recorder = bus.slot("recorder_status")

    def step(self, buttons: Collection[str], now_ns: int) -> None:
        """Names of the buttons that are pressed now."""
        self._operator.stop_button(STOP in buttons, now_ns)
        self._limit.step(buttons, self._policy.read(), now_ns)
        self._episodes.step(buttons, self._recorder.read(), now_ns)
