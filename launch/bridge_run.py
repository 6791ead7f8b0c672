"""One run of the bridge: a run of the service whose targets come over LCM instead of from a source and a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from teleopd.launch.composition import Composition
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.processes import Processes
from teleopd.launch.service_run import ServiceRun
from teleopd.robots.ipc.session import Session
from teleopd.robots.links.lcm.transport import parse_url, require_lcm

SOURCE = "lcm"
"""What the run report names as the source."""


class BridgeComposition(Composition):
    """robot-io, a local policy, its standby twin, and LCM."""

    def __init__(self, config: RunConfig, url: str) -> None:
        """`url`: of LCM.

        Raises:
            ConfigError: not an LCM URL; a policy is missing.
            LinkUnavailable: the lcm package is missing.
        """
        try:
            parse_url(url)
        except ValueError as error:
            raise ConfigError(f"lcm_url: {error}") from None
        require_lcm()
        self._url = url
        super().__init__(config)
        if self.policy is None:
            raise ConfigError(
                f"the bridge needs a policy that stands by itself, and {config.robot} has none here; give --policy"
            )

    @property
    def engages_alone(self) -> bool:
        """The sender's deadman engages."""
        return False

    @property
    def arms_alone(self) -> bool:
        """Of a robot that has proved to be virtual; the sender's deadman engages it."""
        return self.config.auto_engage_virtual

    def check_source(self) -> None:
        """There is none."""

    def start_control(self, processes: Processes, common: dict[str, Any]) -> None:
        """Targets from the wire, and the policy for when it is silent."""
        common |= {"policy": self.policy, "overrides": self.config.safety}
        processes.start("bridge", **common, url=self._url)
        if self.config.standby:
            processes.start("standby", **common, standby=True)

    def prepare_source(self, say: Callable[[str], None]) -> None:
        """Nothing is retargeted here."""

    def start_source(self, processes: Processes, session: Session, say: Callable[[str], None]) -> None:
        """None: it is another computer's."""
        say(f"targets are taken from {self._url}")


class BridgeRun(ServiceRun):
    """A run of the service with the bridge's parts."""

    def __init__(
        self, config: RunConfig, url: str, *, say: Callable[[str], None] | None = None, live: bool = False
    ) -> None:
        """`url`: of LCM. Raises what `BridgeComposition` raises."""
        super().__init__(config, say=say, live=live, parts=BridgeComposition(config, url))
