"""`python -m teleopd.service.policy.train.decoupled`."""

import os

# Before numpy comes: a second thread of its products spins beside the physics and takes most of a busy machine's tick.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from teleopd.service.policy.train.decoupled.cli import main

raise SystemExit(main())
