"""The browser panel's text: a pure function from a snapshot to HTML. Whatever a peer could have written is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from teleopd.drivers.source import SourceState
from teleopd.safety.words import Cause, Mode
from teleopd.service.capture.records import as_text
from teleopd.service.console.snapshot import Snapshot, cause_words, next_act, recording_words, warnings

MODE_COLOUR = {
    Mode.BOOT: "#868e96", Mode.CHECK: "#868e96", Mode.IDLE: "#1098ad", Mode.READY: "#1971c2", Mode.ARMED: "#f08c00",
    Mode.ACTIVE: "#2f9e44", Mode.HOLD: "#e67700", Mode.RETURN: "#9c36b5", Mode.DAMPED: "#e03131",
    Mode.DRYRUN: "#4263eb",
}  # fmt: skip
STATE_COLOUR = {
    SourceState.CONNECTING: "#f08c00", SourceState.STREAMING: "#2f9e44", SourceState.STALE: "#e03131",
    SourceState.CLOSED: "#868e96",
}  # fmt: skip


LADDER = (Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE)
"""The way up; HOLD and RETURN are shown on the rung where the policy still balances, DAMPED on none."""
RUNG = {Mode.BOOT: Mode.IDLE, Mode.CHECK: Mode.IDLE, Mode.HOLD: Mode.ACTIVE, Mode.RETURN: Mode.ARMED}


def ladder_html(mode: Mode | None) -> str:
    """The rungs, with the one the robot is on."""
    here = None if mode is None else RUNG.get(mode, mode)
    colour = "#868e96" if mode is None else MODE_COLOUR[mode]
    rungs = "".join(
        '<span style="flex:1;text-align:center;padding:3px 0;border-radius:5px;font-weight:600;'
        f'{f"background:{colour};color:white" if rung is here else "background:#e9ecef;color:#868e96"}">'
        f"{rung.name}</span>"
        for rung in LADDER
    )
    return f'<div style="display:flex;gap:3px;margin-top:6px;font-size:11px">{rungs}</div>'


def mode_html(snapshot: Snapshot) -> str:
    """The mode, large, its rung, and the operator's next act: of fixed height, so that no button below moves."""
    mode = snapshot.mode
    name, colour = ("STARTING", "#868e96") if mode is None else (mode.name, MODE_COLOUR[mode])
    badge = (
        f'<div style="background:{colour};color:white;border-radius:8px;padding:10px;text-align:center;'
        f'font-size:30px;font-weight:700;letter-spacing:1px">{name}</div>'
    )
    act = (
        '<div style="margin:8px 2px 0;font-size:15px;height:42px;overflow:hidden">'
        f"next: <b>{escape(next_act(snapshot))}</b></div>"
    )
    return f'<div style="padding:0 14px">{badge}{ladder_html(mode)}{act}</div>'


def facts_html(snapshot: Snapshot) -> str:
    """Warnings, source, latency and interventions."""
    alarms = "".join(
        f'<div style="color:#e03131;font-weight:600;margin:2px">&#9888; {escape(text)}</div>'
        for text in warnings(snapshot)
    )
    recording = escape(recording_words(snapshot) or "none")
    rows = [*_source_rows(snapshot), *_latency_rows(snapshot), *_safety_rows(snapshot), ("recording", recording)]
    rows += [
        (f"camera {escape(as_text(camera.name))}", f"{camera.hz:.0f} Hz, {camera.width}x{camera.height}")
        for camera in snapshot.cameras
    ]
    cells = "".join(
        f'<tr><td style="color:#868e96;padding:2px 10px 2px 2px;vertical-align:top;white-space:nowrap">{label}</td>'
        f"<td>{value}</td></tr>"
        for label, value in rows
    )
    table = f'<table style="margin-top:6px;border-collapse:collapse;font-size:13px">{cells}</table>'
    return f'<div style="padding:0 14px;font-size:13px">{alarms}{table}</div>'


def _source_rows(snapshot: Snapshot) -> Iterable[tuple[str, str]]:
    state, age_s = snapshot.source_state, snapshot.source_age_s
    yield "source", f'<b style="color:{STATE_COLOUR[state]}">{state.name.lower()}</b>'
    if snapshot.source is not None:
        yield "rate", f"{snapshot.source.rate_hz:.1f} Hz"
    yield "age", "no frame yet" if age_s is None else f"{1e3 * age_s:.0f} ms"


def _latency_rows(snapshot: Snapshot) -> Iterable[tuple[str, str]]:
    for stage, found in snapshot.latency.items():
        if found.n:
            yield escape(stage.replace("_", " ")), f"{found.p50:.1f} ms, p99 {found.p99:.1f} ms"


def _safety_rows(snapshot: Snapshot) -> Iterable[tuple[str, str]]:
    safety = snapshot.safety
    if safety is None:
        return
    yield "deadman", "held" if safety.engage_held else "released"
    yield "gate", f"{int(safety.gate_counts.sum())} ticks with an intervention"
    counted = {cause: int(safety.cause_counts[cause]) for cause in Cause}
    counts = [f"{cause_words(cause)} {count}" for cause, count in counted.items() if count]
    yield "interventions", "<br>".join(counts) or "none"
