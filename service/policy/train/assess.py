"""Distilled student, fine-tuned student and teacher judged by the same code, and which of the students is shipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from teleopd.service.policy.card import Card
from teleopd.service.policy.train.battery import battery, battery_markdown, battery_summary
from teleopd.service.policy.train.channels import Clip, Float32
from teleopd.service.policy.train.figures import markdown, summary
from teleopd.service.policy.train.own_gaits import gait_markdown, gait_summary, gaits
from teleopd.service.policy.train.suite import run, trials
from teleopd.service.policy.train.world import Seen

DISTILLED, WIDENED, FINE_TUNED, TEACHER = "distilled", "widened", "fine-tuned", "teacher"
BLENDED = "blended"
"""Between the distilled and the widened network."""
SHIPPED = "shipped"
WORSE_MM = 0.5
"""Key-body error on the clips that more survivals may cost."""


class Choice(NamedTuple):
    """Which student is shipped."""

    name: str
    why: str
    """One sentence with the figures."""


def assess(
    actors: Mapping[str, Callable[[Seen], Float32]], clips: Sequence[Clip], held_out: Sequence[Clip], card: Card,
    threads: int, on_tick: Callable[[str, int, int], None],
) -> dict[str, Any]:  # fmt: skip
    """Plain values for JSON: suite, battery and own gaits, each by actor. `on_tick`: what runs, ticks done, to do."""
    found: dict[str, Any] = {"suite": {}, "battery": {}, "own_gaits": {}}
    parts = (
        ("suite", trials(clips, held_out), summary),
        ("battery", battery(clips), battery_summary),
        ("own_gaits", list(gaits()), gait_summary),
    )
    for actor, act in actors.items():
        for part, all_, summed in parts:

            def told(done: int, of: int, what: str = f"{actor}: {part}, {len(all_)} trials") -> None:
                on_tick(what, done, of)

            found[part][actor] = summed(run(all_, act, card, threads, told))
    choice = choose(found)
    return {**found, SHIPPED: choice.name, "why": choice.why}


def choose(found: Mapping[str, Any]) -> Choice:
    """A later stage where it survives more of the battery, stays up on all that the one before did, and tracks as well.

    "As well": the median key-body error on the clips is at most 0.5 mm larger.
    """
    stages = [name for name in (DISTILLED, WIDENED, BLENDED, FINE_TUNED) if name in found["battery"]]
    if len(stages) == 1:
        return Choice(stages[0], "It is the only one.")
    best = stages[0]
    for name in stages[1:]:
        old, new = _figures(found, best), _figures(found, name)
        better = new.upright + new.gaits > old.upright + old.gaits
        if better and new.suite >= old.suite and new.clips_mm <= old.clips_mm + WORSE_MM:
            best = name
    told = [
        f"{name} {f.upright} of {f.of} battery trials upright, {f.gaits} own gaits on speed, clips at {f.clips_mm} mm"
        for name in (*stages, TEACHER) if name in found["battery"] for f in (_figures(found, name),)
    ]  # fmt: skip
    said = "; ".join(told)
    return Choice(best, f"{said[0].upper()}{said[1:]}.")


class _Figures(NamedTuple):
    upright: int
    of: int
    gaits: int
    suite: int
    clips_mm: float


def _figures(found: Mapping[str, Any], actor: str) -> _Figures:
    total, suite = found["battery"][actor]["total"], found["suite"][actor]
    return _Figures(
        total["upright"], total["of"], found["own_gaits"][actor]["on_speed"],
        sum(group["upright"] for group in suite.values()), suite["clips"]["key_body_mm"],
    )  # fmt: skip


def card_figures(found: Mapping[str, Any]) -> str:
    """The measured part of the model card (Markdown)."""
    told = " ".join(
        f"{stage[0].upper()}{stage[1:]}: {t['samples'] / 1e6:.1f} million samples, {t['updates']} updates, "
        f"{t['elapsed_s'] / 60:.0f} minutes."
        for stage, t in found["training"].items()
    )
    if "blend" in found:
        told += f" Blended: every weight {found['blend']:.0%} of the way from the distilled to the widened network's."
    parts = (
        f"**Shipped: the {found[SHIPPED]} network.** {found['why']}",
        markdown(found["suite"]),
        "The perturbation battery: pushes of 0.2 s from eight directions, standing and walking at 0.48 m/s; the six "
        "example clips on each changed robot, and with every other half second of the reference held; three disturbed "
        "starts each.",
        battery_markdown(found["battery"]),
        "Our gaits at constant commands (training's templates; the walk of the velocity mode, uncorrected): mean "
        "velocity obtained. The last row counts those within 25 % of the commanded speed.",
        gait_markdown(found["own_gaits"]),
        told,
    )
    return "\n\n".join(parts) + "\n"
