"""`teleop policy fetch`: weights that others publish, by pinned sha256, after a look at their licence."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from teleopd.drivers.home import expanded
from teleopd.launch.errors import CommandError
from teleopd.service.policy.fetch import fetch
from teleopd.service.policy.library import USER_FOLDER
from teleopd.service.policy.weights import Published, published, registry


@dataclass(frozen=True, slots=True)
class Fetch:
    """Download published weights into your folder of policies, after showing their licence. The sha256 is pinned; an
    interrupted download goes on where it stopped. Without a network it says what to put where."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """Which; without a name they are listed."""
    yes: bool = False
    """Agree to the licence without being asked, for scripts."""
    to: Path = USER_FOLDER
    """Folder for the files."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Download and print; 0 when everything is there."""
        if not self.name:
            return self._list()
        entry, folder = published(self.name), expanded(self.to, CommandError, "--to ")
        if not entry.files:
            raise CommandError(by_hand(self.name, entry, folder))
        out = Console(stderr=True, highlight=False, soft_wrap=True)
        out.print(f"{entry.title}; {entry.page}\nlicence: {entry.licence}: {entry.terms}", markup=False)
        self._ask(out)
        parts = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        for file in entry.files:
            with Progress(*parts, console=out) as bar:
                task = bar.add_task(file.file, total=file.size)
                path = fetch(file, folder, on_bytes=partial(_advance, bar, task))
            line = {"policy": self.name, "file": str(path), "sha256": file.sha256, "licence": entry.licence}
            print(json.dumps(line) if self.json else f"{path}: sha256 {file.sha256}, as pinned")
        if entry.shipped_card and not self.json:
            print(f"try it: teleop policy check {entry.card}")
        return 0

    def _ask(self, out: Console) -> None:
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise CommandError("nobody is there to agree to the licence: give --yes if you do")
        out.print("download it under these terms? [y/N] ", end="", markup=False)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was downloaded")

    def _list(self) -> int:
        for name, entry in registry().items():
            how = "download" if entry.files else "by hand"
            row = {"policy": name, "title": entry.title, "licence": entry.licence, "page": entry.page, "how": how}
            print(json.dumps(row) if self.json else f"{name:16s} {entry.title} ({entry.licence}; {how})")
        return 0


def _advance(bar: Progress, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)


def by_hand(name: str, entry: Published, folder: Path) -> str:
    """What to put where, for weights whose sha256 is not known here."""
    files = " and ".join(f"'{file}'" for file in entry.wanted)
    return (
        f"'{name}' is not downloaded, because no sha256 of it is known here to pin: get {files} from {entry.page} "
        f"(licence {entry.licence}: {entry.terms}), put it into {folder}, and beside it a card made from "
        f"robots/{entry.robot}/policies/{entry.card}"
    )
