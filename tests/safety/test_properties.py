"""The supervisor and the gate under arbitrary operators, hosts, robots and policies: P2, P3, P5, P6, P7."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.safety.conftest import MS, Rig, tilted

from teleopd.safety.failsafe import TABLE
from teleopd.safety.supervisor import SupervisorInputs
from teleopd.safety.words import Act, Action, Cause, Mode

POLICY = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
DAMPING = sum(1 << row.cause for row in TABLE if row.action is Action.DAMP)
ALLOWED = {
    # from: one tick may lead to
    Mode.BOOT: {Mode.CHECK}, Mode.CHECK: {Mode.IDLE, Mode.DAMPED}, Mode.IDLE: {Mode.READY, Mode.DAMPED},
    Mode.READY: {Mode.ARMED, Mode.DAMPED}, Mode.ARMED: {Mode.ACTIVE, Mode.DAMPED},
    Mode.ACTIVE: {Mode.HOLD, Mode.RETURN, Mode.DAMPED}, Mode.HOLD: {Mode.ACTIVE, Mode.RETURN, Mode.DAMPED},
    Mode.RETURN: {Mode.ARMED, Mode.DAMPED}, Mode.DAMPED: {Mode.IDLE},
}  # fmt: skip


class Ladder(RuleBasedStateMachine):
    """Everything that can happen around the ladder, in any order."""

    @initialize(mode=st.sampled_from([mode for mode in Mode if mode is not Mode.DRYRUN]))
    def start(self, mode):
        self.rig = Rig().to(mode)
        self.was = self.rig.mode
        self.acts: list[Act] = []
        self.pressed_since_loss = self.rig.held
        self.must_climb: list[Act] = []

    def tick(self, ms: int = 2) -> None:
        rig = self.rig
        held = rig.out.engage_held if rig.out else True
        rig.step(ms)
        out = rig.out
        if rig.mode is not self.was:
            assert rig.mode in ALLOWED[self.was], f"{self.was.name} -> {rig.mode.name}"
        if rig.mode is Mode.ACTIVE and self.was is Mode.ARMED:
            assert out.engage_held and not held, "P3: ACTIVE without a press"
        if rig.mode is not self.was and rig.mode in (Mode.READY, Mode.ARMED):
            wanted = Act.READY if rig.mode is Mode.READY else Act.ARM
            assert self.was is Mode.RETURN or any(c is not None and c.act == wanted for c in rig.commands)
        if out.causes & DAMPING:
            assert rig.mode in (Mode.BOOT, Mode.CHECK, Mode.DAMPED), "P5: a damping cause is obeyed in its own tick"
        if rig.mode in (Mode.IDLE, Mode.DAMPED):
            assert rig.damping(), "P2"
        if rig.mode in (Mode.BOOT, Mode.CHECK):
            assert rig.command is None
        if rig.command is not None:
            assert np.isfinite(rig.command.q).all() and (rig.command.kp <= rig.limits.kp_max).all()
        self.was = rig.mode

    @rule(ms=st.sampled_from([2, 20, 100, 500, 1500]))
    def time_passes(self, ms):
        for _ in range(ms // 2):
            self.tick()

    @rule(ms=st.sampled_from([12, 90, 150, 250, 5000, -30]))
    def host_stalls(self, ms):
        self.tick(ms)

    @rule(act=st.sampled_from([act for act in Act if act is not Act.NONE]), writer=st.integers(0, 3))
    def operator_acts(self, act, writer):
        self.rig.write(act, writer=writer)
        self.tick()

    @rule(act=st.sampled_from(list(Act)), token=st.integers(0, 76), held=st.booleans())
    def stranger_acts(self, act, token, held):
        mode, refused = self.rig.mode, self.rig.out.refused_commands if self.rig.out else 0
        kept = self.rig.commands[3]
        self.rig.write(act, writer=3, token=token, engage_held=held)
        self.tick()
        assert self.rig.out.refused_commands > refused
        assert mode in (Mode.ACTIVE, Mode.HOLD) or self.rig.mode is not Mode.ACTIVE
        self.rig.commands[3] = kept
        self.rig.seqs[3] = kept.seq if kept else 0

    @rule(held=st.booleans())
    def deadman(self, held):
        self.rig.press(held)
        self.tick()

    @rule(what=st.sampled_from(["source_on", "policy_on", "robot_on", "standby_on", "heartbeat"]), on=st.booleans())
    def switch(self, what, on):
        setattr(self.rig, what, on)

    @rule(
        changes=st.sampled_from([
            {}, {}, {"quat_w": tilted(70.0)}, {"dq": np.full(3, 40.0)}, {"q": np.full(3, np.nan)}, {"mode_machine": 2},
            {"temperature_c": np.full(3, 95.0)}, {"motor_fault": np.ones(3, dtype=np.uint32)}, {"quat_w": tilted(30.0)},
        ])
    )  # fmt: skip
    def robot_says(self, changes):
        self.rig.state_changes = changes

    @rule(
        changes=st.sampled_from([
            {}, {}, {"healthy": False}, {"q": np.full(3, np.nan)}, {"reference_valid": False}, {"t_content_ns": 1},
            {"reference_source_id": 5}, {"pose_error_rad": 9.0}, {"deadman": True}, {"q": np.full(3, 50.0)},
        ])
    )  # fmt: skip
    def policy_says(self, changes):
        self.rig.target_changes = changes

    @invariant()
    def strongest_action_is_reported(self):
        out = getattr(self, "rig", None) and self.rig.out
        if out:
            active = [row.action for row in TABLE if out.causes >> row.cause & 1]
            assert out.action is max(active, default=Action.NONE)


TestLadder = Ladder.TestCase
TestLadder.settings = settings(
    settings.default, max_examples=max(15, settings.default.max_examples // 20), stateful_step_count=25, deadline=None
)


def test_p6_repeated_and_older_inputs_change_nothing(rig):
    rig.to(Mode.ACTIVE)
    rig.run(100)
    old_state, old_targets = rig.state, rig.targets
    rig.run(20)
    before = rig.out
    word = SupervisorInputs(old_state, old_targets, rig.commands)
    for _ in range(5):
        rig.now += MS // 4
        out = rig.supervisor.step(word, rig.now)
    assert out.targets is before.targets and out.mode is before.mode and out.causes == before.causes


def test_p2_after_damp_only_reset_ready_arm_in_that_order_bring_position_back(rig):
    rig.to(Mode.DAMPED)
    for order in ([Act.READY, Act.ARM], [Act.ARM, Act.READY]):
        for act in order:
            rig.run(2200)
            rig.write(act)
            rig.run(3300)
            assert rig.mode is Mode.DAMPED and rig.damping()
    rig.write(Act.RESET)
    rig.run(3300)
    assert rig.mode is Mode.IDLE and rig.damping()
    rig.write(Act.READY)
    rig.step()
    assert rig.mode is Mode.READY
    rig.run(200)
    assert rig.command.kp.any() and not rig.causes() & {Cause.OPERATOR_DAMP}
