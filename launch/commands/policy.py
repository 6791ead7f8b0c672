"""`teleop policy`: which policies there are, what one is, whether it would run; and where one comes from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tyro
from rich.console import Console

from teleopd.drivers.home import expanded
from teleopd.launch import registry
from teleopd.launch.commands.policy_fetch import Fetch
from teleopd.launch.commands.policy_train import EvalPolicy, Export, Train
from teleopd.launch.errors import CommandError
from teleopd.robots.model import RobotModel
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.card_writer import card_text
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.explain import check, explain
from teleopd.service.policy.importers.auto import Answers
from teleopd.service.policy.importers.torchscript import convert, is_torchscript
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve, search_folders, shipped_cards

DEFAULT_ROBOT = "unitree_g1"


@dataclass(frozen=True, slots=True)
class ListPolicies:
    """The cards that come with a robot, and where their weights are."""

    robot: str = DEFAULT_ROBOT
    """The robot."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print; always 0."""
        model: RobotModel = registry.load("robot", self.robot)
        rows = []
        for name, path in shipped_cards(model).items():
            try:
                found = resolve(name, model)
                weights = str(found.onnx_path) if found else ""
            except PolicyError as error:
                weights = f"- ({error})"
            rows.append({"policy": name, "title": load_card(path).title, "weights": weights})
        if self.json:
            for row in rows:
                print(json.dumps(row))
            return 0
        for row in rows:
            print(f"{row['policy']:12s} {row['title']}\n{'':12s} {row['weights']}")
        print(f"weights are searched in: {', '.join(map(str, search_folders()))}")
        return 0


@dataclass(frozen=True, slots=True)
class _OfOne:
    """What concerns one policy."""

    policy: Annotated[str, tyro.conf.Positional] = ""
    """Name of a card, an ONNX file, a card file or a TorchScript file of unitree_rl_gym; the robot's default when not
    given."""
    robot: str = ""
    """The robot it is for; for a file whose card is shipped that card's, otherwise unitree_g1."""
    prefer: Literal["metadata", "deploy_yaml"] | None = None
    """Which to believe where the ONNX metadata and the deploy.yaml disagree; without it they are refused."""
    action_scale: float | None = None
    """Scale of the actions, for a file that does not say it (holosoma)."""
    default_pose: str = ""
    """Default pose, for a file that does not say it: joint or pattern = value [rad], ... such as "*_knee*=0.67"."""
    json: bool = False
    """Print JSON."""

    def _resolved(self) -> tuple[ResolvedPolicy, RobotModel]:
        model: RobotModel = registry.load("robot", self.robot or _robot_of(self.policy))
        resolved = resolve(self.policy or None, model, answers=self._answers())
        if resolved is None:
            raise CommandError(absent_sentence(model))
        return resolved, model

    def _print(self, verb: str, resolved: ResolvedPolicy, lines: list[str]) -> int:
        if self.json:
            answer: dict[str, Any] = {"policy": resolved.card.name, "onnx": str(resolved.onnx_path), verb: lines}
            if verb == "show":
                answer["card"] = msgspec.to_builtins(resolved.card)
            print(json.dumps(answer))
        else:
            Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)
        return 0

    def _answers(self) -> Answers:
        pose: dict[str, float] = {}
        for entry in filter(None, self.default_pose.replace(" ", "").split(",")):
            name, _, value = entry.partition("=")
            try:
                pose[name] = float(value)
            except ValueError:
                raise CommandError(f"--default-pose has '{entry}', wanted joint=value [rad]") from None
        return Answers(self.prefer, self.action_scale, pose or None)


@dataclass(frozen=True, slots=True)
class Show(_OfOne):
    """Explain a policy in plain words: what it is, sees, does and needs."""

    def run(self) -> int:
        """Print; 0 when there is such a policy."""
        resolved, _ = self._resolved()
        return self._print("show", resolved, explain(resolved))


@dataclass(frozen=True, slots=True)
class Check(_OfOne):
    """Load a policy as the service would and say what fits: file, widths, joints, golden outputs, speed, gains."""

    def run(self) -> int:
        """Print; 0 when the policy is usable."""
        resolved, model = self._resolved()
        return self._print("check", resolved, check(resolved, model))


@dataclass(frozen=True, slots=True)
class Import(_OfOne):
    """Write the card that an ONNX's metadata or its deploy.yaml describe, beside the file; a TorchScript file is
    converted."""

    out: Path | None = None
    """The card's file; by default beside the ONNX."""

    def run(self) -> int:
        """Write and print; 0 when the card is written."""
        resolved, _ = self._resolved()
        return self._print("import", resolved, self._import(resolved))

    def _import(self, resolved: ResolvedPolicy) -> list[str]:
        out = expanded(self.out, CommandError, "--out ") if self.out else resolved.onnx_path.with_suffix(".toml")
        if out.exists():
            raise CommandError(f"{out} exists: name another file with --out")
        try:
            out.write_text(card_text(resolved.card, resolved.notes), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{out} cannot be written ({error.strerror}): name another file with --out") from None
        return [*resolved.notes, f"card written to {out}"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Policies: list them, explain one (show), load it as the service would (check), write a card for somebody else's
    file (import), download published weights (fetch); train, judge (eval) and export one of your own."""

    verb: tyro.conf.OmitArgPrefixes[
        Annotated[ListPolicies, tyro.conf.subcommand("list")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Import, tyro.conf.subcommand("import")]
        | Annotated[Fetch, tyro.conf.subcommand("fetch")]
        | Annotated[Train, tyro.conf.subcommand("train")]
        | Annotated[EvalPolicy, tyro.conf.subcommand("eval")]
        | Annotated[Export, tyro.conf.subcommand("export")]
    ]

    def run(self) -> int:
        """Do it; the exit status is the verb's."""
        return self.verb.run()


def _robot_of(policy: str) -> str:
    """The robot of the shipped card for a file; the G1 for everything else."""
    path = expanded(policy, CommandError)
    if not policy or not path.is_file() or path.suffix == ".toml":
        return DEFAULT_ROBOT
    try:
        content = convert(path) if is_torchscript(path) else path.read_bytes()
    except (PolicyError, OSError):
        return DEFAULT_ROBOT
    sha256 = hashlib.sha256(content).hexdigest()
    for name in registry.names("robot"):
        cards = shipped_cards(registry.load("robot", name)).values()
        if any(load_card(card).model.sha256 == sha256 for card in cards):
            return name
    return DEFAULT_ROBOT
