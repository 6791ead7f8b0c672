"""`teleop capture`: what episodes hold, how torn ones are opened again, data sets of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from teleopd.drivers.home import expanded
from teleopd.launch.commands.capture_export import Export
from teleopd.launch.commands.capture_play import Play
from teleopd.launch.errors import CommandError


@dataclass(frozen=True, slots=True)
class Info:
    """What episodes hold: streams and their rates, lost samples, duration, metadata, verdict, whole or torn."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Episodes (MCAP) or folders of them."""
    json: bool = False
    """Print one JSON object a line for each episode."""

    def run(self) -> int:
        """Print; 0 when every file could be read."""
        _needs_mcap()
        from teleopd.service.capture.info import info
        from teleopd.service.capture.mcap_file import EpisodeError

        failed = 0
        for path in _files(self.paths):
            try:
                found = info(path)
            except EpisodeError as error:
                failed += 1
                _say_failed(path, str(error), as_json=self.json)
                continue
            print(json.dumps(found)) if self.json else _show(found)
        return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class Recover:
    """Write what is left of torn episodes (.mcap.part) into whole, indexed files beside them."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Torn files, or folders: all .mcap.part in them."""
    remove: bool = False
    """Remove a torn file once everything readable of it is in the new one."""

    def run(self) -> int:
        """Recover; 0 when every file could be."""
        _needs_mcap()
        from teleopd.service.capture.mcap_file import EpisodeError
        from teleopd.service.capture.part_file import PART, RecordingError
        from teleopd.service.capture.recover import recover

        if not self.paths:
            raise CommandError(f"name a torn episode (*.mcap{PART}) or a folder of them")
        paths = [expanded(path, CommandError) for path in self.paths]
        files = [p for path in paths for p in (sorted(path.glob(f"*{PART}")) if path.is_dir() else [path])]
        if not files:
            raise CommandError(f"nothing to recover: no *.mcap{PART} in {', '.join(map(str, paths))}")
        failed = 0
        for path in track(files, "recovering", transient=True, console=Console(stderr=True), disable=len(files) < 2):
            try:
                found = recover(path)
            except (EpisodeError, RecordingError) as error:
                failed += 1
                _say_failed(path, str(error), as_json=False)
                continue
            print(f"{found.path}: {found.messages} messages"
                  + (f", {found.damaged_chunks} damaged chunks left out" if found.damaged_chunks else ""))  # fmt: skip
            if self.remove:
                path.unlink()
        return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class Capture:
    """Recorded episodes: what they hold (info), torn ones whole (recover), data sets (export), shown again (play)."""

    verb: tyro.conf.OmitArgPrefixes[
        Annotated[Info, tyro.conf.subcommand("info")]
        | Annotated[Recover, tyro.conf.subcommand("recover")]
        | Annotated[Export, tyro.conf.subcommand("export")]
        | Annotated[Play, tyro.conf.subcommand("play")]
    ]

    def run(self) -> int:
        """Carry out the verb."""
        return self.verb.run()


def _needs_mcap() -> None:
    import importlib.util

    if importlib.util.find_spec("mcap") is None:
        raise CommandError("episodes need mcap; install it with: pip install 'teleopd[capture]'")


def _files(paths: tuple[Path, ...]) -> list[Path]:
    from teleopd.service.capture.info import episode_files
    from teleopd.service.capture.mcap_file import EpisodeError

    try:
        found = [file for path in paths for file in episode_files(expanded(path, CommandError))]
    except EpisodeError as error:
        raise CommandError(str(error)) from None
    if not found:
        raise CommandError("name an episode (MCAP) or a folder of them")
    return found


def _say_failed(path: Path, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"file": str(path), "error": sentence}))
    else:
        Console(stderr=True, highlight=False).print(escape(sentence), style="red", soft_wrap=True)


def _show(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    words = {"task": "task", "operator": "operator", "success": "success", "notes": "notes", "policy": "policy"}
    facts.add_row("robot", f"{found['robot']}, {found['joints']} joints")
    facts.add_row("state", f"{found['state']}, {found['duration_s']:.1f} s, {found['bytes'] / 1e6:.1f} MB")
    reasons = "; ".join(found["verdict_reasons"])
    facts.add_row("verdict", escape(found.get("verdict", "none yet") + (f": {reasons}" if reasons else "")))
    for key, word in words.items():
        if found.get(key):
            facts.add_row(word, escape(found[key]))
    facts.add_row("attached", escape(", ".join(found["attachments"]) or "nothing"))
    if "time_back" in found:
        back = ", ".join(f"{count} of {name}" for name, count in json.loads(found["time_back"]).items())
        facts.add_row("time", f"goes back within the file (sorted when read): {back}")
    if found["damaged_chunks"]:
        facts.add_row("damaged", f"{found['damaged_chunks']} chunks are left out")
    table = Table("stream", "samples", "rate [Hz]", "longest gap [ms]", "lost", box=box.ROUNDED)
    for name, stream in found["streams"].items():
        gap = f"{stream['longest_gap_ms']:.1f}"
        table.add_row(name, str(stream["samples"]), f"{stream['hz']:.1f}", gap, str(stream["dropped"]))
    for name, camera in found["cameras"].items():
        what, gap = f"camera/{name} {camera['size'][0]}x{camera['size'][1]}", f"{camera['longest_gap_ms']:.1f}"
        table.add_row(what, str(camera["samples"]), f"{camera['hz']:.1f}", gap, str(camera["dropped"]))
    table.add_row("event", str(found["events"]), "", "", "")
    console.print(escape(found["file"]), style="bold", soft_wrap=True)
    console.print(facts)
    console.print(table)
