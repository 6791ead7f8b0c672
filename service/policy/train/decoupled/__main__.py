"""`python -m teleopd.service.policy.train.decoupled`."""

from teleopd.service.policy.train.decoupled.cli import main

raise SystemExit(main())
