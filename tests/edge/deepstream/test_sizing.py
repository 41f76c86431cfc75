"""What fits a board: the published figures of the Nano, and what no choice may break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.contracts.bundle import Precision
from vedette.edge.deepstream.errors import DeepStreamError
from vedette.edge.deepstream.sizing import Demand, fit, other_inputs
from vedette.edge.deepstream.targets import TARGETS, find_target

YOLOV3_TINY_416 = 5.565


def demand(cameras: int = 8, wanted_fps: float | None = None, **given: object) -> Demand:
    values: dict[str, object] = {
        "cameras": cameras,
        "camera_size_px": (1920, 1080),
        "camera_fps": 30.0,
        "codec": "h264",
        "network_gflop": YOLOV3_TINY_416,
        "network_size_px": (416, 416),
        "wanted_fps": wanted_fps,
        **given,
    }
    return Demand(**values)  # type: ignore[arg-type]


def test_eight_cameras_on_the_nano_are_detected_on_three_times_a_second() -> None:
    """25.5 inferences/s were measured of yolov3-tiny-416 there: 240 frames/s need every 10th."""
    sizing = fit(demand(), find_target("jetson-nano"))

    assert sizing.most_inferences_s == pytest.approx(25.5, abs=0.1)
    assert (sizing.interval, sizing.detections_fps, sizing.inferences_s) == (9, 3.0, 24.0)
    assert sizing.decode_load == pytest.approx(0.995, abs=0.001)
    assert (sizing.batch, sizing.network_batch, sizing.muxer_size_px) == (8, 8, (1920, 1080))


def test_a_smaller_input_gives_more_detections() -> None:
    asked = demand()
    rates = dict(other_inputs(asked, fit(asked, find_target("jetson-nano"))))

    assert rates[416, 416] == 3.0
    assert rates[416, 256] == 5.0
    assert rates[320, 192] > rates[320, 320] > rates[416, 416]


def test_a_wish_that_fits_is_kept_and_one_that_does_not_is_lowered_and_told() -> None:
    nano = find_target("jetson-nano")
    modest, bold = fit(demand(wanted_fps=2.0), nano), fit(demand(wanted_fps=6.0), nano)

    assert (modest.detections_fps, modest.is_wish_met) == (2.0, True)
    assert (bold.detections_fps, bold.is_wish_met) == (3.0, False)


def test_a_measured_figure_takes_the_place_of_the_published() -> None:
    assert fit(demand(network_gflop=None), find_target("jetson-nano"), measured_inferences_s=48.0).interval == 4


def test_full_precision_halves_the_rate() -> None:
    assert fit(demand(precision=Precision.FP32), find_target("jetson-nano")).most_inferences_s == pytest.approx(
        12.76, abs=0.1
    )


def test_more_than_a_board_decodes_is_refused_with_what_fits() -> None:
    with pytest.raises(
        DeepStreamError, match=r"decodes 500 Mpixel/s of H264, 9 cameras .* send 560: take 8, or let them"
    ):
        fit(demand(9), find_target("jetson-nano"))


def test_a_small_board_with_many_small_cameras_scales_nothing() -> None:
    sizing = fit(demand(18, camera_size_px=(1280, 720)), find_target("jetson-nano"))

    assert sizing.muxer_size_px == (1280, 720)
    assert sizing.network_batch == 8


def test_large_pictures_of_many_cameras_are_scaled_in_the_muxer() -> None:
    sizing = fit(demand(40, camera_fps=6.0), find_target("jetson-nano"))

    assert sizing.muxer_size_px == (1280, 720)
    assert sizing.muxer_memory_mb < 230


@given(
    st.sampled_from(sorted(TARGETS)),
    st.integers(1, 8),
    st.floats(1, 30),
    st.floats(0.1, 200),
    st.one_of(st.none(), st.floats(0.1, 60)),
)
def test_what_is_chosen_never_exceeds_what_the_board_has(
    name: str, cameras: int, fps: float, gflop: float, wanted: float | None
) -> None:
    sizing = fit(demand(cameras, wanted, camera_fps=fps, network_gflop=gflop), find_target(name))

    assert sizing.interval >= 0
    assert sizing.inferences_s <= sizing.most_inferences_s * (1 + 1e-6)
    assert sizing.decode_load <= 1
    if wanted is None and sizing.interval:
        assert cameras * fps / sizing.interval > sizing.most_inferences_s * (1 - 1e-6)  # one less did not fit
