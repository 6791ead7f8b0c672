"""`python -m teleopd.service.policy.train`."""

import sys

from teleopd.service.policy.train.cli import main

if __name__ == "__main__":
    sys.exit(main())
