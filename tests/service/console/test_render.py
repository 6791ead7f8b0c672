from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.console import render
from teleopd.service.console.errors import NothingToDraw, RenderUnavailable
from teleopd.service.console.scene import scene_state
from teleopd.service.console.trace import Trace
from teleopd.service.streams import tick_log_fields

SIZE = (320, 180)


def orange(pixels: np.ndarray) -> int:
    """Pixels in the person's colour."""
    red, green, blue = (pixels[..., i].astype(int) for i in range(3))
    return int(np.sum((red > 120) & (red - blue > 70) & (red > green + 30)))


def test_backends_follow_mujoco_gl_else_try_what_needs_no_display():
    assert render.backends({}) == ["egl", "osmesa"]
    assert render.backends({"DISPLAY": ":0"}) == ["egl", "osmesa", "glfw"]
    assert render.backends({"MUJOCO_GL": "OSMesa", "DISPLAY": ":0"}) == ["osmesa"]


def test_a_machine_that_cannot_draw_is_told_what_to_install(monkeypatch):
    def broken(_width: int, _height: int) -> None:
        raise ImportError("libEGL.so.1: cannot open")

    monkeypatch.setattr(render, "BACKENDS", {"egl": broken, "osmesa": broken})
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RenderUnavailable) as caught:
        render.open_context(16, 16)
    assert str(caught.value) == (
        "pictures need OpenGL without a display, which this machine lacks; install it with: apt-get install libegl1 "
        "libgl1-mesa-dri libopengl0 (tried egl: libEGL.so.1: cannot open; osmesa: libEGL.so.1: cannot open)"
    )


def test_png_is_what_was_drawn(tmp_path: Path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    render.write_png(tmp_path / "a.png", pixels)
    assert np.array_equal(np.asarray(image.open(tmp_path / "a.png")), pixels)


@pytest.mark.usefixtures("can_draw")
def test_the_picture_holds_robot_ghost_and_person(snapshot, make):
    q = MODEL.q_stand.copy()
    q[MODEL.indices(["left_shoulder_roll_joint"])[0]] += 1.3
    state = scene_state(snapshot._replace(reference=make["reference"](q=q)))
    with render.Painter(MODEL, SIZE, fine=False) as painter:
        everything = painter.draw(state)
        nobody = painter.draw(state._replace(human_pos_w=None))
        no_ghost = painter.draw(state._replace(human_pos_w=None, reference_quat_w=None))
        again = painter.draw(state)
    assert everything.shape == (180, 320, 3)
    assert orange(everything) > 200 and orange(nobody) < 20
    changed = np.any(nobody != no_ghost, axis=2)
    assert 50 < changed.sum() < 0.2 * changed.size  # the raised arm of the ghost, not the whole picture
    blue_shift = (nobody[changed].astype(int) - no_ghost[changed])[:, [0, 2]].mean(axis=0)
    assert blue_shift[1] > blue_shift[0]
    assert np.abs(everything.astype(int) - again).max() <= 2  # a software rasteriser rounds by its threads


@pytest.mark.usefixtures("can_draw")
def test_snapshot_writes_a_png_of_the_size_asked_for(snapshot, tmp_path: Path):
    path = tmp_path / "view.png"
    render.snapshot(MODEL, scene_state(snapshot), path, SIZE)
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(header[16:20], "big") == 320 and int.from_bytes(header[20:24], "big") == 180


@pytest.mark.usefixtures("can_draw")
def test_video_has_every_frame_and_leaves_no_draft(tmp_path: Path):
    av = pytest.importorskip("av")
    rows = np.zeros(11, dtype=np.dtype(tick_log_fields(MODEL.n)))
    rows["t_ns"] = 1 + 20_000_000 * np.arange(11)
    rows["mode"], rows["has_odometry"], rows["q"] = Mode.ACTIVE, True, MODEL.q_stand
    rows["quat_w"][:, 0], rows["root_pos_w"] = 1.0, (0, 0, 0.78)
    trace, shares = Trace(), []
    trace.add_ticks(rows)
    path = tmp_path / "run.mp4"
    count = render.render_video(MODEL, trace, path, fps=30, size=SIZE, progress=shares.append)
    assert count == 7  # 0.2 s
    assert shares[-1] == 1.0 and len(shares) == 7
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert float(container.streams.video[0].average_rate) == 30.0
    assert len(frames) == 7 and (frames[0].width, frames[0].height) == SIZE
    assert [child.name for child in tmp_path.iterdir()] == ["run.mp4"]


def test_a_video_of_nothing_says_so(tmp_path: Path):
    pytest.importorskip("av")
    with pytest.raises(NothingToDraw):
        render.render_video(MODEL, Trace(), tmp_path / "run.mp4")
    assert list(tmp_path.iterdir()) == []
