"""The parsers of foreign bytes, and true packets to begin from: of our own encoders and emulators, or by `struct`."""

from __future__ import annotations

from natnet_target import NATNET
from network_target import NETWORK
from pico_target import PICO
from tap_target import TAP
from vmc_target import VMC
from xsens_target import XSENS, XSENS_TCP

TARGETS = {target.name: target for target in (XSENS, XSENS_TCP, NATNET, PICO, NETWORK, VMC, TAP)}
