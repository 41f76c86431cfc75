"""Golden pictures hold what torch finds in them, and every engine reproduces it."""

import cv2
import numpy as np
import pytest

from small_bundle import make_manifest, make_model, make_picture
from vedette.contracts.bundle import GoldenFile
from vedette.contracts.pipeline import EngineChoice
from vedette.edge.engines.opening import open_engine
from vedette.learn.export.errors import DisagreementError
from vedette.learn.export.golden import draw_scenes, make_golden, require_golden

MANIFEST = make_manifest()
ENGINES = [
    open_engine(MANIFEST, make_model(), choice, threads=1)
    for choice in (EngineChoice.OPENVINO, EngineChoice.ONNXRUNTIME)
]
EMPTY = make_picture({})
TELLING = [make_picture({(0, 0): "red"}), make_picture({(2, 2): "blue", (0, 1): "green"}, scale=20)]


def read(contents: dict[str, bytes]) -> GoldenFile:
    return GoldenFile.model_validate_json(contents["golden.json"])


def test_pictures_with_detections_come_first_and_are_filled_up() -> None:
    contents = make_golden([EMPTY, TELLING[0], EMPTY, EMPTY, TELLING[1], EMPTY], ENGINES[0], MANIFEST, synthetic=False)
    golden = read(contents)
    assert [len(picture.detections) for picture in golden.pictures] == [1, 2, 0, 0]
    assert sorted(contents) == ["golden.json", *(f"golden_{number:02d}.png" for number in range(4))]
    assert not golden.synthetic
    assert require_golden(MANIFEST, contents, ENGINES) == 3


def test_large_pictures_are_shrunk_and_stored_without_loss() -> None:
    contents = make_golden([TELLING[1]], ENGINES[0], MANIFEST, synthetic=True)
    picture = read(contents).pictures[0]
    assert (picture.width, picture.height) == (640, 640) and read(contents).synthetic
    decoded = cv2.imdecode(np.frombuffer(contents[picture.file], np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (640, 640, 3) and set(np.unique(decoded)) <= set(range(256))
    assert {MANIFEST.classes[d.class_id] for d in picture.detections} == {"blue", "green"}


@pytest.mark.parametrize("engine_number", [0, 1])
def test_an_engine_that_finds_something_else_is_refused(engine_number: int) -> None:
    contents = make_golden(TELLING, ENGINES[0], MANIFEST, synthetic=False)
    contents["golden_00.png"] = contents["golden_01.png"]
    with pytest.raises(DisagreementError, match=r"golden_00\.png: missing: red"):
        require_golden(MANIFEST, contents, [ENGINES[engine_number]])


def test_drawn_scenes_are_the_same_every_time_and_differ_from_each_other() -> None:
    first, second = draw_scenes(3, 96, 64), draw_scenes(3, 96, 64)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first[0].shape == (64, 96, 3) and not np.array_equal(first[0], first[1])
    assert all(picture.std() > 5 for picture in first)
