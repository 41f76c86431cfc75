"""Every trained net of the real data on real pictures: torch, ONNX Runtime and OpenVINO against OpenCV's importer.

OpenCV's batch-norm epsilon is 1e-6, AlexeyAB's 1e-5. With variances raised by the difference, so that both divide by
the same number, boxes (fractions of the input) and scores agree within 1e-5; with the file as it is, within 0.5 input
pixels and 0.003, one net within 0.02, as the oracle's README states. Compared are all boxes with a score above 0.001.
"""

import pytest

from opencv_importer import compare, opencv_decoded, run_torch
from trained_nets import NETS, find_trained, measure_trained, real_input
from vedette.learn.darknet.weights import write_weights

SAME_EPSILON_TOLERANCE = 1e-5
SCORE_TOLERANCE, BOX_TOLERANCE_PX = 0.003, 0.5
WORST = {"yoloface-50k": 0.02}  # its smallest variances are near the epsilon
# A size that is not square, for one net of each kind of head
CASES = [(name, None) for name in NETS] + [("yolo-fastest-1.1", (352, 288)), ("tiny-yolov2-trial3", (256, 192))]


@pytest.fixture
def trained(real_data, request):
    name, size = request.param
    found = find_trained(real_data / "weights", name, size)
    if found is None:
        pytest.skip(f"the data folder lists {name}, but its weights or cfg is not there")
    return found


def named(case):
    name, size = case
    return name if size is None else f"{name}-{size[0]}x{size[1]}"


@pytest.mark.real_data
@pytest.mark.parametrize("trained", CASES, indirect=True, ids=named)
def test_trained_nets_decode_exactly_as_in_opencv_with_the_same_epsilon(real_data, tmp_path, trained):
    found = measure_trained(trained, real_data / "coco" / "images", tmp_path, same_epsilon=True)

    assert set(found) == {"torch", "onnxruntime", "openvino"}
    for difference in found.values():
        assert max(difference.box, difference.score) <= SAME_EPSILON_TOLERANCE
        assert difference.boxes > 500


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("trained", CASES, indirect=True, ids=named)
def test_trained_nets_decode_as_in_opencv_within_what_its_epsilon_makes(real_data, tmp_path, trained):
    found = measure_trained(trained, real_data / "coco" / "images", tmp_path, same_epsilon=False)

    side_px = max(trained.plan.input_width, trained.plan.input_height)
    for difference in found.values():
        assert difference.score <= WORST.get(trained.path.stem, SCORE_TOLERANCE)
        assert difference.box * side_px <= BOX_TOLERANCE_PX


@pytest.mark.real_data
@pytest.mark.parametrize(
    "trained", [("yolo-fastest-1.1", None), ("tiny-yolov2-trial5", None)], indirect=True, ids=named
)
def test_the_epsilon_alone_shows_in_the_exact_comparison(real_data, trained):
    images = real_input(trained.plan, real_data / "coco" / "images")[:2]
    expected = opencv_decoded(trained.text, trained.path, trained.plan, images)
    found = compare(trained.plan, run_torch(trained.plan, trained.weights, images), expected)

    assert max(found.box, found.score) > SAME_EPSILON_TOLERANCE


@pytest.mark.real_data
@pytest.mark.parametrize(
    "trained", [("tiny-yolov2-trial3", None), ("tiny-yolov2-trial5", None)], indirect=True, ids=named
)
def test_trained_files_with_the_old_header_come_back_byte_for_byte(tmp_path, trained):
    assert not trained.weights.wide_header  # 16 bytes

    write_weights(tmp_path / "again.weights", trained.plan, trained.weights)

    assert (tmp_path / "again.weights").read_bytes() == trained.path.read_bytes()
