"""`teleop policy`: which policies there are, what one is, and whether it would run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import tyro
from rich.console import Console

from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.robots.model import RobotModel
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.explain import check, explain
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve, search_folders, shipped_cards


@dataclass(frozen=True, slots=True)
class Policy:
    """List policies, explain one in plain words (show), or load it as the service would and say what fits (check)."""

    verb: Annotated[Literal["list", "show", "check"], tyro.conf.Positional]
    """list: the cards that come with the robot. show: explain. check: load and test."""
    policy: Annotated[str, tyro.conf.Positional] = ""
    """Name of a card, an ONNX file or a card file; the robot's default when not given."""
    robot: str = "unitree_g1"
    """The robot it is for."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print; 0 when the policy is usable."""
        model: RobotModel = registry.load("robot", self.robot)
        if self.verb == "list":
            return self._list(model)
        resolved = resolve(self.policy or None, model)
        if resolved is None:
            raise CommandError(absent_sentence(model))
        lines = explain(resolved) if self.verb == "show" else check(resolved, model)
        if self.json:
            print(json.dumps(self._as_dict(resolved, lines)))
        else:
            Console(highlight=False, soft_wrap=True).print("\n".join(lines), markup=False)
        return 0

    def _as_dict(self, resolved: ResolvedPolicy, lines: list[str]) -> dict[str, Any]:
        answer: dict[str, Any] = {"policy": resolved.card.name, "onnx": str(resolved.onnx_path), self.verb: lines}
        if self.verb == "show":
            answer["card"] = msgspec.to_builtins(resolved.card)
        return answer

    def _list(self, model: RobotModel) -> int:
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
