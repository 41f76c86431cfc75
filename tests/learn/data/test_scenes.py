"""The drawn factory is its own truth: labels lie on the parts, crossings happen when and where the boxes say."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.contracts.ports import SilentProgress
from vedette.learn.data.scenes import writing
from vedette.learn.data.scenes.factory import Factory
from vedette.learn.data.scenes.parts import CLASSES


@pytest.mark.parametrize("seed", [3, 4, 11, 15])
def test_every_crossing_is_an_anchor_that_changes_side_in_its_frame(seed: int) -> None:
    factory = Factory(seed, frames=240, width_px=640, height_px=360)
    x1, y1, x2, _ = factory.line_xyxy_px
    crossings = factory.crossings()
    assert crossings
    for crossing in crossings:
        before = _anchors(factory, crossing.frame - 1, crossing.class_name)
        after = _anchors(factory, crossing.frame + 1, crossing.class_name)
        position = 1 if factory.vertical else 0
        at = y1 if factory.vertical else x1
        grows = (crossing.direction == "a_to_b") == factory.vertical
        assert x2 >= x1
        near_before = [a[position] - at for a in before if abs(a[position] - at) < 16]
        near_after = [a[position] - at for a in after if abs(a[position] - at) < 16]
        sign = 1 if grows else -1
        assert any(sign * value <= 1 for value in near_before), crossing
        assert any(sign * value >= -1 for value in near_after), crossing


def _anchors(factory: Factory, frame: int, class_name: str) -> list[tuple[float, float]]:
    boxes = [o.box_xyxy_px for o in factory.objects(frame) if o.class_name == class_name]
    return [((x1 + x2) / 2, y2) for x1, _, x2, y2 in boxes]


def test_the_same_seed_draws_the_same_frame_and_another_seed_does_not() -> None:
    first = Factory(7, 60, 640, 360).draw_noisy_bgr(30)
    again = Factory(7, 60, 640, 360).draw_noisy_bgr(30)
    other = Factory(8, 60, 640, 360).draw_noisy_bgr(30)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_boxes_hold_the_moving_pixels() -> None:
    """What changes between two frames, beyond light and shadow, lies on belts inside labelled boxes or their trail."""
    factory = Factory(5, 60, 640, 360)
    boxes = factory.objects(10)
    assert len(boxes) >= 4
    picture = cv2.cvtColor(factory.draw(10), cv2.COLOR_BGR2GRAY)
    inside = [picture[int(y1) : int(y2), int(x1) : int(x2)] for x1, y1, x2, y2 in (b.box_xyxy_px for b in boxes)]
    assert min(float(patch.std()) for patch in inside) > 8, "every box holds a part, not bare belt"


def test_stills_are_a_voc_folder_with_every_class(tmp_path: Path) -> None:
    writing.write_stills(tmp_path, 8, 1, SilentProgress(), workers=1)
    pictures = sorted(path.stem for path in (tmp_path / "JPEGImages").glob("*.jpg"))
    labels = sorted(path.stem for path in (tmp_path / "Annotations").glob("*.xml"))
    assert pictures == labels and len(pictures) == 8
    text = "".join(path.read_text() for path in (tmp_path / "Annotations").glob("*.xml"))
    assert all(f"<name>{name}</name>" in text for name in CLASSES)


def test_a_clip_has_its_frames_and_its_truth_beside_it(tmp_path: Path) -> None:
    (clip,) = writing.write_clips(tmp_path, writing.ClipPlan(1, 120, 3, (640, 360)), SilentProgress(), workers=1)
    assert writing.read_truth(clip.truth) == clip.crossings
    video = cv2.VideoCapture(str(clip.video))
    frames = 0
    while video.read()[0]:
        frames += 1
    video.release()
    assert frames == 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["belt-1.mp4", "belt-1.truth.json"]
