"""Functions that both paths run: compiled here as they stand, interpreted by the numpy path."""

from __future__ import annotations

from numba.extending import register_jitable

from teleopd.service.retarget import capsules, floor, foot, grounding, stance, targets, toe_lock

SHARED = (
    capsules.facing_at, capsules.closest, capsules.overlap_ends,
    floor.smoothstep, floor.follow_floor, floor.rate, floor.clearance, floor.whole_body, floor.lowest_of_seat,
    floor.of_foot,
    foot.lose_foot, foot.flatten, foot.pivot, foot.plant, foot.place, foot.lowest, foot.see_robot, foot.keep_turn,
    foot.matrix,
    grounding.face, grounding.stand, grounding.judge_foot, grounding.lock_foot,
    stance.following, stance.measure_speed, stance.judge_stance, stance.strayed, stance.learn_noise,
    stance.forget_speed, stance.forget_stance, targets.levelled, toe_lock.followed,
    toe_lock.forget_turn, toe_lock.hold_turn, toe_lock.ankle_shift, toe_lock.lock_toe, toe_lock.hold_toe,
)  # fmt: skip
for _function in SHARED:
    register_jitable(_function)
