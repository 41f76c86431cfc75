"""Settings of a run: checked, written flat, read back, compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vedette.learn.training.arithmetic import (
    DeviceChoice,
    PrecisionChoice,
    bf16_flag,
    choose_arithmetic,
)
from vedette.learn.training.augment import AugmentSettings
from vedette.learn.training.errors import RunFolderError, SettingsError
from vedette.learn.training.leaks import LeakChoice
from vedette.learn.training.settings import Recipe, TrainSettings, differences, parse_size, settings_from_flat

FULL = TrainSettings(
    data=Path("pictures"),
    model="yolov3",
    weights=Path("darknet53.conv.74"),
    size_px=(416, 256),
    epochs=7,
    batch=3,
    seed=11,
    device=DeviceChoice.CPU,
    precision=PrecisionChoice.BF16,
    time_budget_s=90.0,
    validate_every=2,
    patience=4,
    recipe=Recipe(learning_rate=0.5, augment=AugmentSettings(zoom=0.1)),
)


EXTRAS = TrainSettings(
    data=Path("d"),
    model="yolov3-tiny",
    deterministic=True,
    single_class="face",
    leaks=LeakChoice.DROP,
    fold=(2, 5),
    tensorboard=True,
)


@pytest.mark.parametrize("settings", [FULL, EXTRAS, TrainSettings(data=Path("d"), model="yolov3-tiny")])
def test_flat_settings_read_back_as_they_were(settings: TrainSettings) -> None:
    flat = settings.to_flat()
    assert all(isinstance(value, (str, int, float, bool)) for value in flat.values())
    assert settings_from_flat(flat) == settings


def test_differences_name_what_changed_but_paths_and_devices_may() -> None:
    moved = replace(FULL, data=Path("elsewhere"), device=DeviceChoice.CUDA, precision=PrecisionChoice.FP32)
    assert differences(FULL.to_flat(), moved.to_flat()) == []
    assert differences(FULL.to_flat(), replace(FULL, batch=5).to_flat()) == ["batch was 3, is 5"]


@pytest.mark.parametrize(("text", "size"), [("416", (416, 416)), ("416x256", (416, 256)), (" 320X192 ", (320, 192))])
def test_sizes_are_a_number_or_width_by_height(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "400", "416x", "0", "416x250", "99999", "-416", "8192"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--size"):
        parse_size(text)


@pytest.mark.parametrize(
    "change",
    [
        *({"epochs": 0}, {"batch": 0}, {"seed": -1}, {"patience": 0}, {"time_budget_s": float("nan")}),
        *({"deterministic": True}, {"single_class": " "}),  # the one beside a time budget
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="--"):
        replace(FULL, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": "many"},
        {"epochs": float("inf")},
        {"deterministic": "yes"},
        {"fold": "2"},
        {"leaks": "some"},
        {"warm_up_steps": "many"},
        {"warm_up_steps": 1.5},
        {"learning_rate": None},
        {"loss_box_weight": float("nan")},
        {"augment_mosaic": [1]},
    ],
)
def test_damaged_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RunFolderError, match="cannot be read"):
        settings_from_flat({**FULL.to_flat(), **change})


def test_settings_of_another_version_are_refused_with_what_is_missing() -> None:
    flat = FULL.to_flat()
    del flat["loss_box_weight"]
    with pytest.raises(RunFolderError, match="do not have 'loss_box_weight': it was begun by another version"):
        settings_from_flat(flat)


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("sse2 avx512f avx512_bf16", "avx512_bf16"),
        ("amx_bf16 avx512_bf16", "amx_bf16"),
        ("sse2 avx2", None),
        ("", None),
    ],
)
def test_bf16_is_taken_where_the_processor_says_so(flags: str, found: str | None) -> None:
    assert bf16_flag(f"model name : X\nflags\t\t: fpu {flags}\nbugs : avx512_bf16\n") == found


def test_precision_asked_for_is_precision_used() -> None:
    assert not choose_arithmetic(DeviceChoice.CPU, PrecisionChoice.FP32).bf16
    chosen = choose_arithmetic(DeviceChoice.CPU, PrecisionChoice.BF16)
    assert chosen.bf16
    assert "BF16" in chosen.reason
