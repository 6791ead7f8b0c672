"""Feed teleopd from any program: a person who stands in the T-pose and waves, sent 60 times a second as JSON over UDP.

Run `teleop serve --source network --robot unitree_g1 --link sim` beside it. Needs nothing but Python.
"""

import json
import math
import socket
import time

TRUNK = {"Pelvis": (0, 0, 0.93), "L5": (0, 0, 1.03), "L3": (0, 0, 1.14), "T12": (0, 0, 1.24), "T8": (0, 0, 1.35),
         "Neck": (0, 0, 1.5), "Head": (0, 0, 1.59)}  # fmt: skip
LEFT = {"Shoulder": (0, 0.03, 1.43), "UpperArm": (0, 0.23, 1.43), "ForeArm": (0, 0.55, 1.43), "Hand": (0, 0.81, 1.43),
        "UpperLeg": (0, 0.08, 0.93), "LowerLeg": (0, 0.08, 0.5), "Foot": (0, 0.08, 0.07), "Toe": (0.13, 0.08, 0.02)}
RIGHT = {name: (x, -y, z) for name, (x, y, z) in LEFT.items()}
BODY = TRUNK | {"Left" + k: p for k, p in LEFT.items()} | {"Right" + k: p for k, p in RIGHT.items()}
FOREARM = (0.55, 1.43)  # y and z of the left elbow [m]

sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for seq in range(60 * 60):
    bend = 0.7 - 0.5 * math.cos(seq / 30)  # the left forearm goes up by this angle about X [rad]
    turn = {"LeftForeArm": (math.cos(bend / 2), math.sin(bend / 2), 0, 0)}
    turn["LeftHand"] = turn["LeftForeArm"]
    hand = (0, FOREARM[0] + 0.26 * math.cos(bend), FOREARM[1] + 0.26 * math.sin(bend))
    body = BODY | {"LeftHand": hand}
    frame = {"schema": "teleopd.pose/1", "seq": seq, "stamp_ns": time.monotonic_ns(), "names": list(body),
             "pos_m": list(body.values()), "quat_wxyz": [turn.get(name, (1, 0, 0, 0)) for name in body]}  # fmt: skip
    sender.sendto(json.dumps(frame).encode(), ("127.0.0.1", 9870))
    time.sleep(1 / 60)
