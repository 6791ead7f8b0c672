"""The two stops on the vendor's own remote control, whose bytes travel in `LowState`.

It needs no token: it is the robot's own radio, it can only lower authority, and it must work when all else is broken.
Bytes 2 and 3 are bit fields: R1 L1 start select R2 L2 F1 F2, and A B X Y up right down left.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.safety.operator import BOUNCE_NS
from teleopd.safety.words import Act

_SELECT, _L2 = 0x08, 0x20
_B = 0x02


class RemoteStops:
    """`select` is a soft stop and, held, damps; L2+B damps (the vendor's own habit). An act is given once a press."""

    def __init__(self, long_press_ns: int) -> None:
        self._long_press_ns = long_press_ns
        self._pressed = Act.NONE
        self._since_ns = self._released_ns = 0  # no press yet
        """When the press began, 0 once it was long; when it was let go, 0 while it lasts."""

    def read(self, remote: npt.NDArray[np.uint8], t_ns: int) -> Act:
        """The act that begins with these bytes, shape (40,), received at `t_ns`; NONE while a press lasts."""
        first, second = int(remote[2]), int(remote[3])
        if first & _L2 and second & _B:
            now = Act.DAMP
        elif first & _SELECT:
            now = Act.STOP
        else:
            self._released_ns = self._released_ns or t_ns
            return Act.NONE
        if now is not self._pressed or (self._released_ns and t_ns - self._released_ns >= BOUNCE_NS):
            self._pressed, self._since_ns, self._released_ns = now, t_ns, 0
            return now
        self._released_ns = 0
        if now is Act.STOP and self._since_ns and t_ns - self._since_ns >= self._long_press_ns:
            self._since_ns = 0
            return Act.DAMP
        return Act.NONE
