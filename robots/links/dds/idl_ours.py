"""The message between our own processes: a record of shared memory, sent instead. Notation of `idl.py`.

No robot has topics of this type: whoever answers on one is a program of this project.
"""

from __future__ import annotations

MODULE = "teleopd.msg.dds_"
TABLES = {"Record_": "schema i64, data b[]"}
