"""The same problem given to mink: second implementation, and the oracle the fast solver is tested against."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.solver import SMOOTHING_FULL_HZ, smoothing_weights
from teleopd.service.retarget.tables import Match, SolverSettings, Stages
from teleopd.service.retarget.targets import Targets

STEP_DT_S = 1.0
"""mink divides and multiplies by it again: a solve is a step in position, whatever it is."""


class MinkSolver:
    """`FrameTask`s with the table's weights, `PostureTask` for smoothing, joint limits; daqp. About 10 x slower."""

    def __init__(
        self, kinematics: Kinematics, matches: tuple[Match, ...], body_ids: IntArray, stages: Stages,
        settings: SolverSettings,
    ) -> None:  # fmt: skip
        """Imports mink here, so that the fast solver does not pay for it."""
        import mink

        self._mink, self._kinematics, self._settings = mink, kinematics, settings
        self._configuration = mink.Configuration(kinematics.model)
        self._stages = {
            name: [
                (i, weights[m.robot], mink.FrameTask(m.robot, "body", *weights[m.robot]))
                for i, m in enumerate(matches)
                if m.robot in weights
            ]
            for name, weights in (("acquire", stages.acquire), ("track", stages.track))
        }
        self._posture_weights = np.zeros(kinematics.model.nv)
        self._smoothing = smoothing_weights(settings, kinematics.robot.joint_names)
        self._posture = mink.PostureTask(kinematics.model, cost=self._posture_weights)
        self._limits = [mink.ConfigurationLimit(kinematics.model, gain=1.0)]
        self._qpos = np.array(self._configuration.q)

    def acquire(self, targets: Targets, root_row: int) -> Array:
        """See `IkSolver.acquire`."""
        robot = self._kinematics.robot
        self._qpos = self._kinematics.qpos(targets.pos[root_row], targets.quat[root_row], robot.q_stand)
        self._configuration.update(self._qpos)
        for stage in ("acquire", "track"):
            self._solve(targets, stage, self._settings.acquire_iterations, posture=False)
        self._qpos = np.array(self._configuration.q)
        return np.array(self._qpos)

    def track(self, targets: Targets, dt_s: float) -> Array:
        """See `IkSolver.track`; the speed limit is applied to the result."""
        joints, dofs = self._kinematics.qpos_index, self._kinematics.dof_index
        previous = self._qpos[joints]
        fade = min(1.0, 1.0 / (SMOOTHING_FULL_HZ * dt_s))
        self._posture_weights[dofs] = np.sqrt(self._smoothing * fade)
        self._posture.set_cost(self._posture_weights)
        self._posture.set_target(self._qpos)
        self._solve(targets, "track", self._settings.iterations_for(dt_s), posture=True)
        reach = self._settings.joint_speed_limit_rad_s * dt_s
        qpos = np.array(self._configuration.q)
        qpos[joints] = np.clip(qpos[joints], previous - reach, previous + reach)
        self._configuration.update(qpos)
        self._qpos = qpos
        return np.array(qpos)

    def stand_on(self, contacts: Contacts | None) -> None:
        """The base problem only.

        Raises:
            ValueError: contacts are given.
        """
        if contacts is not None:
            raise ValueError("the mink solver knows no contacts")

    def _solve(self, targets: Targets, stage: str, count: int, *, posture: bool) -> None:
        mink = self._mink
        tasks = []
        for i, (position, orientation), task in self._stages[stage]:
            seen = float(targets.seen[i])
            task.set_position_cost(position * seen)
            task.set_orientation_cost(orientation * seen)
            task.set_target(mink.SE3(wxyz_xyz=np.concatenate((targets.quat[i], targets.pos[i]))))
            tasks.append(task)
        everything = [*tasks, self._posture] if posture else tasks
        for _ in range(count):
            velocity = mink.solve_ik(
                self._configuration, everything, STEP_DT_S, "daqp", self._settings.damping, limits=self._limits
            )
            self._configuration.integrate_inplace(velocity, STEP_DT_S)
