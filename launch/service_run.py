"""One run of the service: the parent that composes the processes, watches them, reports, and ends them in order."""

from __future__ import annotations

import contextlib
import functools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from teleopd.drivers.source import Source
from teleopd.launch import registry
from teleopd.launch.battery import BatteryWarning
from teleopd.launch.config import RunConfig
from teleopd.launch.console_access import start_console
from teleopd.launch.errors import CommandError
from teleopd.launch.operator_script import BALANCING, Gantry, OperatorScript
from teleopd.launch.preparation import prepare_solver
from teleopd.launch.processes import ProcessCpu, Processes
from teleopd.launch.qualification import require_record
from teleopd.launch.recording import end_recording, recording_folder, start_recorder
from teleopd.launch.robot_link import link_options, loop_of, open_hand, require_virtual
from teleopd.launch.run_log import RunLog
from teleopd.launch.setup_choice import SetupChoice, facts_of
from teleopd.launch.silence import replace_hung
from teleopd.launch.sounds import Sounds
from teleopd.launch.sources import begin_tap, make_source, source_options
from teleopd.launch.telemetry import start_telemetry, telemetry_settings
from teleopd.launch.watchdog import Notifier, Watchdog
from teleopd.robots.ipc.session import Session, SessionOwner
from teleopd.robots.links.hand import VirtualHand
from teleopd.robots.links.sim.wire import VirtualTruth
from teleopd.robots.model import Array, RobotModel
from teleopd.robots.virtual.perturbation import perturbation
from teleopd.robots.virtual.process import VirtualOptions
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Cause, Mode, SafetyStatus
from teleopd.service.child import REFUSED_EXIT, refusal
from teleopd.service.compliance import check_fits
from teleopd.service.console.snapshot import read_snapshot
from teleopd.service.console.status_line import render_status
from teleopd.service.console.trace import TraceRecorder
from teleopd.service.policy.card import gains_for
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve
from teleopd.service.policy.lookahead import with_lookahead
from teleopd.service.retarget.operator_file import load_operator, operator_path
from teleopd.service.streams import Bus
from teleopd.service.telemetry.report import RunCollector, RunIdentity

TICK_S = 0.05
"""Period of the parent's loop; well below the 250 ms heartbeat of a deadman."""
LOWER_S = 0.5
"""The gantry hands the weight to the feet over this long once the policy balances."""
COUNTDOWN_S = {"sim": 0.6}
"""How long a robot stands after the end was asked for, before it is damped; a virtual one hangs by then."""
COUNTDOWN_REAL_S = 10.0
BRING_DOWN_S = 6.0
"""Longest way from ACTIVE to damped, beside the countdown."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Each asks for the end. Ctrl-Z does nothing: a parent that is stopped watches over nobody."""
ENDING = "ending: back to stand, then damping; again: damp now"
VIDEO_FPS = 15
"""Software rendering takes about 0.25 s a frame."""


class ServiceRun:
    """Composes and runs one service. Use `run`, which returns the report."""

    def __init__(self, config: RunConfig, *, say: Callable[[str], None] | None = None, live: bool = False) -> None:
        """
        Args:
            config: resolved configuration.
            say: takes one sentence at a time; default prints to stderr.
            live: keep a live status panel on the terminal.

        Raises:
            UnknownName, PolicyError, LimitError, SourceError ...: the set-up cannot work, and why.
        """
        self.config = config
        self._console = Console(stderr=True, highlight=False)
        self._live = live
        self._say_out = say or self._console.print
        self.model: RobotModel = registry.load("robot", config.robot)
        registry.check("link", config.link)
        self._link_options = link_options(config)
        self._check_source()
        self.policy: ResolvedPolicy | None = (
            None if config.kinematic or self._arms_mode else resolve(config.policy or None, self.model)
        )
        if self.policy is not None:
            card = with_lookahead(self.policy.card, config.lookahead)
            check_fits(card, config.compliance.force_limit, config.compliance.admittance)
            self.policy = self.policy._replace(card=card)
        self._limits_check()
        self._qualification = self._qualified()
        self._operator = str(operator_path(config.operator)) if config.operator else ""
        if self._operator:
            load_operator(Path(self._operator))
        self._record = recording_folder(config)
        self._sounds = Sounds(config.sounds and self._record is not None)
        self._telemetry = telemetry_settings(config, self.model, self.policy)
        self._notes: list[str] = []
        self._asked: list[str] = []
        """Answers to signals, not yet said."""
        self._notifier = Notifier()
        self._watchdog = Watchdog(self._notifier)
        self._log = RunLog(config, self.model, self.policy.card.name if self.policy else "")
        self._cpu = ProcessCpu()
        self._sim: VirtualHand | None = None
        self._setup: SetupChoice | None = None
        self._battery = BatteryWarning()

    def _qualified(self) -> str:
        """What the report says of the policy's qualification; a real link refuses a policy without one."""
        if self.policy is None or self.config.auto_engage_virtual:  # which a real robot is refused with
            return "not required"
        place = Path(self.config.qualification).expanduser() if self.config.qualification else None
        return require_record(
            self.config.link, self.policy, self.model, unqualified=self.config.unqualified, place=place
        )

    @property
    def _arms_mode(self) -> bool:
        return self.config.mode == "arms"

    @property
    def _drives(self) -> bool:
        """There is a robot in this run, virtual or not."""
        return self.policy is not None or self._arms_mode

    def _check_source(self) -> dict[str, Any]:
        """Arguments of the source; refuses one that cannot be made."""
        return source_options(self.config)

    def _limits_check(self) -> None:
        """Refuse a loosened or unknown safety limit before any process exists."""
        SafetyLimits.of(self.model, overrides=self.config.safety)

    def say(self, sentence: str) -> None:
        """One sentence for the user."""
        self._notes.append(sentence)
        self._print(sentence)

    def _print(self, sentence: str) -> None:
        self._log.say(sentence)
        if self._log.speaks:
            return
        with contextlib.suppress(OSError):  # the terminal is gone: no reason for a robot to fall
            self._say_out(sentence)

    def run(self) -> dict[str, Any]:
        """Run until the time is over, Ctrl-C, or a part refuses its set-up; returns the run report.

        Raises:
            SessionBusy: another service runs for this robot.
            CommandError: a part refused its set-up; the sentence is its own.
        """
        self._log.open()
        owner = SessionOwner(self.config.robot)
        processes = Processes(self.say)
        self._script = OperatorScript(
            auto_engage=self._engages_alone, auto_arm=self._arms_alone, virtual=self.config.link == "sim",
            countdown_s=self._countdown_s, leaves=self.config.link == "lcm",
        )  # fmt: skip
        # In force until the last child is gone: a Ctrl-C too many must not leave children or shared memory behind.
        previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        try:
            self._bus = Bus(
                owner.session, self.model.n, create=True, record=self._record is not None,
                cameras=len(self.config.camera),
            )  # fmt: skip
            self._writer = OperatorWriter(self._bus.slot("operator_serve"), owner.session.token)
            self._compose(owner, processes)
            try:
                self._loop(owner, processes)
            except Exception:
                self._bring_down()
                raise
            recording = end_recording(self._bus, owner.session, processes, self.say)
            return {
                **self._collector.report(time.monotonic_ns(), recording), "qualification": self._qualification,
                "peer": self.config.peer if self.config.link == "dds" else None,
            }  # fmt: skip
        finally:
            processes.end()
            self._sounds.close()
            if self._sim is not None:
                self._sim.close()
            owner.close()
            self._log.close()
            self._notifier.close()
            for number, handler in previous.items():
                signal.signal(number, handler or signal.SIG_DFL)

    @property
    def _engages_alone(self) -> bool:
        return self.config.auto_engage or self.config.auto_engage_virtual

    @property
    def _arms_alone(self) -> bool:
        return self.config.auto_arm

    @property
    def _countdown_s(self) -> float:
        return COUNTDOWN_S.get(self.config.link, COUNTDOWN_REAL_S)

    def _compose(self, owner: SessionOwner, processes: Processes) -> None:
        config, session = self.config, owner.session
        start_recorder(processes, session, self._record, config, self.model, self.policy, self._operator)
        start_telemetry(processes, session, config.robot, self._telemetry)
        self._prepare_source()
        if not self._drives:
            self.say("kinematic preview" if config.kinematic else absent_sentence(self.model))
        else:
            self._sim = open_hand(config, session, self.model, self.say)
            require_virtual(self._sim, config, lambda: self._script.ending)
        if self._drives and config.link == "sim":
            options = VirtualOptions(
                physics_hz=int(config.physics_hz), perturbation=perturbation(config.perturbation), seed=config.seed,
                odometry=True,
            )  # fmt: skip
            described = registry.reference("robot", config.robot)
            processes.start("virtual-robot", session=session, robot=described, options=options)
        if self._drives:
            common: dict[str, Any] = {"session": session, "robot": config.robot, "link": config.link}
            processes.start(
                "robot-io", **common, card_gains=self._card_gains(), overrides=config.safety,
                latched_engage=config.latched_engage, options=self._link_options,
            )  # fmt: skip
            self._start_control(processes, common)
        self._start_source(processes, session)
        if config.view:
            facts = facts_of(config, self.model, self.policy, has_source="source" in processes.children)
            self._setup = SetupChoice(config, facts, session, processes, self._bus, self._source_of, self._operator)
            start_console(processes, session, config, self.say, facts)
        identity = RunIdentity(
            config.robot, config.source, self.policy.card.name if self.policy else None, config.sha256, GATE_STEPS
        )
        self._collector = RunCollector(self.model, identity, time.monotonic_ns())
        self._trace = TraceRecorder(keep=bool(config.video))
        self._lowered = self._hung = False

    def _start_control(self, processes: Processes, common: dict[str, Any]) -> None:
        """The processes that make targets. `common`: arguments that robot-io was given too."""
        config = self.config
        if self._arms_mode:
            processes.start("arms", session=common["session"], robot=config.robot, overrides=config.safety)
            return
        common |= {
            "policy": self.policy, "force_limit_n": config.compliance.force_limit,
            "admittance": config.compliance.admittance, "overrides": config.safety,
        }  # fmt: skip
        processes.start("control", **common)
        if config.standby:
            processes.start("standby", **common, standby=True)

    def _prepare_source(self) -> None:
        """What takes long, before any process waits for it."""
        prepare_solver(self.config.solver, self.say)

    def _start_source(self, processes: Processes, session: Session) -> None:
        config = self.config
        tap = str(Path(config.tap).expanduser().absolute()) if config.tap else ""
        if tap:
            begin_tap(Path(tap))
        source = self._source_of(config)
        card = (self.policy.card.name, self.policy.card.role) if self.policy is not None else ("", "tracker")
        processes.start(
            "source", session=session, robot=config.robot, make_source=source, solver=config.solver, policy=card,
            operator=self._operator, input_filter=config.input_filter,
        )  # fmt: skip

    def _source_of(self, config: RunConfig) -> Callable[[], Source]:
        """What makes the source in its own process."""
        tap = str(Path(config.tap).expanduser().absolute()) if config.tap else ""
        return functools.partial(make_source, config.source, source_options(config), tap)

    def _card_gains(self) -> tuple[str, Array, Array]:
        """The policy's name and gains on this link, for the gate's whitelist."""
        if self.policy is None:  # mode arms: the stand gains
            return "arms", self.model.kp_ready, self.model.kd_ready
        card = self.policy.card
        return card.name, *gains_for(card, self.model, self.config.link)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Says nothing: the loop may be in the middle of printing."""
        self._asked.append("damping now" if self._script.ending else ENDING)
        self._script.ask_end()

    def _bring_down(self) -> None:
        """This process failed while the robot may be standing: walk the ladder down with as little code as possible."""
        if not self._script.ending:
            self._script.ask_end()
        deadline = time.monotonic() + self._countdown_s + BRING_DOWN_S
        while not self._script.ended and time.monotonic() < deadline:
            time.sleep(TICK_S)
            with contextlib.suppress(Exception):  # what failed may fail here too; the next tick may not
                self._operate(self._bus.slot("safety_status").read(), time.monotonic_ns())

    def _loop(self, owner: SessionOwner, processes: Processes) -> None:
        started = time.monotonic()
        last_mode: Mode | None = None
        live = Live(console=self._console, refresh_per_second=5, transient=True) if self._live else None
        if live:
            live.start()
        try:
            while not self._script.ended:
                time.sleep(TICK_S)
                now_ns = time.monotonic_ns()
                status: SafetyStatus | None = self._bus.slot("safety_status").read()
                while self._asked:
                    self.say(self._asked.pop(0))
                if self._setup is not None:
                    self._setup.look(status)
                self._check_refusals(owner, processes, status)
                self._watchdog.look(processes, self._bus, None if status is None else Mode(status.mode), now_ns)
                if self._script.ending:
                    self._watchdog.stopping()
                replace_hung(processes, self._bus, now_ns)
                processes.watch()
                drained = self._collector.collect(self._bus)
                self._log.look(self._bus, now_ns)
                self._sounds.watch(self._bus.slot("recorder_status").read())
                self._watch_truth()
                self._warn_of(self._battery.sentence(self._bus.slot("link_status").read()))
                self._keep_trace(drained["tick_log"])
                self._operate(status, now_ns)
                self._stand_up_again(status, last_mode)
                last_mode = self._announce(status, last_mode)
                if live:
                    live.update(render_status(read_snapshot(
                        self._bus, now_ns, self._collector.latencies.recent(), tuple(self._notes[-3:])
                    )))  # fmt: skip
                if 0 < self.config.seconds <= time.monotonic() - started and not self._script.ending:
                    self._script.ask_end()
                if not self._drives and self._script.ending:
                    return
        finally:
            if live:
                live.stop()

    def _operate(self, status: SafetyStatus | None, now_ns: int) -> None:
        proven = self._sim is not None and self._sim.is_virtual(now_ns)
        if proven and not self._script.virtual:
            self._script.found_virtual(COUNTDOWN_S["sim"])
        step = self._script.step(status, now_ns, proven=proven)
        if step.act != Act.NONE:
            self._writer.act(step.act, now_ns)
        if step.engage_held or self._engages_alone:
            self._writer.hold(step.engage_held, now_ns)
        if self._sim is not None and self._script.virtual and not self._arms_mode:  # its own controller stands
            if step.gantry is Gantry.RELEASE and not self._lowered:
                self._sim.lower(LOWER_S)
                self._lowered = True
            elif step.gantry is Gantry.HANG and not self._hung:
                self._sim.hang()
                self._hung = True

    def _stand_up_again(self, status: SafetyStatus | None, last: Mode | None) -> None:
        """After a reset, a virtual robot that was damped lies on the floor: its gantry takes it up, as people would."""
        was_reset = status is not None and (last, status.mode) == (Mode.DAMPED, Mode.IDLE)
        if self._sim is None or self._arms_mode or not was_reset:
            return
        if not self._script.virtual or self._script.ending:
            return
        self._sim.reset()
        self._lowered = False
        self.say("the gantry set the virtual robot up again; ready and arm it as at the start")

    def _warn_of(self, sentence: str) -> None:
        if sentence:
            self.say(sentence)

    def _watch_truth(self) -> None:
        truth: VirtualTruth | None = self._sim.truth() if self._sim else None
        if truth is None:
            return
        if truth.fallen:
            self._collector.note_fall(truth.t_ns)
        self._bus.slot("loop_virtual_robot").write(loop_of(truth, self._cpu.percent(truth.pid)))

    def _announce(self, status: SafetyStatus | None, last: Mode | None) -> Mode | None:
        if status is None:
            return last
        mode = Mode(status.mode)
        if mode != last:
            why = f" ({Cause(status.mode_cause).name})" if status.mode_cause >= 0 else ""
            self._print(f"{mode.name}{why}")
        return mode

    def _check_refusals(self, owner: SessionOwner, processes: Processes, status: SafetyStatus | None) -> None:
        """A part that cannot be set up ends the run, but never one in which a robot is on its feet."""
        standing = status is not None and Mode(status.mode) in BALANCING
        for name, child in processes.children.items():
            replaces = child.restarts > 0 and child.spec.when_it_dies == "restart_damped"  # is tried again by `watch`
            if child.process.exitcode == REFUSED_EXIT and not child.reported and not replaces:
                child.reported = True
                sentence = refusal(owner.session, name) or f"{name} refused its set-up"
                if name == "console" or standing:
                    self.say(f"{name} stays down: {sentence}")
                else:
                    raise CommandError(sentence)

    def _keep_trace(self, ticks: Any) -> None:
        shown = None if self._drives else self._bus.slot("reference").read()
        self._trace.add(ticks, self._bus.slot("human").read(), shown)

    def write_pictures(self, progress: Callable[[float], None] = lambda _share: None) -> list[Path]:
        """Render the snapshot and the video that were asked for, after `run`; `progress` hears 0 to 1.

        Raises:
            ConsoleError: this machine cannot draw, or the run held nothing to draw.
        """
        from teleopd.service.console.render import render_video, snapshot

        made: list[Path] = []
        if self.config.snapshot:
            snapshot(self.model, self._trace.still(), Path(self.config.snapshot))
            made.append(Path(self.config.snapshot))
        if self.config.video:
            render_video(self.model, self._trace.trace(), Path(self.config.video), fps=VIDEO_FPS, progress=progress)
            made.append(Path(self.config.video))
        return made
