"""A robot in a process of its own, for tests: speaks when told to, on lines of its standard input.

usage: robot_peer.py ROBOT DOMAIN. Lines: 'state TICK [bad]', 'mode NAME', 'poll SECONDS', 'heard'; each is answered by
one line: 'ok' or, for 'heard', 'NUMBER REJECTED q_0 mode_machine' of the newest command.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.cdr import LowCmdDecoder, checksum_stored
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherServer
from teleopd.robots.links.dds.transport import Participant

model = load_robot(sys.argv[1])
participant = Participant("lo", int(sys.argv[2]))
states = participant.writer("rt/lowstate", model.wire, "LowState_")
commands = participant.reader("rt/lowcmd", model.wire, "LowCmd_")
server = MotionSwitcherServer(participant)
encoder, decoder = LowStateEncoder(model), LowCmdDecoder(model)
received = rejected = 0
newest = None
n = model.n
print("ok", flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    answer = "ok"
    if word == "state":
        data = encoder.encode(state_at_rest(model, tick=int(rest[0]))._replace(q=np.arange(model.n) * 0.01))
        states.write(data if len(rest) == 1 else data[:-1] + bytes([data[-1] ^ 1]))
    elif word == "mode":
        server.mode = "" if rest == [] else rest[0]
    elif word == "poll":
        until = time.monotonic() + float(rest[0])
        while time.monotonic() < until:
            server.poll()
            time.sleep(0.001)
    elif word == "heard":
        for data in commands.take():
            if checksum_stored(data, decoder.layout):
                received, newest = received + 1, decoder.decode(data)
            else:
                rejected += 1
        shown = "none" if newest is None else f"{newest.q[0]:.6f} {newest.mode_machine}"
        answer = f"{received} {rejected} {shown}"
    print(answer, flush=True)
