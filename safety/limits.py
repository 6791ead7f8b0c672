"""What the gate enforces for one robot and policy: joint box, torque, rate, gain whitelist. Filled once by launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from teleopd.robots.model import Array, JointLimits, RobotModel
from teleopd.safety.thresholds import LimitError, Thresholds

__all__ = ["LimitError", "SafetyLimits"]


@dataclass(frozen=True, slots=True)
class SafetyLimits:
    """Bounds of every command, in motor order; arrays of shape (n,), read-only."""

    robot: str
    mode_machine: int
    joint_names: tuple[str, ...]
    q_lower: Array
    """Hard joint range of the hardware variant [rad]."""
    q_upper: Array
    soft_lower: Array
    """The box that commands are kept in [rad]: the hard range, or a share of it about its middle."""
    soft_upper: Array
    tau_max: Array
    """0.9 x the smallest published torque [N m]."""
    rate_max: Array
    """Largest change of a commanded position per second [rad/s]."""
    kp_max: Array
    """Gain whitelist: nothing above the policy card's and the READY ramp's gains [N m/rad]."""
    kd_max: Array
    """[N m s/rad]"""
    thresholds: Thresholds

    @classmethod
    def of(
        cls,
        model: RobotModel,
        mode_machine: int | None = None,
        *,
        kp: Array | None = None,
        kd: Array | None = None,
        overrides: Mapping[str, float] | None = None,
    ) -> SafetyLimits:
        """Limits of `model` in the hardware variant it reports, for a policy with gains `kp`, `kd` of shape (n,).

        Raises:
            WrongHardware: there is no limit table for `mode_machine`.
            LimitError: gains of the wrong shape, negative or not finite; an override that loosens, or narrows a joint's
                box beyond the stand pose.
        """
        variant = model.default_mode_machine if mode_machine is None else mode_machine
        hard = model.limits_for(variant)
        thresholds = Thresholds(overrides)
        share = thresholds.value("joint_range")
        middle, half = (hard.q_lower + hard.q_upper) / 2.0, (hard.q_upper - hard.q_lower) / 2.0 * share
        kp_max = np.maximum(model.kp_ready, _gains("kp", kp, model))
        kd_max = np.maximum(np.maximum(model.kd_ready, model.kd_damp), _gains("kd", kd, model))
        _check_table(model, hard)
        _check_box(model, middle - half, middle + half, share)
        whole = share == 1.0
        return cls(
            robot=model.name,
            mode_machine=variant,
            joint_names=model.joint_names,
            q_lower=_frozen(hard.q_lower),
            q_upper=_frozen(hard.q_upper),
            soft_lower=_frozen(hard.q_lower if whole else middle - half),
            soft_upper=_frozen(hard.q_upper if whole else middle + half),
            tau_max=_frozen(hard.tau_max * thresholds.value("torque_share")),
            rate_max=_frozen(np.full(model.n, thresholds.value("motor_rate"))),
            kp_max=_frozen(kp_max),
            kd_max=_frozen(kd_max),
            thresholds=thresholds,
        )


def _gains(name: str, gains: Array | None, model: RobotModel) -> Array:
    if gains is None:
        return np.zeros(model.n)
    given = np.asarray(gains, dtype=np.float64)
    if given.shape != (model.n,):
        raise LimitError(f"policy gains {name} have shape {given.shape}; {model.name} has {model.n} joints")
    for joint, value in zip(model.joint_names, given, strict=True):
        if not 0.0 <= value < np.inf:
            raise LimitError(f"policy gain {name} of {joint} is {value:g}; it must be finite and not negative")
    return given


def _check_table(model: RobotModel, hard: JointLimits) -> None:
    """The whole chain stands on these: refuse a table with a hole in it."""
    for i, joint in enumerate(model.joint_names):
        if not hard.q_lower[i] < hard.q_upper[i]:
            raise LimitError(f"{model.name}: range of {joint} is [{hard.q_lower[i]:g}, {hard.q_upper[i]:g}] rad")
        if not 0.0 < hard.tau_max[i] < np.inf:
            raise LimitError(f"{model.name}: torque limit of {joint} is {hard.tau_max[i]:g} N m")
        if not hard.q_lower[i] <= model.q_stand[i] <= hard.q_upper[i]:
            raise LimitError(f"{model.name}: the stand pose of {joint} is outside its range")


def _check_box(model: RobotModel, lower: Array, upper: Array, share: float) -> None:
    """Every way back leads to the stand pose, so the box that commands are kept in has to hold it."""
    for i in np.flatnonzero((model.q_stand < lower) | (model.q_stand > upper)):
        if share < 1.0:
            raise LimitError(
                f"joint_range {share:g} leaves {model.joint_names[i]} [{lower[i]:.3f}, {upper[i]:.3f}] rad, without "
                f"the stand pose at {model.q_stand[i]:.3f}; give a larger share"
            )


def _frozen(values: Array) -> Array:
    copy = np.array(values, dtype=np.float64)
    copy.setflags(write=False)
    return copy
