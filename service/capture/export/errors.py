"""What keeps an episode, or a whole export, from being written; each text is one sentence for the user."""

from __future__ import annotations


class ExportError(ValueError):
    """The export cannot be done as asked; nothing was written."""


class EpisodeRefused(ValueError):
    """One episode cannot be exported; the others can."""
