"""An engine whose model takes so many pictures at once serves any number, each with its own result."""

import numpy as np
import pytest

from vedette.edge.engines.fixed_batch import FixedBatchEngine


class Means:
    """Takes three pictures only; gives each one's mean and least pixel."""

    name, version, description = "means", "1", "means 1"

    def __init__(self) -> None:
        self.calls = 0

    def infer(self, pixels_nhwc_rgb):
        assert len(pixels_nhwc_rgb) == 3
        self.calls += 1
        flat = pixels_nhwc_rgb.reshape(3, -1).astype(np.float32)
        return [flat.mean(axis=1, keepdims=True), flat.min(axis=1)]


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3)])
def test_any_number_of_pictures_goes_through_in_portions(count: int, calls: int) -> None:
    inner = Means()
    pictures = np.random.default_rng(count).integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    means, least = FixedBatchEngine(inner, 3).infer(pictures)
    np.testing.assert_allclose(means[:, 0], pictures.reshape(count, -1).mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(least, pictures.reshape(count, -1).min(axis=1))
    assert inner.calls == calls


def test_it_is_described_as_the_engine_that_it_is() -> None:
    engine = FixedBatchEngine(Means(), 3)
    assert (engine.name, engine.version, engine.description) == ("means", "1", "means 1")
