"""Gait templates by commanded velocity: closed cycles of stepping on the spot, forward, back, sideways and turning.

Each foot stands still on the floor for `DUTY` of a cycle and swings in an arc for the rest; the pelvis moves at the
commanded velocity, swaying over the standing foot as an inverted pendulum does; the legs follow by inverse kinematics.
Numpy and the robot's MJCF only: nothing here needs torch, so a service can use it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.channels import DT_S, WIDTH, channels_of, quaternion, stand

DUTY = 0.62
"""Share of a cycle that a foot stands: both stand for 12 % of it, twice."""
LIFT_M = 0.07
"""Top of the swing."""
GRAVITY_RATE = 3.6
"""sqrt(g / height of the centre of mass) [1/s]."""
PELVIS_M = 0.765
"""Height of the pelvis; less where the legs do not reach."""
PELVIS_LOWEST_M = 0.70
CLEARANCE_M = 0.17
"""Least distance of the feet's middles across."""
ARM_SWING = 0.35
"""Shoulder pitch for each m/s forward [rad]."""
QUANTUM = 0.05
"""Commands are rounded to this [m/s, rad/s]: their templates are kept."""
ITERATIONS = 12
"""Of the inverse kinematics."""
_LEG = 6
_ARM_LEFT, _ARM_RIGHT = 15, 22


class _Link(NamedTuple):
    pos: Array
    quat: Array
    axis: Array


def template(vx: float, vy: float, wz: float) -> Array:
    """One cycle for a velocity forward, to the left [m/s] and a turn rate [rad/s], (ticks, 35).

    Left foot in the middle of its stance first. Within +-0.8, +-0.7 and +-1.5 the feet follow; beyond, they fall short.
    """
    key = (round(vx / QUANTUM), round(vy / QUANTUM), round(wz / QUANTUM))
    return _template(*key)


def cycle_s(vx: float, vy: float, wz: float) -> float:
    """Length of two steps [s]: quicker the faster it goes, quicker still sideways, where the feet may not cross."""
    hurry = 0.22 * min(abs(vx), 0.8) + 0.45 * min(abs(vy), 0.6) + 0.08 * min(abs(wz), 1.0)
    return max(1.0 - hurry, 0.70)


@lru_cache(maxsize=4096)
def _template(vx_key: int, vy_key: int, wz_key: int) -> Array:
    twist = (vx_key * QUANTUM, vy_key * QUANTUM, wz_key * QUANTUM)
    ticks = round(cycle_s(*twist) / DT_S)
    t = np.asarray(np.arange(ticks) * DT_S, dtype=np.float64)
    for height in np.arange(PELVIS_M, PELVIS_LOWEST_M - 1e-9, -0.01):
        qpos, reached = _cycle(t, ticks * DT_S, twist, float(height))
        if reached:
            break
    # Three turns of the cycle, so that differences over time are those of the closed one.
    whole = np.vstack([qpos] * 3)
    for turn in range(3):
        part = slice(turn * ticks, (turn + 1) * ticks)
        at = _body(twist, np.array([turn * ticks * DT_S]))[0]
        c, s = np.cos(at[2]), np.sin(at[2])
        x, y = qpos[:, 0], qpos[:, 1]
        whole[part, 0], whole[part, 1] = at[0] + c * x - s * y, at[1] + s * x + c * y
        half = 0.5 * at[2]
        w, z = qpos[:, 3], qpos[:, 6]
        whole[part, 3], whole[part, 6] = np.cos(half) * w - np.sin(half) * z, np.cos(half) * z + np.sin(half) * w
    out = channels_of(whole)[ticks : 2 * ticks]
    assert out.shape == (ticks, WIDTH)
    out.setflags(write=False)
    return out


def _cycle(t: Array, cycle: float, twist: tuple[float, float, float], height: float) -> tuple[Array, bool]:
    """Root and joints (ticks, 36) of a cycle, and whether the legs reach."""
    vx, vy, _ = twist
    travel = abs(vy) * cycle
    half = max(_stance_half_m(), 0.5 * CLEARANCE_M + 0.25 * travel)
    step = 0.5 * cycle
    sway = half * (1.0 - 1.0 / np.cosh(0.5 * GRAVITY_RATE * step))
    phase = 2 * np.pi * t / cycle
    body = _body(twist, t)
    offset = sway * np.cos(phase)
    c, s = np.cos(body[:, 2]), np.sin(body[:, 2])
    qpos = np.zeros((len(t), 7 + MODEL.n))
    qpos[:, 0], qpos[:, 1], qpos[:, 2] = body[:, 0] - s * offset, body[:, 1] + c * offset, height
    zero = np.zeros(len(t))
    qpos[:, 3:7] = quaternion(zero, zero, body[:, 2])
    qpos[:, 7:] = MODEL.q_stand
    reached = True
    for leg, (side, at) in enumerate(((1.0, 0.0), (-1.0, 0.5))):
        foot = _foot(t, cycle, twist, side * half, at)
        dx, dy = foot[:, 0] - qpos[:, 0], foot[:, 1] - qpos[:, 1]
        target = np.stack((c * dx + s * dy, c * dy - s * dx, foot[:, 2] - height + _sole_below_ankle()), axis=1)
        joints, worst = _inverse(leg, target, foot[:, 3] - body[:, 2])
        reached &= worst < 1e-3
        qpos[:, 7 + _LEG * leg : 7 + _LEG * (leg + 1)] = joints
    swing = ARM_SWING * vx * np.sin(phase)
    qpos[:, 7 + _ARM_LEFT] -= swing
    qpos[:, 7 + _ARM_RIGHT] += swing
    return qpos, reached


def _body(twist: tuple[float, float, float], t: Array) -> Array:
    """Place and heading after `t` at a constant velocity in its own frame, from the origin, (len(t), 3)."""
    vx, vy, wz = twist
    a = wz * t
    if abs(wz) < 1e-9:
        return np.stack((vx * t, vy * t, a), axis=1)
    along, across = np.sin(a) / wz, (1.0 - np.cos(a)) / wz
    return np.stack((vx * along - vy * across, vx * across + vy * along, a), axis=1)


def _foot(t: Array, cycle: float, twist: tuple[float, float, float], across: float, at: float) -> Array:
    """Place x, y, height of the sole and heading of a foot whose middle of stance is at `at` cycles, (len(t), 4)."""
    turns = t / cycle - at
    n = np.floor(turns + 0.5)
    part = turns - n  # -0.5 to 0.5 about the middle of the stance
    here = _planted(twist, (n + at) * cycle, across)
    forwards = np.where(part > 0, 1.0, -1.0)
    other = _planted(twist, (n + forwards + at) * cycle, across)
    lifted = np.clip((np.abs(part) - 0.5 * DUTY) / (1.0 - DUTY), 0.0, 1.0)  # 0 at lift-off to 0.5 in mid-swing
    share = np.clip((lifted - 0.06) / 0.88, 0.0, 1.0)
    share = share**3 * (10.0 - 15.0 * share + 6.0 * share * share)
    out = np.empty((len(t), 4))
    out[:, [0, 1, 3]] = here + share[:, None] * (other - here)
    out[:, 2] = LIFT_M * np.sin(np.pi * lifted) ** 2
    return out


def _planted(twist: tuple[float, float, float], t: Array, across: float) -> Array:
    body = _body(twist, t)
    return body + across * np.stack((-np.sin(body[:, 2]), np.cos(body[:, 2]), np.zeros(len(t))), axis=1)


@cache
def _leg_links(leg: int) -> tuple[_Link, ...]:
    import mujoco

    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    links = []
    for name in MODEL.joint_names[_LEG * leg : _LEG * (leg + 1)]:
        joint = m.joint(name).id
        body = m.jnt_bodyid[joint]
        links.append(_Link(m.body_pos[body].copy(), m.body_quat[body].copy(), m.jnt_axis[joint].copy()))
    return tuple(links)


@cache
def _sole_below_ankle() -> float:
    """Height of the ankle's link over the floor [m], foot flat."""
    import mujoco

    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    data = mujoco.MjData(m)
    data.qpos[:7], data.qpos[7:] = (0, 0, 0, 1, 0, 0, 0), MODEL.q_stand
    mujoco.mj_kinematics(m, data)
    soles = [m.site(name).id for name in MODEL.sole_sites]
    ankle = data.xpos[m.jnt_bodyid[m.joint("left_ankle_roll_joint").id], 2]
    return float(ankle - data.site_xpos[soles, 2].min())


@cache
def _stance_half_m() -> float:
    """Half the distance of the feet in the stand pose [m]."""
    pos, _, _ = _forward(0, MODEL.q_stand[None, :_LEG])
    return float(pos[0, 1])


def _rotation(quat: Array) -> Array:
    w, x, y, z = quat
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def _forward(leg: int, q: Array) -> tuple[Array, Array, Array]:
    """Ankle link in the pelvis frame for joints (k, 6): position (k, 3), rotation (k, 3, 3), and its Jacobian.

    The Jacobian (k, 6, 6) has the velocity in rows 0 to 2 and the angular velocity in rows 3 to 5.
    """
    pos, rot = np.zeros((len(q), 3)), np.tile(np.eye(3), (len(q), 1, 1))
    places, axes = [], []
    for i, link in enumerate(_leg_links(leg)):
        pos = pos + rot @ link.pos
        x, y, z = link.axis
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        s, c = np.sin(q[:, i])[:, None, None], np.cos(q[:, i])[:, None, None]
        rot = rot @ _rotation(link.quat) @ (np.eye(3) + s * cross + (1.0 - c) * (cross @ cross))
        places.append(pos)
        axes.append(rot @ link.axis)
    turning = np.stack(axes, axis=2)
    moving = np.stack([np.cross(axis, pos - at) for axis, at in zip(axes, places, strict=True)], axis=2)
    return pos, rot, np.concatenate((moving, turning), axis=1)


def _inverse(leg: int, target: Array, yaw: Array) -> tuple[Array, float]:
    """Joints (k, 6) that put the ankle flat at `target` (k, 3) in the pelvis frame, turned by `yaw`; the worst miss."""
    q = np.tile(np.array([-0.35, 0.0, 0.0, 0.7, -0.35, 0.0]), (len(target), 1))
    own = slice(_LEG * leg, _LEG * (leg + 1))
    lower, upper = MODEL.limits.q_lower[own], MODEL.limits.q_upper[own]
    c, s = np.cos(yaw), np.sin(yaw)
    wanted = np.zeros((len(target), 3, 3))
    wanted[:, 0, 0], wanted[:, 0, 1], wanted[:, 1, 0], wanted[:, 1, 1], wanted[:, 2, 2] = c, -s, s, c, 1.0
    for _ in range(ITERATIONS):
        pos, rot, jacobian = _forward(leg, q)
        error = _miss(pos, rot, target, wanted)
        if np.abs(error).max() < 1e-7:
            break
        damped = jacobian.transpose(0, 2, 1) @ jacobian + 1e-6 * np.eye(_LEG)
        step = np.linalg.solve(damped, jacobian.transpose(0, 2, 1) @ error[:, :, None])[:, :, 0]
        q = np.clip(q - np.clip(step, -0.3, 0.3), lower, upper)
    return q, float(np.abs(_miss(*_forward(leg, q)[:2], target, wanted)[:, :3]).max())


def _miss(pos: Array, rot: Array, target: Array, wanted: Array) -> Array:
    """Position [m] and small-angle rotation [rad] by which the ankle misses, (k, 6)."""
    off = rot @ wanted.transpose(0, 2, 1)
    turn = 0.5 * np.stack((
        off[:, 2, 1] - off[:, 1, 2], off[:, 0, 2] - off[:, 2, 0], off[:, 1, 0] - off[:, 0, 1],
    ), axis=1)  # fmt: skip
    return np.hstack((pos - target, turn))


def walk(commands: Array) -> Array:
    """A track that follows velocity commands (ticks, 3) tick by tick, (ticks, 35): templates at a running phase.

    Amplitude follows the speed near standing: a command of zero stands.
    """
    out = np.empty((len(commands), WIDTH))
    rest = stand()
    phase = 0.0
    for i, (vx, vy, wz) in enumerate(commands):
        amount = min(max(abs(vx), abs(vy), 0.4 * abs(wz)) / 0.15, 1.0)
        cycle = template(vx, vy, wz)
        at = phase * len(cycle)
        low = int(at) % len(cycle)
        part = at - int(at)
        row = (1.0 - part) * cycle[low] + part * cycle[(low + 1) % len(cycle)]
        out[i] = rest + amount * (row - rest)
        phase = (phase + 1.0 / len(cycle)) % 1.0 if amount > 0.0 else 0.0
    return out
