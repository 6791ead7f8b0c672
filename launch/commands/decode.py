"""`teleop decode`: every packet of a file as one JSON line, or why it cannot be read."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tyro

from teleopd.drivers.home import expanded
from teleopd.drivers.natnet.messages import Version
from teleopd.drivers.tap.capture import read_capture
from teleopd.drivers.tap.decode import BITSTREAMS, Decoder
from teleopd.launch.errors import CommandError


@dataclass(frozen=True, slots=True)
class Decode:
    """Print every packet of a capture as one JSON line: where it is, when it came, what it says, or why it cannot be
    read."""

    device: Annotated[Literal["natnet", "optitrack", "pico", "xsens", "network", "vmc"], tyro.conf.Positional]
    """Whose packets they are; natnet and optitrack are the same."""
    file: Annotated[Path, tyro.conf.Positional]
    """A capture (pcap, pcapng), or one raw packet."""
    natnet: str = ""
    """NatNet bitstream, as 3.0, where the file does not hold the server's own word; found out when not given."""
    limit: int = 0
    """Stop after so many packets; 0: all."""

    def run(self) -> int:
        """Print; 0 when the file could be read, whatever its packets are."""
        if self.limit < 0:
            raise CommandError(f"--limit is {self.limit}; give 0 or more")
        device = "optitrack" if self.device == "natnet" else self.device
        decoder = Decoder(device, self._version())
        capture = read_capture(expanded(self.file, CommandError))
        if not capture.arrivals and capture.trouble:
            raise CommandError(f"{self.file}: {capture.trouble}")
        first_ns = capture.arrivals[0].t_ns if capture.arrivals else 0
        arrivals = capture.arrivals[: self.limit or None]
        for number, arrival in enumerate(arrivals, 1):
            self._print(decoder.line(number, arrival, first_ns))
        if capture.trouble and len(arrivals) == len(capture.arrivals):
            self._print({"error": capture.trouble})
        return 0

    def _version(self) -> Version | None:
        if not self.natnet:
            return None
        match = re.fullmatch(r"(\d+)\.(\d+)", self.natnet)
        version = (int(match[1]), int(match[2])) if match else (0, 0)
        if version not in BITSTREAMS:
            known = ", ".join(f"{major}.{minor}" for major, minor in BITSTREAMS)
            raise CommandError(f"--natnet is '{self.natnet}'; give one of {known}")
        return version

    @staticmethod
    def _print(line: object) -> None:
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
