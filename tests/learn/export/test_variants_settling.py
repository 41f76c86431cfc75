"""A variant is made until it loses no more than allowed; what hurts most is kept in higher precision, step by step."""

import pytest

from vedette.contracts.bundle import Precision
from vedette.contracts.errors import UsageError
from vedette.contracts.ports import SilentProgress
from vedette.learn.export.errors import VariantError
from vedette.learn.export.quantize_errors import LayerError
from vedette.learn.export.quantize_layers import Layer
from vedette.learn.export.variants import KINDS, Limit, VariantModel, parse_variants, settle

LIMIT = Limit(map50=0.9, max_drop=0.01)


def make_layer(name: str, macs: int = 100) -> Layer:
    return Layer(
        name, "Conv", f"{name}_in", f"{name}_w", f"{name}_out", macs, is_first=name == "a", is_head=name == "h"
    )


def make_errors(*names: str, macs: dict[str, int] | None = None) -> list[LayerError]:
    """The worst first; a large layer that does no harm stands last."""
    found = [
        LayerError(make_layer(name, (macs or {}).get(name, 100)), 0.5 - place / 100) for place, name in enumerate(names)
    ]
    return [*found, LayerError(make_layer("large", 10_000), 0.0)]


class Bench:
    """Makes variants that lose a given amount with each number of kept layers."""

    def __init__(self, *map50: float, kind: str = "int8", errors: list[LayerError] | None = None) -> None:
        self.map50, self.kind = list(map50), KINDS[kind]
        self.errors = make_errors("h", "a", "b", "c", "d", "e") if errors is None else errors
        self.made: list[tuple[str, ...]] = []
        self.looked = 0

    def settle(self) -> VariantModel:
        return settle(self._make, lambda _: self.map50[len(self.made) - 1], self._errors, LIMIT, SilentProgress())

    def _make(self, kept: tuple[str, ...]) -> VariantModel:
        self.made.append(kept)
        return VariantModel(self.kind, b"", None, kept)

    def _errors(self) -> list[LayerError]:
        self.looked += 1
        return self.errors


def test_a_variant_that_loses_little_is_taken_as_it_is() -> None:
    bench = Bench(0.8901)
    assert bench.settle().kept == ()
    assert bench.looked == 0  # looking for layers takes time


def test_the_limit_itself_is_allowed_and_a_gain_too() -> None:
    assert LIMIT.allows(LIMIT.map50 - LIMIT.max_drop)
    assert LIMIT.allows(0.95) and not LIMIT.allows(0.8899)


def test_the_worst_layers_are_kept_one_after_the_other_until_it_passes() -> None:
    bench = Bench(0.80, 0.85, 0.895)
    assert bench.settle().kept == ("h", "a")
    assert bench.made == [(), ("h",), ("h", "a")] and bench.looked == 1


def test_three_steps_that_bring_nothing_end_the_search() -> None:
    bench = Bench(0.80, 0.82, 0.82, 0.8203, 0.81, 0.99)
    with pytest.raises(VariantError, match=r"variant int8 loses 7\.97 mAP50 points of 90\.00.*allows 1\.00") as caught:
        bench.settle()
    assert len(bench.made) == 5
    assert "h 0.500, a 0.490, b 0.480, c 0.470, d 0.460" in str(caught.value)
    assert "keeping h, a, b, c in FP32 does not help enough" in str(caught.value)
    assert "Nothing is written" in str(caught.value)


def test_a_gain_in_between_goes_on_with_the_search() -> None:
    bench = Bench(0.80, 0.80, 0.80, 0.82, 0.82, 0.82, 0.895)
    assert len(bench.settle().kept) == 6


def test_half_of_the_work_in_fp32_is_the_end() -> None:
    bench = Bench(0.80, 0.85, 0.99, errors=make_errors("h", "a", macs={"a": 20_000}))
    with pytest.raises(VariantError, match="keeping h in FP32 does not help enough"):
        bench.settle()
    assert bench.made == [(), ("h",)]


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_half_precision_has_no_layers_to_keep_but_names_those_that_hurt(kind: str) -> None:
    bench = Bench(0.80, 0.99, kind=kind)
    with pytest.raises(VariantError, match=f"variant {kind} loses 10.00") as caught:
        bench.settle()
    assert bench.made == [()] and "h 0.500" in str(caught.value) and "keeping" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fp32", ("fp32",)),
        ("int8,fp32", ("fp32", "int8", "int8_qdq", "int8_qdq_symmetric")),
        (" FP32 , bf16,fp16,", ("fp32", "bf16", "fp16")),
        ("fp32,int8_qdq,int8_qdq", ("fp32", "int8_qdq")),
        ("fp32,int8_openvino", ("fp32", "int8")),
    ],
)
def test_variants_are_parsed_in_one_order(text: str, names: tuple[str, ...]) -> None:
    assert parse_variants(text) == names


@pytest.mark.parametrize("text", ["", ",", "int8", "fp32,int4"])
def test_what_names_no_variant_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--variants"):
        parse_variants(text)


def test_kinds_know_their_precision_and_file() -> None:
    assert {name: kind.precision for name, kind in KINDS.items()} == {
        "bf16": Precision.BF16,
        "fp16": Precision.FP16,
        "int8": Precision.INT8,
        "int8_qdq": Precision.INT8,
        "int8_qdq_symmetric": Precision.INT8,
    }
    assert VariantModel(KINDS["bf16"], b"model").contents == {}
    assert VariantModel(KINDS["int8"], b"x", b"w").contents == {"model_int8.xml": b"x", "model_int8.bin": b"w"}
