"""Batches begun by one thread and taken by another: the same detections in order, errors where results are taken."""

import threading
from pathlib import Path

import numpy as np
import pytest

from small_bundle import make_bundle, make_picture
from vedette.bundle_folder import OpenBundle
from vedette.contracts.frame import ResizeMode
from vedette.contracts.pipeline import EngineChoice
from vedette.contracts.ports import AsyncDetector, Detector
from vedette.edge.engines.errors import EngineError
from vedette.edge.engines.opening import installed_engines, open_detector
from vedette.edge.engines.submitting import StreamedDetector, ThreadedDetector, open_async_detector
from vedette.vision.resize import fit

CELLS = [{(n % 4, n // 4): ("red", "green")[n % 2]} for n in range(12)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> OpenBundle:
    return make_bundle(tmp_path_factory.mktemp("async") / "bundle")


def inputs(detector: Detector):
    pictures = [make_picture(cells, 2) for cells in CELLS]
    spec = detector.manifest.input
    assert spec.resize is ResizeMode.STRETCH
    placements = [detector.place(picture.shape[1], picture.shape[0]) for picture in pictures]
    return [fit(p, placement) for p, placement in zip(pictures, placements, strict=True)], placements


@pytest.mark.parametrize("engine", installed_engines())
def test_results_equal_the_plain_detectors_in_the_order_of_submission(bundle: OpenBundle, engine: EngineChoice):
    plain, detector = open_detector(bundle, engine), open_async_detector(bundle, engine, threads=2)
    assert isinstance(detector, AsyncDetector) and not isinstance(plain, AsyncDetector)
    pixels, placements = inputs(plain)
    expected = [one.to_json() for one in plain.detect_fitted(np.stack(pixels), placements)]
    assert all(len(found) == 1 for found in expected)
    portions = [slice(0, 1), slice(1, 5), slice(5, 9), slice(9, 12)]
    for portion in portions:  # more under way than is needed to keep it busy
        detector.submit(pixels[portion], placements[portion])
    taken = [one.to_json() for _ in portions for one in detector.take()]
    assert taken == expected
    again = [one.to_json() for one in detector.detect_fitted(np.stack(pixels), placements)]
    assert again == expected


def test_openvino_works_on_several_pictures_at_once_and_any_other_engine_in_a_thread(bundle: OpenBundle):
    for engine in installed_engines():
        detector = open_async_detector(bundle, engine, threads=2)
        kind = StreamedDetector if engine is EngineChoice.OPENVINO else ThreadedDetector
        assert type(detector) is kind and detector.in_flight >= 2
        assert type(open_async_detector(bundle, engine, threads=1)) is ThreadedDetector


@pytest.mark.parametrize("engine", installed_engines())
def test_submitting_and_taking_may_be_two_threads(bundle: OpenBundle, engine: EngineChoice):
    detector = open_async_detector(bundle, engine, threads=2)
    pixels, placements = inputs(detector)
    begun = threading.Semaphore(0)

    def submit() -> None:
        for _ in range(20):
            for picture, placement in zip(pixels, placements, strict=True):
                detector.submit([picture], [placement])
                begun.release()

    thread = threading.Thread(target=submit)
    thread.start()
    first: list[object] = []
    for number in range(20 * len(pixels)):
        assert begun.acquire(timeout=10)
        (found,) = detector.take()
        if number < len(pixels):
            first.append(found.to_json())
        else:
            assert found.to_json() == first[number % len(pixels)]
    thread.join()


@pytest.mark.parametrize("engine", installed_engines())
def test_pictures_of_another_size_are_refused_when_they_are_submitted(bundle: OpenBundle, engine: EngineChoice):
    detector = open_async_detector(bundle, engine, threads=2)
    placement = detector.place(64, 64)
    with pytest.raises(ValueError, match="expected"):
        detector.submit([np.zeros((32, 32, 3), np.uint8)], [placement])
    pixels, placements = inputs(detector)
    detector.submit(pixels[:1], placements[:1])
    assert len(detector.take()[0]) == 1


def test_what_the_engine_raises_is_raised_by_take_and_the_next_batch_is_fine(bundle: OpenBundle):
    detector = open_async_detector(bundle, EngineChoice.ONNXRUNTIME, threads=1)
    pixels, placements = inputs(detector)
    working = detector._engine.infer  # type: ignore[attr-defined]

    def failing(_pixels):
        raise EngineError("the engine failed")

    detector._engine.infer = failing  # type: ignore[attr-defined, method-assign]
    detector.submit(pixels[:1], placements[:1])
    with pytest.raises(EngineError, match="failed"):
        detector.take()
    detector._engine.infer = working  # type: ignore[attr-defined, method-assign]
    detector.submit(pixels[:1], placements[:1])
    assert len(detector.take()[0]) == 1


def test_a_letterboxed_bundle_gives_the_same_on_both_ways(tmp_path: Path):
    letterboxed = make_bundle(tmp_path / "letterboxed", resize=ResizeMode.LETTERBOX)
    picture = np.ascontiguousarray(make_picture({(1, 1): "red"}, 2)[:96])
    for engine in installed_engines():
        plain, detector = open_detector(letterboxed, engine), open_async_detector(letterboxed, engine, threads=2)
        placement = plain.place(picture.shape[1], picture.shape[0])
        fitted = fit(picture, placement)
        detector.submit([fitted], [placement])
        assert detector.take()[0].to_json() == plain.detect_fitted(fitted[None], [placement])[0].to_json()
