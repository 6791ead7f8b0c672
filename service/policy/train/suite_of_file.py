"""The training's suites for a policy that exists as a file; needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.policy.train.battery import battery, battery_markdown, battery_summary
from teleopd.service.policy.train.channels import Float32
from teleopd.service.policy.train.features import CARD_WIDTH, TEACHER_WIDTH
from teleopd.service.policy.train.figures import markdown, summary
from teleopd.service.policy.train.motions import example_clips
from teleopd.service.policy.train.suite import held_out_clips, run, trials
from teleopd.service.policy.train.teacher import Teacher
from teleopd.service.policy.train.world import Seen

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
"""The data folder beside a checkout."""


class NotInTheSuite(ValueError):
    """The light physics shows a policy only what ours and TWIST2 see."""


def actor_of(policy: ResolvedPolicy, threads: int) -> Callable[[Seen], Float32]:
    """The policy as an actor of the suite, answering a batch.

    Raises:
        NotInTheSuite: it sees or drives something else.
    """
    card = policy.card
    widths = {CARD_WIDTH: "student", TEACHER_WIDTH: "teacher"}
    if card.robot != MODEL.name or card.inputs_width not in widths or tuple(card.action_joints) != MODEL.joint_names:
        raise NotInTheSuite(
            f"policy '{card.name}' takes {card.inputs_width} values on {card.robot}; the training suite shows "
            f"{CARD_WIDTH} (ours) or {TEACHER_WIDTH} (TWIST2) on {MODEL.name}: use teleop eval"
        )
    network, view = Teacher(policy.onnx_path, threads), widths[card.inputs_width]
    return lambda seen: network(seen.student if view == "student" else seen.teacher)


def judge_file(
    policy: ResolvedPolicy, data: Path | None, threads: int, perturbed: bool,
    on_tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Figures by group and a table of them: the suite, or (`perturbed`) the perturbation battery.

    Raises:
        NotInTheSuite: see `actor_of`.
        FileNotFoundError: the clips are absent.
    """
    actor, folder = actor_of(policy, threads), DATA if data is None else data
    clips = example_clips(folder)
    if not clips:
        raise FileNotFoundError(f"the example clips of TWIST2 are not in {folder}; name the folder with --data")
    todo = battery(clips) if perturbed else trials(clips, held_out_clips(folder))
    outcomes = run(todo, actor, policy.card, threads, on_tick)
    if perturbed:
        found = battery_summary(outcomes)
        return found, battery_markdown({policy.card.name: found})
    found = summary(outcomes)
    return found, markdown({policy.card.name: found})
