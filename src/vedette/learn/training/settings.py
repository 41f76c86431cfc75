"""What a training run was asked for: checked once, written to RUN/settings.json, compared when a run is resumed.

The defaults of `Recipe` were chosen by experiment on short runs on two processor cores (docs/how-to/train.md has the
table).
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vedette.learn.darknet.loss import LossSettings
from vedette.learn.training.arithmetic import DeviceChoice, PrecisionChoice
from vedette.learn.training.augment import AugmentSettings
from vedette.learn.training.errors import RunFolderError, SettingsError
from vedette.learn.training.leaks import LeakChoice

DEFAULT_MODEL = "yolov3-tiny"
MAX_SIDE_PX = 4096
FREE_ON_RESUME = frozenset(
    {"data", "weights", "device", "precision", "tensorboard"}
)  # what a resumed run may do otherwise

Flat = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network learns; not on the command line yet."""

    learning_rate: float = 3e-3  # AdamW
    weight_decay: float = 0.05  # kernels only, neither biases nor batch norm
    momentum: float = 0.9
    second_momentum: float = 0.99
    warm_up_steps: int = 100
    largest_gradient: float = 10.0
    whole_pictures: float = 0.15  # the last part of a run, without mosaic
    scale_x_y: float = 2.0  # of the cfg that is written for a new model: lets neighbouring cells answer too
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One run. `model` is a family's name or a cfg; without a size the cfg's own is taken, or 416x416 for a family."""

    data: Path
    model: str
    weights: Path | None = None
    size_px: tuple[int, int] | None = None  # width, height
    epochs: int = 100
    batch: int = 8
    seed: int = 0
    device: DeviceChoice = DeviceChoice.AUTO
    precision: PrecisionChoice = PrecisionChoice.AUTO
    time_budget_s: float | None = None
    validate_every: int = 1
    patience: int | None = None
    deterministic: bool = False
    single_class: str | None = None  # all classes of the data are this one
    leaks: LeakChoice = LeakChoice.REFUSE
    fold: tuple[int, int] | None = None  # (number from 1, of how many): validate on that part, train on the others
    tensorboard: bool = False
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch", self.batch), ("val-every", self.validate_every)):
            if value < 1:
                raise SettingsError(f"--{name} must be at least 1, not {value}")
        if self.patience is not None and self.patience < 1:
            raise SettingsError(f"--patience must be at least 1, not {self.patience}")
        if self.time_budget_s is not None and not (math.isfinite(self.time_budget_s) and self.time_budget_s > 0):
            raise SettingsError(f"--time-budget must be longer than nothing, not {self.time_budget_s}")
        if self.deterministic and self.time_budget_s is not None:
            raise SettingsError(
                "--deterministic and --time-budget exclude each other: a clock never runs the same twice"
            )
        if self.single_class is not None and not self.single_class.strip():
            raise SettingsError("--class-name must not be empty")
        if self.fold is not None and not (self.fold[1] >= 2 and 1 <= self.fold[0] <= self.fold[1]):
            raise SettingsError(f"fold {self.fold[0]} of {self.fold[1]}: at least two, counted from 1")
        if not 0 <= self.seed < 2**63:
            raise SettingsError(f"--seed must be between 0 and 2^63 - 1, not {self.seed}")

    def to_flat(self) -> Flat:
        """One level of plain values, those that are not set left out; for settings.json."""
        flat: Flat = {"data": str(self.data), "model": self.model}
        if self.weights is not None:
            flat["weights"] = str(self.weights)
        if self.size_px is not None:
            flat["size"] = f"{self.size_px[0]}x{self.size_px[1]}"
        flat |= {"epochs": self.epochs, "batch": self.batch, "seed": self.seed}
        flat |= {"device": self.device.value, "precision": self.precision.value}
        if self.time_budget_s is not None:
            flat["time_budget_s"] = self.time_budget_s
        flat["validate_every"] = self.validate_every
        if self.patience is not None:
            flat["patience"] = self.patience
        flat |= self._extras()
        for key, value in asdict(self.recipe).items():
            if isinstance(value, dict):
                flat |= {f"{key}_{inner}": number for inner, number in value.items()}
            else:
                flat[key] = value
        return flat

    def _extras(self) -> Flat:
        """What few runs are asked for; left out where it is not, as runs begun before it came have it."""
        flat: Flat = {name: True for name in ("deterministic", "tensorboard") if getattr(self, name)}
        if self.single_class is not None:
            flat["single_class"] = self.single_class
        if self.leaks is not LeakChoice.REFUSE:
            flat["leaks"] = self.leaks.value
        if self.fold is not None:
            flat["fold"] = f"{self.fold[0]}/{self.fold[1]}"
        return flat

    def recipe_and_schedule(self) -> Flat:
        """The settings that a resumed run must share with the begun one."""
        return {key: value for key, value in self.to_flat().items() if key not in FREE_ON_RESUME}


def settings_from_flat(flat: Mapping[str, Any]) -> TrainSettings:
    """The inverse of `to_flat`; keys that are not settings are passed over.

    Raises:
        SettingsError: a setting is missing or of the wrong kind.
    """
    try:
        recipe = _recipe_from_flat(flat)
        return TrainSettings(
            data=Path(flat["data"]),
            model=str(flat["model"]),
            weights=Path(flat["weights"]) if "weights" in flat else None,
            size_px=parse_size(flat["size"]) if "size" in flat else None,
            epochs=int(flat["epochs"]),
            batch=int(flat["batch"]),
            seed=int(flat["seed"]),
            device=DeviceChoice(flat["device"]),
            precision=PrecisionChoice(flat["precision"]),
            time_budget_s=float(flat["time_budget_s"]) if "time_budget_s" in flat else None,
            validate_every=int(flat["validate_every"]),
            patience=int(flat["patience"]) if "patience" in flat else None,
            deterministic=_switch(flat, "deterministic"),
            single_class=str(flat["single_class"]) if "single_class" in flat else None,
            leaks=LeakChoice(flat.get("leaks", LeakChoice.REFUSE)),
            fold=_fold(flat["fold"]) if "fold" in flat else None,
            tensorboard=_switch(flat, "tensorboard"),
            recipe=recipe,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RunFolderError(f"the settings of this run cannot be read: {error!r}") from error


def _switch(flat: Mapping[str, Any], name: str) -> bool:
    value = flat.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, not true or false")
    return value


def _fold(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    return int(number), int(count)


def _recipe_from_flat(flat: Mapping[str, Any]) -> Recipe:
    default = Recipe()
    nested: dict[str, Any] = {}
    for key, value in asdict(default).items():
        if isinstance(value, dict):
            parts = {inner: _number(flat[f"{key}_{inner}"], number) for inner, number in value.items()}
            nested[key] = type(getattr(default, key))(**parts)
        else:
            nested[key] = _number(flat[key], value)
    return Recipe(**nested)


def _number(value: Any, default: float) -> float:
    """The value as a number of the default's kind.

    Raises:
        ValueError: it is none.
    """
    kinds = (int,) if isinstance(default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number such as {default} is expected")
    return value


def differences(begun: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What a resumed run would do otherwise than the begun one, in words; paths and devices may change."""
    keys = sorted((set(begun) | set(asked)) - FREE_ON_RESUME)
    return [
        f"{key} was {json.dumps(begun.get(key))}, is {json.dumps(asked.get(key))}"
        for key in keys
        if begun.get(key) != asked.get(key)
    ]


def parse_size(text: str) -> tuple[int, int]:
    """`416` or `416x256` (width x height) as (width, height).

    Raises:
        SettingsError: it is neither, or not multiples of 32.
    """
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text.strip())
    if match is None:
        raise SettingsError(f"--size is a number of pixels or WIDTHxHEIGHT, such as 416 or 416x256, not '{text}'")
    width = int(match.group(1))
    height = int(match.group(2) or width)
    if width % 32 or height % 32 or not 0 < min(width, height) <= max(width, height) <= MAX_SIDE_PX:
        raise SettingsError(f"--size {text}: width and height must be multiples of 32, at most {MAX_SIDE_PX}")
    return width, height
