"""The run report for people and files: tables on a terminal, JSON on a disk."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table

from teleopd.service.telemetry.link_report import link_words


def _finite(value: Any) -> Any:
    """The same, with None for floats that JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report as JSON, atomically: a reader sees the old file or the whole new one. What cannot be replaced
    is written to: /dev/stdout, a pipe, a file in a folder of somebody else's; so is what a link names. A figure that is
    no number is null: it must not cost the others.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    text = json.dumps(_finite(report), indent=2, allow_nan=False) + "\n"
    if path.exists() and (path.is_symlink() or not path.is_file() or not os.access(path.parent, os.W_OK)):
        path.write_text(text)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print the report as tables."""
    console.print(Group(_overview(report), _latency_table(report), _loop_table(report)))


def _overview(report: Mapping[str, Any]) -> Table:
    table = Table(title=f"run of {report['robot']} from {report['source']}", box=box.ROUNDED, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    frames, tracking = report["frames"], report["tracking"]
    key = tracking["key_body_error_mm"]
    upright = "[green]upright[/]" if report["upright"] else f"[bold red]fell at {report['fell_at_s']} s[/]"
    table.add_row("robot", upright)
    table.add_row("policy", str(report["policy"] or "none"))
    if report["lookahead"]:
        table.add_row("lookahead", "{way} {horizon_ms:.0f} ms, adds {delay_ms:.0f} ms".format(**report["lookahead"]))
    if report["force_limit_n"]:
        table.add_row("force limit", f"{report['force_limit_n']:.1f} N")
    table.add_row("duration", f"{report['duration_s']:.1f} s")
    table.add_row("frames", ", ".join(f"{count} {name}" for name, count in frames.items()))
    table.add_row("source rate", f"{report['source_hz']:.1f} Hz")
    table.add_row("source health", _health_words(report["source_health"]))
    table.add_row("key-body error", f"median {_shown(key['median'], 'mm')}, p95 {_shown(key['p95'], 'mm')}")
    table.add_row("joint error", f"{_shown(tracking['joint_rmse_rad'], 'rad', 3)} RMS")
    table.add_row(
        "drift", f"{_shown(tracking['root_drift_m'], 'm', 2)}, heading {_shown(tracking['yaw_drift_deg'], 'deg')}"
    )
    if report.get("link"):
        table.add_row("link", link_words(report["link"]))
    modes = [f"{t:8.2f} s  {mode}{f' ({why})' if why else ''}" for t, mode, why in report["modes"]]
    table.add_row("modes", "\n".join(modes) or "none")
    counts = report["interventions"]
    table.add_row("interventions", "\n".join(f"{name} {count}" for name, count in counts.items()) or "none")
    table.add_row("recording", str(report["recording"] or "none"))
    return table


def _health_words(health: Mapping[str, Any]) -> str:
    age, jitter = health["age_ms"], health["jitter_ms"]
    bad = [f"{name} {share:.0%}" for name, share in health["content"].items() if name != "fresh"]
    return (
        f"age {_shown(age['p50'], 'ms')}, p99 {_shown(age['p99'], 'ms')}; jitter {_shown(jitter['p50'], 'ms')}; "
        f"{health['lost']} lost ({health['loss']:.1%})" + (f"; {', '.join(bad)}" if bad else "")
    )


def _latency_table(report: Mapping[str, Any]) -> Table:
    table = Table(title="latency [ms]", box=box.ROUNDED)
    for name in ("stage", "p50", "p90", "p99", "max", "n"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage, row in report["latency_ms"].items():
        table.add_row(stage, *(_shown(row[name], "", 2) for name in ("p50", "p90", "p99", "max")), str(row["n"]))
    return table


def _loop_table(report: Mapping[str, Any]) -> Table:
    table = Table(title="loops", box=box.ROUNDED)
    for name in ("loop", "rate [Hz]", "late p50 [us]", "p99", "max", "missed", "CPU [%]"):
        table.add_column(name, justify="left" if name == "loop" else "right")
    for name, row in report["loop"].items():
        late = (f"{row['late_us'][key]:.0f}" for key in ("p50", "p99", "max"))
        cpu = f"{row['cpu_percent']:.1f}" if "cpu_percent" in row else "-"
        table.add_row(name, f"{row['rate_hz']:.1f}", *late, str(row["missed"]), cpu)
    return table


def _shown(value: float | None, unit: str, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".strip()
