"""What can be wrong with a policy, each as one sentence with both values side by side.

All of these are raised while a policy is set up; `PolicyRuntime.step` never raises.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class PolicyError(ValueError):
    """Root of everything that makes a policy unusable."""


class BadCard(PolicyError):
    """The card cannot be read: unknown key, wrong type, missing or contradictory value."""

    def __init__(self, card: str, problem: str) -> None:
        super().__init__(f"policy card {card}: {problem}")


class UnknownKey(BadCard):
    """The card has a key that means nothing."""

    def __init__(self, card: str, key: str, where: str, known: Sequence[str]) -> None:
        super().__init__(card, f"unknown key '{key}' in {where}{nearest(key, known)} Valid: {', '.join(sorted(known))}")
        self.key = key


class UnknownPolicy(PolicyError):
    """No card of that name for this robot."""

    def __init__(self, name: str, robot: str, known: Sequence[str]) -> None:
        valid = f"Valid: {', '.join(sorted(known))}, or the path of an ONNX file" if known else "give an ONNX file"
        super().__init__(f"unknown policy '{name}' for robot '{robot}'{nearest(name, known)} {valid}")


class WeightsAbsent(PolicyError):
    """There is a card, and no model file to go with it."""

    def __init__(self, policy: str, file: str, folders: Sequence[Path]) -> None:
        super().__init__(
            f"policy '{policy}' needs the weights '{file}', which are in none of {', '.join(map(str, folders))}: "
            f"put the file into one of these folders, or name it with --policy FILE"
        )


class FileAbsent(PolicyError):
    """The path given is no file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"policy file {path} does not exist")


class NotOnnx(PolicyError):
    """The file is no complete ONNX model."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is not a usable ONNX model: {problem}")


class NoCard(PolicyError):
    """An ONNX file that no card describes."""

    def __init__(self, path: Path, sha256: str, known: Sequence[str]) -> None:
        shipped = f"the shipped cards ({', '.join(sorted(known))}) are" if known else "no shipped card is"
        super().__init__(
            f"{path} has no card: {shipped} not for it (sha256 {sha256[:16]}); "
            f"describe it in {path.with_suffix('.toml')}, which a card under robots/*/policies shows how to write"
        )


class HashMismatch(PolicyError):
    """The card describes another file."""

    def __init__(self, card: str, wanted: str, path: Path, found: str) -> None:
        super().__init__(f"card '{card}' is for the model with sha256 {wanted}, {path} has {found}")


class WrongRobot(PolicyError):
    """The card is for another robot."""

    def __init__(self, card: str, wanted: str, robot: str) -> None:
        super().__init__(f"card '{card}' is for robot '{wanted}', this robot is '{robot}'")


class WrongJoints(PolicyError):
    """The card and the robot disagree about joints."""

    def __init__(self, card: str, problem: str) -> None:
        super().__init__(f"card '{card}': {problem}")


class NoBody(PolicyError):
    """The robot has no body of that name."""

    def __init__(self, robot: str, body: str, known: Sequence[str]) -> None:
        super().__init__(f"{robot} has no body '{body}'{nearest(body, known)} Valid: {', '.join(known)}")


class NeedsOdometry(PolicyError):
    """The policy wants to know where the robot is, and nothing measures it."""

    def __init__(self, card: str, link: str) -> None:
        super().__init__(
            f"card '{card}' needs odometry (position and velocity of the root), the link '{link}' has none: "
            "run it in simulation, or with motion capture of the robot"
        )


class WrongArmature(PolicyError):
    """The simulated robot's rotor inertia is far from the one the policy was trained with."""

    def __init__(self, card: str, joint: str, wanted: float, found: float) -> None:
        super().__init__(
            f"card '{card}' says armature {wanted:g} kg m^2 at {joint}, the robot's MJCF has {found:g}: "
            "a policy trained with one falls with the other"
        )


class MetadataConflict(PolicyError):
    """The card and the metadata inside the ONNX disagree."""

    def __init__(self, card: str, what: str, wanted: object, found: object, way_out: str = "") -> None:
        super().__init__(f"card '{card}' says {what} {wanted}, the ONNX metadata say {found}{way_out}")


class NonFiniteWeights(PolicyError):
    """The file holds NaN or infinite weights."""

    def __init__(self, path: Path, tensor: str, count: int, size: int) -> None:
        super().__init__(f"{path} has {count} non-finite values of {size} in the weights '{tensor}'")


class DataAbsent(PolicyError):
    """The weights of an ONNX lie in another file, which is not there."""

    def __init__(self, path: Path, data: str) -> None:
        super().__init__(f"{path} keeps its weights in '{data}', which is not beside it: put it into {path.parent}")


class WrongClip(PolicyError):
    """The motion inside the ONNX is not the one the card describes."""

    def __init__(self, card: str, what: str, wanted: object, found: object) -> None:
        super().__init__(f"card '{card}' says the motion inside has {what} {wanted}, the ONNX has {found}")


class CannotImport(PolicyError):
    """A description of a policy cannot be turned into a card."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} cannot be imported: {problem}")


class WrongRate(PolicyError):
    """A policy run at another rate than it was trained at falls (TWIST2 at 100 Hz: 53 of 80 stay up, at 50 Hz 78)."""

    def __init__(self, card: str, card_hz: float, loop_hz: float) -> None:
        super().__init__(f"card '{card}' says {card_hz:g} Hz, the control loop runs at {loop_hz:g} Hz")


class WrongWidth(PolicyError):
    """The card and the ONNX disagree about the size or the name of an input or output."""

    def __init__(self, card: str, what: str, wanted: object, found: object) -> None:
        super().__init__(f"card '{card}' says {what} {wanted}, the ONNX has {found}")


class Unsupported(PolicyError):
    """The card asks for something this runtime cannot give."""

    def __init__(self, card: str, problem: str) -> None:
        super().__init__(f"card '{card}': {problem}")


class NonFiniteOutput(PolicyError):
    """The network answers a finite input with NaN or infinity."""

    def __init__(self, card: str, count: int, width: int) -> None:
        super().__init__(f"policy '{card}' gives {count} non-finite values of {width} for a finite input")


class GoldenMismatch(PolicyError):
    """The network does not reproduce an output noted in its card."""

    def __init__(self, card: str, golden: str, index: int, wanted: float, found: float, tolerance: float) -> None:
        super().__init__(
            f"policy '{card}' does not reproduce '{golden}': output {index} should be {wanted:.5f} "
            f"within {tolerance:g}, is {found:.5f}"
        )


class TooSlow(PolicyError):
    """One inference takes longer than the period of the policy."""

    def __init__(self, card: str, quickest_ms: float, period_ms: float) -> None:
        super().__init__(f"policy '{card}' takes {quickest_ms:.1f} ms a step here, its period is {period_ms:g} ms")


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' when something similar exists, else a full stop."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else "."
