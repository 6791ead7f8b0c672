"""One policy running: reference and state in, joint targets out, 50 times a second.

Everything that can be wrong is refused when the policy is loaded; `step` itself never raises: a tick without a finite
answer repeats the last good targets and says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.model import Array, LowState, Reference, RobotModel
from teleopd.service.policy.action import ActionMap
from teleopd.service.policy.attitude import roll_pitch
from teleopd.service.policy.card import Card, Golden, gains_for
from teleopd.service.policy.clip import ClipTable
from teleopd.service.policy.errors import GoldenMismatch, NonFiniteOutput, TooSlow
from teleopd.service.policy.network import Pipeline, check_hash
from teleopd.service.policy.observation import Float32, ObservationBuilder
from teleopd.service.policy.onnx_file import check_weights, read_onnx
from teleopd.service.policy.setting import check_metadata, check_setting

CONTROL_RATE_HZ = 50.0
"""Rate of the control process [Hz]."""
WARM_UP_RUNS = 25
"""Enough for a median that one preempted run does not move."""


class PolicyOutput(NamedTuple):
    """The answer of one tick."""

    q: Array
    """Wanted joint positions in motor order [rad], (n,); the last good ones when not healthy."""
    healthy: bool
    """Observation and network output were finite and of the right shape."""
    action: Float32
    """The network's raw output in the card's action order; the last good one when not healthy."""


class PolicyRuntime:
    """A loaded, checked, warmed-up policy on one robot and link. Not thread-safe."""

    def __init__(
        self, card: Card, onnx_path: Path, model: RobotModel, *, link: str, loop_rate_hz: float = CONTROL_RATE_HZ,
        odometry: bool | None = None,
    ) -> None:  # fmt: skip
        """Load the network and check it against card, robot and loop.

        `odometry`: whether the robot's position and velocity are measured; by default only in simulation.

        Raises:
            PolicyError: they do not fit together; each subclass names both values.
        """
        check_setting(card, model, loop_rate_hz, link, link == "sim" if odometry is None else odometry)
        onnx = read_onnx(onnx_path)
        check_hash(card, card.model, onnx)
        check_metadata(card, onnx)
        self.card = card
        self.gain_set, _ = card.gains.of_link(link)
        self.kp, self.kd = gains_for(card, model, link)
        self._builder = ObservationBuilder(card, model)
        self._actions = ActionMap(card, model)
        self._network = Pipeline(card, onnx)
        self._clip = None
        if card.clip is not None:
            self._clip = ClipTable(card, card.clip, model, self._network.policy)
        self.observation: Float32 = np.zeros(0, dtype=np.float32)
        """What the network was shown in the last tick, as the card lays it out; the next tick changes it."""
        self._repeats = card.clip is not None and card.clip.at_end == "repeat"
        self.clip_running = True
        """Whether the motion inside the ONNX goes on; False holds the pose it has reached."""
        self.reset()
        self.warm_up_ms = self._warm_up(model)
        """Median duration of one warm-up step [ms]."""
        check_weights(onnx)

    def step(self, reference: Reference, state: LowState, window: Sequence[Reference] | None = None) -> PolicyOutput:
        """One tick. Returns arrays that later ticks leave alone. Never raises.

        `window`: references at `card.future_steps` ticks ahead, in that order; without it the present one is held. A
        policy with its motion inside follows that and takes from `reference` only what it does not drive.
        """
        healthy = False
        try:
            with np.errstate(all="ignore"):
                healthy = self._advance(reference, state, window)
        except Exception:  # a tick without an answer is a verdict, not an exception
            healthy = False
        return PolicyOutput(self._actions.q.copy(), healthy, self._actions.raw.copy())

    def rehearse(self) -> None:
        """Run the network once for nothing, shortly before a tick: 20 ms of other work have taken its weights from the
        caches. Changes no state and no later answer. Never raises."""
        try:
            self._network.rehearse()
        except Exception:  # what is wrong with the network is the next tick's verdict
            return

    @property
    def tilt_rp(self) -> Array:
        """Roll and pitch of the reference last tracked [rad], (2,)."""
        return self._tilt_rp.copy()

    @property
    def tracked(self) -> Reference | None:
        """The reference last tracked: the motion's own where that is inside the ONNX."""
        return self._tracked

    @property
    def clip_progress(self) -> tuple[int, int] | None:
        """Tick of the motion inside the ONNX and its length; None without one."""
        return None if self._clip is None else (min(self._clip_tick, len(self._clip) - 1), len(self._clip))

    @property
    def force_limit_n(self) -> float | None:
        """Force limit that the policy is shown [N]; None: stiff, or no such input."""
        return self._builder.force_limit_n

    def set_force_limit(self, newton: float | None) -> None:
        """Ask for a force limit [N], held within the card's range; None: stiff. Without such an input: nothing."""
        compliance = self.card.compliance
        if compliance is None or (newton is not None and not math.isfinite(newton)):
            return
        if newton is not None:
            newton = min(max(newton, compliance.lower_n), compliance.upper_n)
        self._builder.force_limit_n = newton

    def reset(self) -> None:
        """Forget histories, recurrent state, the last action and the last targets; the motion inside starts again."""
        self._builder.reset()
        self._actions.reset()
        self._network.reset()
        self._clip_tick = 0
        self._tracked: Reference | None = None
        self._tilt_rp: Array = np.zeros(2)

    def _advance(self, reference: Reference, state: LowState, window: Sequence[Reference] | None) -> bool:
        """Observation, network, targets; False when anything is not finite."""
        if self.card.odometry and not state.has_odometry:
            return False
        tracked = reference
        if self._clip is not None:
            if self._clip_tick >= len(self._clip) and self._repeats:
                self._clip_tick = 0
                self._builder.realign()
            tracked = self._clip.at(self._clip_tick, moving=self.clip_running)
        self.observation = observation = self._builder.build(tracked, state, window)
        if not _finite(observation):
            return False
        self._network.set("clip_time", self._clip_tick)
        self._network.set("first_tick", self._builder.count == 0)
        self._network.set("force_limit", self._builder.force_limit_n or 0.0)
        output = self._network.run(observation)
        healthy = _finite(output) and self._network.state_is_finite
        if healthy:
            tilt_rp = roll_pitch(tracked.root_quat_w)
            self._actions.apply(output, reference)
            self._network.commit()
            self._tilt_rp[:] = tilt_rp
            self._tracked = tracked
            self._clip_tick += self.clip_running
        self._builder.push(self._actions.fed_back)
        return healthy

    def _warm_up(self, model: RobotModel) -> float:
        """Run the network on its default pose, check what it gives, and return the median duration [ms]."""
        card, network = self.card, self._network
        for golden in card.golden:
            network.reset()
            _check_golden(card, golden, network)
        network.reset()
        reference, state = _standing(card, model)
        durations = []
        for _ in range(WARM_UP_RUNS):
            start = time.perf_counter_ns()
            output = network.run(self._builder.build(reference, state))
            self._builder.push(output)
            durations.append(time.perf_counter_ns() - start)
            bad = int(np.count_nonzero(~np.isfinite(output)))
            if bad:
                raise NonFiniteOutput(card.name, bad, output.size)
        self.reset()
        # The quickest: a busy machine makes the others slow, and a policy refused for that would leave its robot alone.
        quickest_ms = min(durations) / 1e6
        if quickest_ms > 1e3 / card.rate_hz:
            raise TooSlow(card.name, quickest_ms, 1e3 / card.rate_hz)
        return float(np.median(durations)) / 1e6


def _finite(array: Float32) -> bool:
    """Whether every value is finite and none is absurdly large: a sum carries any NaN or infinity on, in one pass."""
    return math.isfinite(np.add.reduce(array, axis=None))


def _check_golden(card: Card, golden: Golden, network: Pipeline) -> None:
    vector = np.zeros((1, card.inputs_width), dtype=np.float32)
    for segment in golden.segments:
        for i in range(segment.repeat):
            at = segment.at + i * segment.stride
            vector[0, at : at + len(segment.values)] = segment.values
    output, wanted = network.run(vector), np.array(golden.output)
    error = np.abs(output - wanted)
    if not (error <= golden.tolerance).all():
        worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
        raise GoldenMismatch(card.name, golden.name, worst, wanted[worst], float(output[worst]), golden.tolerance)


def _standing(card: Card, model: RobotModel) -> tuple[Reference, LowState]:
    """The robot at rest in its stand pose and a reference that agrees, for the warm-up."""
    zero, upright = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    height = np.array([0.0, 0.0, model.stand_height_m])
    still = np.zeros(model.n)
    reference = Reference(
        seq=1, source_id=0, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=False, resets=0,
        nominal_hz=card.rate_hz, root_pos_w=height, root_quat_w=upright, root_lin_vel_w=zero, root_ang_vel_w=zero,
        q=model.q_stand, dq=still,
    )  # fmt: skip
    return reference, state_at_rest(model)._replace(has_odometry=True, root_pos_w=height)
