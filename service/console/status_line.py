"""The terminal's live status: a pure function from a snapshot to something rich can print."""

from __future__ import annotations

import math

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from teleopd.drivers.health import Content
from teleopd.drivers.source import SourceState
from teleopd.safety.words import Mode
from teleopd.service.capture.records import RECORDING
from teleopd.service.console.snapshot import Snapshot, next_act, recording_words, warnings
from teleopd.service.policy.commands import CANNOT, clipped_words
from teleopd.service.streams import LOOKAHEAD, PolicyStatus
from teleopd.service.telemetry.link_report import link_words

MODE_STYLE = {
    Mode.BOOT: "dim", Mode.CHECK: "dim", Mode.IDLE: "cyan", Mode.READY: "cyan", Mode.ARMED: "yellow",
    Mode.ACTIVE: "bold green", Mode.HOLD: "bold yellow", Mode.RETURN: "bold magenta", Mode.DAMPED: "bold red",
    Mode.DRYRUN: "blue",
}  # fmt: skip
STATE_STYLE = {
    SourceState.CONNECTING: "yellow", SourceState.STREAMING: "green", SourceState.STALE: "bold red",
    SourceState.CLOSED: "dim",
}  # fmt: skip


def render_status(snapshot: Snapshot) -> RenderableType:
    """Mode, next act, source, latency, gate, loops and warnings as one panel."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("mode", _mode(snapshot))
    table.add_row("source", _source(snapshot))
    table.add_row("latency", _latency(snapshot))
    if policy_words(snapshot.policy):
        table.add_row("policy", policy_words(snapshot.policy))
    table.add_row("gate", _gate(snapshot))
    if link_words(snapshot.link):
        table.add_row("link", link_words(snapshot.link))
    table.add_row("loops", _loops(snapshot))
    if recording_words(snapshot):
        style = "bold red" if snapshot.recorder is not None and snapshot.recorder.state == RECORDING else ""
        table.add_row("recording", Text(recording_words(snapshot), style))
    parts: list[RenderableType] = [table]
    parts += [Text(f"! {warning}", style="bold red") for warning in warnings(snapshot)]
    return Panel(Group(*parts), title="teleopd", title_align="left", box=box.ROUNDED)


def _mode(snapshot: Snapshot) -> Text:
    mode, safety = snapshot.mode, snapshot.safety
    if mode is None or safety is None:
        return Text.assemble(("starting", "dim"), f"   {next_act(snapshot)}")
    since_s = max(0, snapshot.now_ns - safety.mode_since_ns) / 1e9
    held = (" deadman held", "green") if safety.engage_held else ("", "")
    return Text.assemble(
        (mode.name, MODE_STYLE[mode]), f" for {since_s:.1f} s", held, ("   next: ", "dim"), next_act(snapshot)
    )


def _source(snapshot: Snapshot) -> Text:
    state, source, age_s = snapshot.source_state, snapshot.source, snapshot.source_age_s
    age = "no frame yet" if age_s is None else f"newest frame {_age(age_s)} old"
    text = Text.assemble((state.name.lower(), STATE_STYLE[state]))
    if source is not None:
        text.append(f" at {source.rate_hz:.1f} Hz")
    text.append(f", {age}")
    if source is not None:
        text.append(f"   {source.received} received, {source.dropped} dropped, {source.rejected} rejected", "dim")
        text.append(f", jitter {source.jitter_ms:.1f} ms, loss {source.loss:.1%}", "dim")
        if source.content not in (Content.NONE, Content.FRESH):
            text.append(f"   content {Content(source.content).name.lower()}", "bold red")
    return text


def _age(age_s: float) -> str:
    return f"{1e3 * age_s:.0f} ms" if age_s < 1.0 else f"{age_s:.1f} s"


def _latency(snapshot: Snapshot) -> Text:
    measured = [(stage, found) for stage, found in snapshot.latency.items() if found.n]
    if not measured:
        return Text("nothing measured yet", "dim")
    rows = [f"{stage.replace('_', ' ')} {found.p50:.1f} / {found.p99:.1f}" for stage, found in measured]
    return Text.assemble(", ".join(rows), ("  ms p50 / p99", "dim"))


def policy_words(policy: PolicyStatus | None) -> str:
    """'lookahead: delay 100 ms, force limit 10.0 N'; empty where there is neither."""
    if policy is None:
        return ""
    found = [f"lookahead: {LOOKAHEAD[policy.way]} {policy.horizon_ms:.0f} ms"] if policy.horizon_ms else []
    if not math.isnan(policy.force_limit_n):
        found.append(f"force limit {policy.force_limit_n:.1f} N" + (" on the arms" if policy.admittance else ""))
    if policy.clipped:
        found.append(f"{clipped_words(policy.clipped)} beyond the policy's range, clipped")
    if policy.cannot:
        found.append(CANNOT[policy.cannot])
    return ", ".join(found)


def _gate(snapshot: Snapshot) -> Text:
    if snapshot.safety is None:
        return Text("-", "dim")
    ticks = int(snapshot.safety.gate_counts.sum())
    return Text("no intervention", "green") if ticks == 0 else Text(f"{ticks} ticks with an intervention", "yellow")


def _loops(snapshot: Snapshot) -> Text:
    if not snapshot.loops:
        return Text("-", "dim")
    shown = [
        f"{name.replace('_', '-')} late p99 {loop.late_p99_us / 1e3:.2f} ms, missed {loop.missed}, "
        f"CPU {loop.cpu_percent:.0f} %"
        for name, loop in snapshot.loops.items()
    ]
    return Text("\n".join(shown))
