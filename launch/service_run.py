"""One run of the service: the parent that composes the processes, watches them, reports, and ends them in order."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from teleopd.launch.battery import BatteryWarning
from teleopd.launch.composition import Composition
from teleopd.launch.config import RunConfig
from teleopd.launch.console_access import start_console
from teleopd.launch.operating import STANDS_VIRTUAL_S, TICK_S, Operating
from teleopd.launch.operator_script import OperatorScript
from teleopd.launch.outputs import output_file
from teleopd.launch.processes import ProcessCpu, Processes
from teleopd.launch.recording import end_recording
from teleopd.launch.refusals import check_refusals
from teleopd.launch.robot_link import loop_of
from teleopd.launch.run_log import RunLog
from teleopd.launch.setup_choice import SetupChoice, facts_of
from teleopd.launch.silence import replace_hung
from teleopd.launch.sounds import Sounds
from teleopd.launch.watchdog import Notifier, Watchdog
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.links.sim.wire import VirtualTruth
from teleopd.robots.rates import freeze_collector
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.console.snapshot import read_snapshot
from teleopd.service.console.status_line import render_status
from teleopd.service.console.trace import TraceRecorder
from teleopd.service.streams import Bus
from teleopd.service.telemetry.report import RunCollector, RunIdentity

STANDS_REAL_S = 10.0
"""How long a real robot stands after the end was asked for, before it is damped: time to take its weight."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Each asks for the end. Ctrl-Z does nothing: a parent that is stopped watches over nobody."""
ENDING = "ending: back to stand, then damping; again: damp now"
VIDEO_FPS = 15
"""Software rendering takes about 0.25 s a frame."""


class ServiceRun:
    """Composes and runs one service. Use `run`, which returns the report."""

    def __init__(
        self, config: RunConfig, *, say: Callable[[str], None] | None = None, live: bool = False,
        parts: Composition | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            config: resolved configuration.
            say: takes one sentence at a time; default prints to stderr.
            live: keep a live status panel on the terminal.
            parts: of another kind of run than the service's.

        Raises:
            UnknownName, PolicyError, LimitError, SourceError ...: the set-up cannot work, and why.
        """
        self.config = config
        self.parts = parts or Composition(config)
        self._console = Console(stderr=True, highlight=False)
        self._live = live
        self._say_out = say or self._console.print
        self._sounds = Sounds(config.sounds and self.parts.record is not None)
        self._notes: list[str] = []
        self._asked: list[str] = []
        """Answers to signals, not yet said."""
        self._notifier = Notifier()
        self._watchdog = Watchdog(self._notifier)
        self._log = RunLog(config, self.parts.model, self.parts.policy_name)
        self._cpu = ProcessCpu()
        self._setup: SetupChoice | None = None
        self._battery = BatteryWarning()

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
            auto_engage=self.parts.engages_alone, auto_arm=self.parts.arms_alone, virtual=self.config.link == "sim",
            countdown_s=self._stands_s, leaves=self.config.link == "lcm",
        )  # fmt: skip
        # In force until the last child is gone: a Ctrl-C too many must not leave children or shared memory behind.
        previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        try:
            self._bus = Bus(
                owner.session, self.parts.model.n, create=True, record=self.parts.record is not None,
                cameras=len(self.config.camera),
            )  # fmt: skip
            self._operating = Operating(
                self._script, OperatorWriter(self._bus.slot("operator_serve"), owner.session.token),
                engages_alone=self.parts.engages_alone, own_balance=self.parts.arms_mode,
            )  # fmt: skip
            self._compose(owner, processes)
            try:
                self._loop(owner, processes)
            except Exception:
                self._operating.bring_down(self._bus.slot("safety_status").read, self._stands_s)
                raise
            recording = end_recording(self._bus, owner.session, processes, self.say)
            return {
                **self._collector.report(time.monotonic_ns(), recording), "qualification": self.parts.qualification,
                "peer": self.config.peer if self.config.link == "dds" else None,
            }  # fmt: skip
        finally:
            processes.end()
            self._sounds.close()
            if self.parts.hand is not None:
                self.parts.hand.close()
            owner.close()
            self._log.close()
            self._notifier.close()
            for number, handler in previous.items():
                signal.signal(number, handler or signal.SIG_DFL)

    @property
    def _stands_s(self) -> float:
        return STANDS_VIRTUAL_S if self.config.link == "sim" else STANDS_REAL_S

    def _compose(self, owner: SessionOwner, processes: Processes) -> None:
        config, session, parts = self.config, owner.session, self.parts
        parts.start(session, processes, self.say, lambda: self._script.ending)
        self._operating.hand = parts.hand
        if config.view:
            facts = facts_of(config, parts.model, parts.policy, has_source="source" in processes.children)
            self._setup = SetupChoice(config, facts, session, processes, self._bus, parts.source_of, parts.operator)
            start_console(processes, session, config, self.say, facts)
        identity = RunIdentity(config.robot, config.source, parts.policy_name or None, config.sha256, GATE_STEPS)
        self._collector = RunCollector(parts.model, identity, time.monotonic_ns())
        self._trace = TraceRecorder(keep=bool(config.video))
        freeze_collector()  # who holds the deadman of a run that engages alone must not pause

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Says nothing: the loop may be in the middle of printing."""
        self._asked.append("damping now" if self._script.ending else ENDING)
        self._script.ask_end()

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
                check_refusals(owner.session, processes, status, self.say)
                self._watchdog.look(processes, self._bus, None if status is None else Mode(status.mode), now_ns)
                if self._script.ending:
                    self._watchdog.stopping()
                replace_hung(processes, self._bus, now_ns)
                processes.watch()
                drained = self._collector.collect(self._bus)
                self._log.look(self._bus, now_ns)
                self._sounds.watch(self._bus.slot("recorder_status").read())
                self._watch_truth()
                if warning := self._battery.sentence(self._bus.slot("link_status").read()):
                    self.say(warning)
                self._keep_trace(drained["tick_log"])
                self._operating.operate(status, now_ns)
                if self._operating.stand_up_again(status, last_mode):
                    self.say("the gantry set the virtual robot up again; ready and arm it as at the start")
                last_mode = self._announce(status, last_mode)
                if live:
                    live.update(render_status(read_snapshot(
                        self._bus, now_ns, self._collector.latencies.recent(), tuple(self._notes[-3:])
                    )))  # fmt: skip
                if 0 < self.config.seconds <= time.monotonic() - started and not self._script.ending:
                    self._script.ask_end()
                if not self.parts.drives and self._script.ending:
                    return
        finally:
            if live:
                live.stop()

    def _watch_truth(self) -> None:
        truth: VirtualTruth | None = self.parts.hand.truth() if self.parts.hand else None
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

    def _keep_trace(self, ticks: Any) -> None:
        shown = None if self.parts.drives else self._bus.slot("reference").read()
        self._trace.add(ticks, self._bus.slot("human").read(), shown)

    def write_pictures(self, progress: Callable[[float], None] = lambda _share: None) -> list[Path]:
        """Render the snapshot and the video that were asked for, after `run`; `progress` hears 0 to 1.

        Raises:
            ConsoleError: this machine cannot draw, or the run held nothing to draw.
        """
        from teleopd.service.console.render import render_video, snapshot

        picture, video = picture_files(self.config)
        if picture is not None:
            snapshot(self.parts.model, self._trace.still(), picture)
        if video is not None:
            render_video(self.parts.model, self._trace.trace(), video, fps=VIDEO_FPS, progress=progress)
        return [file for file in (picture, video) if file is not None]


def picture_files(config: RunConfig) -> tuple[Path | None, Path | None]:
    """Where the snapshot and the video go that were asked for.

    Raises:
        CommandError: they cannot be written there.
    """
    picture = output_file("--snapshot", Path(config.snapshot)) if config.snapshot else None
    return picture, output_file("--video", Path(config.video), drafted=True) if config.video else None
