"""Episodes of other recorders, so that they export to the same formats: data.json of xr_teleoperate and TWIST2.

Layouts as their writers make them (Unitree xr_teleoperate `teleop/utils/episode_writer.py`, Apache-2.0; TWIST2
`deploy_real/data_utils/episode_writer.py` and `server_data_record.py`, MIT):

- xr_teleoperate: item k has `states` and `actions`, part by part (left_arm, right_arm, left_ee, ...), each `qpos`, in
  some versions `qvel` and `torque`; names in info.joint_names; no times.
- TWIST2: `state_body` is angular velocity (3), roll and pitch, then the G1's 29 joints; `action_body` is the velocity,
  height, roll, pitch and yaw rate of the reference, then the 29 joints wanted; `t_img` is the recorder's clock [ms].

Neither says when within an item state and action were: the action is stamped a quarter of a period after the state.
Items are at idx / fps where there is no clock. Images and hands of TWIST2 are left out. A file that its writer did not
finish gives the items it has. The robot of an xr_teleoperate episode is not in it; it is called by its recorder.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.recordings import Body, body_of, is_peers
from teleopd.service.capture.reader import read_episode

PARTS = ("left_arm", "right_arm", "left_ee", "right_ee", "waist", "body")
"""Of xr_teleoperate, in the order of our joints; `base` has no joints."""
COLUMNS = {"qpos": "joint_pos", "qvel": "joint_vel", "torque": "joint_torque"}
TWIST2_STATE, TWIST2_ACTION = 5, 6
"""Numbers before the joints."""
MAX_BYTES = 1 << 30


def read_recording(path: Path, streams: Collection[str]) -> Episode:
    """Our own recording or another program's, by its name.

    Raises:
        EpisodeError, EpisodeRefused: it cannot be read; one sentence.
    """
    return read_peer(path) if is_peers(path) else read_episode(path, streams)


def recording_body(path: Path) -> Body | None:
    """Robot and joints of either; None where they are not there."""
    if not is_peers(path):
        return body_of(path)
    try:
        episode = read_peer(path)
    except (EpisodeRefused, OSError):
        return None
    return episode.robot, episode.joint_names


def read_peer(path: Path) -> Episode:
    """A `data.json` with the streams `state` and `target`.

    Raises:
        EpisodeRefused: it is not laid out as either program does.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise EpisodeRefused(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
    head, items, whole = _parse(path)
    if not items:
        raise EpisodeRefused(f"{path} has no items; it is read as an episode of xr_teleoperate or TWIST2")
    try:
        fps = float(head["info"]["image"]["fps"])
        twist2 = "state_body" in items[0]
        robot = G1.name if twist2 else "xr_teleoperate"
        names = tuple(G1.joint_names) if twist2 else _names(head["info"].get("joint_names", {}), items[0])
        t_ns = _times(items, fps)
        state, action = _twist2(items) if twist2 else _xr(items, names)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        said = f"{type(error).__name__} {error}".strip()
        raise EpisodeRefused(f"{path} is no episode of xr_teleoperate or TWIST2: {said}") from None
    later = t_ns + round(0.25e9 / fps)
    streams = {"state": Stream(t_ns, state), "target": Stream(later, {"joint_pos": action})}
    return Episode(path, robot, names, streams, _metadata(head, whole, twist2), {}, {}, ())


def _parse(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """Everything but the items, the items, and whether the file has its end."""
    text = path.read_bytes().decode("utf-8", "replace")
    try:
        value = json.loads(text)
        if isinstance(value, dict) and isinstance(value.get("data"), list):
            return value, [item for item in value["data"] if isinstance(item, dict)], True
    except (ValueError, RecursionError):
        pass
    before, found, after = text.partition('"data":')
    try:
        head = json.loads(before.rstrip().rstrip(",") + "}")
    except (ValueError, RecursionError):
        head = None
    if not found or not isinstance(head, dict):
        raise EpisodeRefused(f"{path} is no episode of xr_teleoperate or TWIST2: no JSON with `data`")
    return head, _items(after), False


def _items(text: str) -> list[dict[str, Any]]:
    """The whole items of a list that may break off."""
    decoder, items, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        try:
            item, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        items.append(item)
        at = text.find("{", end) if text[end:].lstrip().startswith(",") else -1
    return items


def _names(given: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...]:
    """A name for every joint; part_i where the file gives none."""
    found: list[str] = []
    for part in PARTS:
        count = len((item["states"].get(part) or {}).get("qpos") or ())
        listed = [str(name) for name in given.get(part) or ()]
        found += listed if len(listed) == count else [f"{part}_{i}" for i in range(count)]
    if not found:
        raise ValueError("its states have no qpos")
    return tuple(found)


def _times(items: Sequence[Mapping[str, Any]], fps: float) -> Any:
    if not 1.0 <= fps <= 1000.0:
        raise ValueError(f"{fps:g} frames a second")
    if all(isinstance(item.get("t_img"), int | float) for item in items):
        first = items[0]["t_img"]
        return np.array([round((item["t_img"] - first) * 1e6) for item in items], dtype=np.int64)
    return np.array([round(int(item["idx"]) * 1e9 / fps) for item in items], dtype=np.int64)


def _xr(items: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[dict[str, Array], Array]:
    """State columns and the joints wanted."""
    columns = {COLUMNS[key]: _side_by_side(items, "states", key) for key in COLUMNS}
    kept = {name: values for name, values in columns.items() if values.shape[1] == len(names)}
    if "joint_pos" not in kept:
        raise ValueError(f"its states have {columns['joint_pos'].shape[1]} joints, its names {len(names)}")
    action = _side_by_side(items, "actions", "qpos")
    if action.shape[1] != len(names):
        raise ValueError(f"its actions have {action.shape[1]} joints, its states {len(names)}")
    return kept, action


def _side_by_side(items: Sequence[Mapping[str, Any]], which: str, key: str) -> Array:
    rows = [[v for part in PARTS for v in (item[which].get(part) or {}).get(key) or ()] for item in items]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"its {which} differ in number from item to item")
    return np.array(rows, dtype=np.float64)


def _twist2(items: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Array], Array]:
    """State columns and the joints wanted."""
    state = np.array([item["state_body"] for item in items], dtype=np.float64)
    action = np.array([item["action_body"] for item in items], dtype=np.float64)
    if state.shape[1:] != (TWIST2_STATE + G1.n,) or action.shape[1:] != (TWIST2_ACTION + G1.n,):
        raise ValueError(f"state_body {state.shape[1:]} and action_body {action.shape[1:]}, not (34,) and (35,)")
    return {"joint_pos": state[:, TWIST2_STATE:], "imu_gyro_b": state[:, :3]}, action[:, TWIST2_ACTION:]


def _metadata(head: Mapping[str, Any], whole: bool, twist2: bool) -> dict[str, str]:
    text, rewards = head.get("text"), head.get("rewards")
    task = text.get("goal", "") if isinstance(text, dict) else ""
    success = rewards.get("success") if isinstance(rewards, dict) else None
    return {
        "task": str(task), "source": "TWIST2" if twist2 else "xr_teleoperate", "complete": str(whole).lower(),
        "success": "" if success is None else str(bool(success)).lower(),
    }  # fmt: skip
