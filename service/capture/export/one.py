"""One recording on the grid and on the disk, or the sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from teleopd.service.capture.episode import Episode
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.frames import Frames, frames_of, save
from teleopd.service.capture.export.settings import Settings
from teleopd.service.capture.export.stage import Row, piece_names
from teleopd.service.capture.mcap_file import EpisodeError

Read = Callable[[Path, Collection[str]], Episode]
"""A recording and the streams that are wanted of it."""
LOST: Row = {"error": "the process that read it died (out of memory?)"}


@dataclass(frozen=True, slots=True)
class Job:
    """What is done with each recording; small enough to send to another process."""

    folder: Path
    """Where its pieces go."""
    settings: Settings
    read: Read

    def __call__(self, path: Path) -> Row:
        """`pieces` (files), `verdict` and `episodes` of one recording; or `error`, or `left_out`, with the reason.

        Raises:
            OSError: the pieces cannot be written.
        """
        try:
            episode = self.read(path, {want.stream for want in self.settings.wants()})
            reason = self._left_out(episode)
            if reason:
                return {"left_out": reason}
            pieces = frames_of(episode, self.settings)
            self._check_robot(episode)
        except (EpisodeError, EpisodeRefused, MemoryError, OSError) as error:
            return {"error": " ".join(str(error).split()) or type(error).__name__}
        except Exception as error:  # a mistake of ours: it must not cost the other recordings
            return {"error": f"this program failed: {type(error).__name__}: {' '.join(str(error).split())}"}
        files = piece_names(path, len(pieces))
        for name, frames in zip(files, pieces, strict=True):
            self._save(frames, self.folder / name)
        return {
            "path": str(path), "pieces": files, "verdict": pieces[0].verdict,
            "episodes": [frames.record() for frames in pieces],
        }  # fmt: skip

    def _left_out(self, episode: Episode) -> str:
        """Why it is not to be exported; empty where it is."""
        if episode.metadata.get("discarded", "") == "true":
            return "the operator discarded it"
        verdict = episode.metadata.get("verdict", "")
        if verdict and verdict not in self.settings.include:
            return f"it was judged {verdict}; export it too with --include {verdict}"
        return ""

    def _check_robot(self, episode: Episode) -> None:
        if self.settings.fmt == "npz":
            from teleopd.service.capture.export.npz import known_robot

            known_robot(episode.robot, episode.joint_names)

    def _save(self, frames: Frames, path: Path) -> None:
        """As the file of the data set itself where it has one for each episode."""
        if self.settings.fmt == "npz":
            from teleopd.service.capture.export.npz import write_npz

            write_npz(path, frames, self.settings)
        elif self.settings.fmt == "csv":
            from teleopd.service.capture.export.csv import write_csv

            write_csv(path, frames, self.settings)
        else:
            save(frames, path)
