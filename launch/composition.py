"""What one run is made of: resolved, and refused where it cannot work, before any process exists; then started."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from teleopd.drivers.home import expanded
from teleopd.drivers.source import Source
from teleopd.launch import registry
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.console_access import check_certificate
from teleopd.launch.preparation import prepare_solver
from teleopd.launch.processes import Processes
from teleopd.launch.qualification import require_record
from teleopd.launch.recording import recording_folder, start_recorder
from teleopd.launch.robot_link import link_options, open_hand, require_virtual
from teleopd.launch.sources import begin_tap, make_source, source_options
from teleopd.launch.telemetry import start_telemetry, telemetry_settings
from teleopd.robots.ipc.session import Session
from teleopd.robots.links.hand import VirtualHand
from teleopd.robots.model import Array, RobotModel
from teleopd.robots.virtual.perturbation import perturbation
from teleopd.robots.virtual.process import VirtualOptions
from teleopd.safety.limits import SafetyLimits
from teleopd.service.compliance import check_fits
from teleopd.service.policy.card import gains_for
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve
from teleopd.service.policy.lookahead import with_lookahead
from teleopd.service.retarget.operator_file import load_operator, operator_path


class Composition:
    """The parts of one run of the service."""

    def __init__(self, config: RunConfig) -> None:
        """
        Raises:
            UnknownName, PolicyError, LimitError, SourceError ...: the set-up cannot work, and why.
        """
        self.config = config
        self.model: RobotModel = registry.load("robot", config.robot)
        registry.check("link", config.link)
        self._link_options = link_options(config)
        check_certificate(config)
        self.check_source()
        self.policy = self._resolved()
        SafetyLimits.of(self.model, overrides=config.safety)  # refuses a loosened or unknown limit
        self.qualification = self._qualified()
        self.operator = str(operator_path(config.operator)) if config.operator else ""
        """File of the operator's calibration; empty: none."""
        if self.operator:
            load_operator(Path(self.operator))
        self.record = recording_folder(config)
        """Where episodes go; None: nothing is recorded."""
        self.hand: VirtualHand | None = None
        """On a robot that may be a virtual one, from `start` on; whoever starts closes it, also after a failure."""
        self._telemetry = telemetry_settings(config, self.model, self.policy)

    def _resolved(self) -> ResolvedPolicy | None:
        config = self.config
        if config.kinematic or self.arms_mode:
            return None
        policy = resolve(config.policy or None, self.model)
        if policy is None:
            return None
        card = with_lookahead(policy.card, config.lookahead)
        check_fits(card, config.compliance.force_limit, config.compliance.admittance)
        return policy._replace(card=card)

    def _qualified(self) -> str:
        """What the report says of the policy's qualification; a real link refuses a policy without one."""
        if self.policy is None or self.config.auto_engage_virtual:  # which a real robot is refused with
            return "not required"
        named = self.config.qualification
        place = expanded(named, ConfigError, "--qualification ") if named else None
        return require_record(
            self.config.link, self.policy, self.model, unqualified=self.config.unqualified, place=place
        )

    @property
    def policy_name(self) -> str:
        """Name of the policy's card; empty where there is no policy."""
        return self.policy.card.name if self.policy is not None else ""

    @property
    def arms_mode(self) -> bool:
        """The vendor's controller balances; only the arms are commanded."""
        return self.config.mode == "arms"

    @property
    def drives(self) -> bool:
        """There is a robot in this run, virtual or not."""
        return self.policy is not None or self.arms_mode

    @property
    def engages_alone(self) -> bool:
        """The run has a deadman of its own."""
        return self.config.auto_engage or self.config.auto_engage_virtual

    @property
    def arms_alone(self) -> bool:
        """The run readies and arms by itself; engaging is left to others."""
        return self.config.auto_arm

    def check_source(self) -> None:
        """Refuse a source that cannot be made."""
        source_options(self.config)
        _tap(self.config)

    def start(
        self, session: Session, processes: Processes, say: Callable[[str], None], ending: Callable[[], bool]
    ) -> None:
        """Start every process but the console, and take the hand on a virtual robot, where there is one.

        `ending`: the end was asked for, and waiting for the robot to prove that it is virtual is over.
        """
        config = self.config
        start_recorder(processes, session, self.record, config, self.model, self.policy, self.operator)
        start_telemetry(processes, session, config.robot, self._telemetry)
        self.prepare_source(say)
        if self.drives:
            self.hand = open_hand(config, session, self.model, say)
            require_virtual(self.hand, config, ending)
            self._start_robot(session, processes)
        else:
            say("kinematic preview" if config.kinematic else absent_sentence(self.model))
        self.start_source(processes, session, say)

    def _start_robot(self, session: Session, processes: Processes) -> None:
        config = self.config
        if config.link == "sim":
            options = VirtualOptions(
                physics_hz=int(config.physics_hz), perturbation=perturbation(config.perturbation), seed=config.seed,
                odometry=True,
            )  # fmt: skip
            described = registry.reference("robot", config.robot)
            processes.start("virtual-robot", session=session, robot=described, options=options)
        common: dict[str, Any] = {"session": session, "robot": config.robot, "link": config.link}
        processes.start(
            "robot-io", **common, card_gains=self._card_gains(), overrides=config.safety,
            latched_engage=config.latched_engage, options=self._link_options,
        )  # fmt: skip
        self.start_control(processes, common)

    def start_control(self, processes: Processes, common: dict[str, Any]) -> None:
        """The processes that make targets. `common`: arguments that robot-io was given too."""
        config = self.config
        if self.arms_mode:
            processes.start("arms", session=common["session"], robot=config.robot, overrides=config.safety)
            return
        common |= {
            "policy": self.policy, "force_limit_n": config.compliance.force_limit,
            "admittance": config.compliance.admittance, "overrides": config.safety,
        }  # fmt: skip
        processes.start("control", **common)
        if config.standby:
            processes.start("standby", **common, standby=True)

    def prepare_source(self, say: Callable[[str], None]) -> None:
        """What takes long, before any process waits for it."""
        prepare_solver(self.config.solver, say)

    def start_source(self, processes: Processes, session: Session, say: Callable[[str], None]) -> None:
        """The process that makes references."""
        config = self.config
        if tap := _tap(config):
            begin_tap(Path(tap))
        card = (self.policy_name, self.policy.card.role if self.policy is not None else "tracker")
        processes.start(
            "source", session=session, robot=config.robot, make_source=self.source_of(config), solver=config.solver,
            policy=card, operator=self.operator, input_filter=config.input_filter,
        )  # fmt: skip

    def source_of(self, config: RunConfig) -> Callable[[], Source]:
        """What makes the source in its own process."""
        return functools.partial(make_source, config.source, source_options(config), _tap(config))

    def _card_gains(self) -> tuple[str, Array, Array]:
        """The policy's name and gains on this link, for the gate's whitelist."""
        if self.policy is None:  # mode arms: the stand gains
            return "arms", self.model.kp_ready, self.model.kd_ready
        card = self.policy.card
        return card.name, *gains_for(card, self.model, self.config.link)


def _tap(config: RunConfig) -> str:
    return str(expanded(config.tap, ConfigError, "--tap ").absolute()) if config.tap else ""
