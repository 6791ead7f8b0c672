"""Whether a card's observation is the one that the metadata inside its ONNX describe: IMU site and history."""

from __future__ import annotations

import json

from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import Card
from teleopd.service.policy.errors import MetadataConflict
from teleopd.service.policy.onnx_file import OnnxFile


def check_layout(card: Card, onnx: OnnxFile) -> None:
    """Compare `anchor_body_name` and `observation_history_lengths`, where the file has them.

    Raises:
        MetadataConflict: names both values.
    """
    anchor = onnx.metadata.get("anchor_body_name", "").strip()
    for block in card.observation:
        if isinstance(block, b.AnchorOrientation | b.AnchorPosition) and anchor and block.body != anchor:
            raise MetadataConflict(card.name, "the body observed (IMU site) is", block.body, anchor)
    lengths = history_lengths(onnx)
    groups = {block.group for block in card.observation if isinstance(block, b.Term)}
    for term, length in lengths.items():
        if term in groups and ticks_shown(card, term) != length:
            raise MetadataConflict(card.name, f"ticks of '{term}' shown (history):", ticks_shown(card, term), length)
    if lengths and not groups & set(lengths):  # groups with names of their own: compare the deepest
        deepest = max(ticks_shown(card, group) for group in groups)
        if deepest != max(lengths.values()):
            raise MetadataConflict(card.name, "ticks shown (history):", deepest, max(lengths.values()))


def history_lengths(onnx: OnnxFile) -> dict[str, int]:
    """Observation term -> ticks shown of it, as the metadata say; empty where they do not.

    Exporters write a list of numbers beside `observation_names`, or a JSON object of term and length.
    """
    text = onnx.metadata.get("observation_history_lengths", "").strip()
    names = [name.strip() for name in onnx.metadata.get("observation_names", "").split(",") if name.strip()]
    try:
        if text.startswith("{"):
            return {str(name): int(length) for name, length in json.loads(text).items()}
        lengths = [int(float(word)) for word in text.strip("[]").split(",") if word.strip()]
    except (ValueError, TypeError):
        return {}
    return dict(zip(names, lengths, strict=True)) if len(names) == len(lengths) else {}


def ticks_shown(card: Card, group: str) -> int:
    """Ticks of a group that the observation shows: the present one and those repeated."""
    terms = [block for block in card.observation if isinstance(block, b.Term) and block.group == group]
    shown = int(any(not term.hidden for term in terms))
    for block in card.observation:
        if isinstance(block, b.History) and group in block.of:
            shown += block.length
        elif isinstance(block, b.Lags) and group in block.of:
            shown += len(block.lags)
    return shown
