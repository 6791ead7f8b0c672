"""A gamepad that is none: true `input_event` bytes through a named pipe, or a device the kernel makes (uinput)."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from teleopd.drivers.gamepad import wire
from teleopd.drivers.gamepad.wire import EV_ABS, EV_KEY, REPORT, Event

UINPUT = Path("/dev/uinput")
LOW, HIGH = -32768, 32767
# linux/uinput.h: _IO and _IOW of 'U'; int for the bits, struct uinput_setup and uinput_abs_setup for the others.
_CREATE, _DESTROY, _DEV_SETUP, _ABS_SETUP = 0x5501, 0x5502, 0x405C5503, 0x401C5504
_SET_EVBIT, _SET_KEYBIT, _SET_ABSBIT = 0x40045564, 0x40045565, 0x40045567
_SETUP = struct.Struct("@4H80sI")
"""bustype, vendor, product, version, name, ff_effects_max"""
_ABS = struct.Struct("@Hxx6i")
"""code, then struct input_absinfo"""
_BUS_USB = 0x03
_BUTTON_CODES = {name: code for code, name in wire.BUTTONS.items()}
_AXIS_CODES = {name: code for code, name in wire.AXES.items()}


class _Writer:
    """Buttons and sticks as events into a file descriptor."""

    fd: int

    def button(self, name: str, down: bool) -> None:
        """Press a button or let it go."""
        self._write(Event(EV_KEY, _BUTTON_CODES[name], int(down)))

    def axis(self, name: str, share: float) -> None:
        """Move a stick: -1 (up, left) to 1."""
        self._write(Event(EV_ABS, _AXIS_CODES[name], round(share * (HIGH if share > 0.0 else -LOW))))

    def _write(self, event: Event) -> None:
        os.write(self.fd, wire.encode(event, REPORT))


class PipePad(_Writer):
    """A pad at the end of a named pipe; closing it is unplugging it."""

    def __init__(self, path: Path) -> None:
        """Make the pipe unless it is there. Both ends are held open, so that a reader may come and go."""
        if not path.exists():
            os.mkfifo(path)
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def close(self) -> None:
        """Unplug it."""
        os.close(self.fd)


class KernelPad(_Writer):
    """A pad the kernel makes; it appears in /dev/input. Needs a writable /dev/uinput."""

    def __init__(self, name: str = "teleopd test pad") -> None:
        """Raises OSError where uinput may not be used."""
        self.fd = os.open(UINPUT, os.O_WRONLY | os.O_NONBLOCK)
        for kind in (EV_KEY, EV_ABS):
            fcntl.ioctl(self.fd, _SET_EVBIT, kind)
        for code in wire.BUTTONS:
            fcntl.ioctl(self.fd, _SET_KEYBIT, code)
        for code, axis in wire.AXES.items():
            fcntl.ioctl(self.fd, _SET_ABSBIT, code)
            low, high = (-1, 1) if axis.startswith("hat") else (LOW, HIGH)
            fcntl.ioctl(self.fd, _ABS_SETUP, _ABS.pack(code, 0, low, high, 0, 0, 0))
        fcntl.ioctl(self.fd, _DEV_SETUP, _SETUP.pack(_BUS_USB, 0x1209, 0x7E1E, 1, name.encode(), 0))
        fcntl.ioctl(self.fd, _CREATE)

    def close(self) -> None:
        """Unplug it."""
        fcntl.ioctl(self.fd, _DESTROY)
        os.close(self.fd)
