"""What a training run was asked for: checked once, written to RUN/settings.json, compared when a run is resumed.

The defaults of `Recipe` were chosen by experiment, one at a time: docs/adr/0012-the-default-recipe.md has the tables.
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
from vedette.learn.training.darknet_recipe import DarknetRecipe, darknet_recipe_from_flat
from vedette.learn.training.errors import RunFolderError, SettingsError
from vedette.learn.training.freezing import parse_freeze, parse_unfreezing
from vedette.learn.training.leaks import LeakChoice
from vedette.learn.training.split_classes import UnjudgedChoice

DEFAULT_MODEL = "yolov3-tiny"
MAX_SIDE_PX = 4096
FREE_ON_RESUME = frozenset(
    {"data", "weights", "device", "precision", "tensorboard"}
)  # what a resumed run may do otherwise

Flat = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network learns, in Vedette's own way; `recipe_keys` has meanings and ranges, `recipe_file` the file."""

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
    auto_batch: bool = False  # `batch` is what the recipe wants; `batch_size` settles what is taken
    seed: int = 0
    device: DeviceChoice = DeviceChoice.AUTO
    precision: PrecisionChoice = PrecisionChoice.AUTO
    time_budget_s: float | None = None
    validate_every: int = 1
    patience: int | None = None
    deterministic: bool = False
    single_class: str | None = None  # all classes of the data are this one
    leaks: LeakChoice = LeakChoice.REFUSE
    unjudged: UnjudgedChoice = UnjudgedChoice.REFUSE
    fold: tuple[int, int] | None = None  # (number from 1, of how many): validate on that part, train on the others
    tensorboard: bool = False
    freeze: str | None = None  # `freezing`: backbone, or a number of layers
    unfreeze_after: str | None = None  # epochs, or a share with %
    class_weights: str | None = None  # as `class_weights.parse_class_weights` gives it
    recipe: Recipe = field(default_factory=Recipe)
    length_by_classes: bool = False  # max_batches and steps are a family's, which the data's classes decide
    darknet: DarknetRecipe | None = None  # instead of `recipe`: what a cfg asks for; epochs 0: its max_batches

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch", self.batch), ("val-every", self.validate_every)):
            if value < 1 and not (name == "epochs" and self.goes_by_cfg):
                raise SettingsError(f"--{name} must be at least 1, not {value}")
        if self.goes_by_cfg and not (self.darknet and self.darknet.max_batches) and self.time_budget_s is None:
            raise SettingsError("the cfg does not say how long to train (max_batches): give --epochs or --time-budget")
        if self.freeze is not None:
            parse_freeze(self.freeze)
            if self.weights is None:
                raise SettingsError("--freeze holds layers as --weights brought them: add --weights, or leave it out")
        if self.unfreeze_after is not None:
            parse_unfreezing(self.unfreeze_after)
            if self.freeze is None:
                raise SettingsError("--unfreeze-after is when --freeze ends: add --freeze, or leave it out")
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

    @property
    def goes_by_cfg(self) -> bool:
        """Whether a cfg's max_batches, not a number of epochs, is the length of the run."""
        return self.darknet is not None and self.epochs == 0

    def steps(self, per_epoch: int) -> int:
        """How many steps the whole run has, unless a time budget ends it."""
        return self.darknet.max_batches if self.goes_by_cfg and self.darknet else self.epochs * per_epoch

    def to_flat(self) -> Flat:
        """One level of plain values, those that are not set left out; for settings.json."""
        flat: Flat = {"data": str(self.data), "model": self.model}
        if self.weights is not None:
            flat["weights"] = str(self.weights)
        if self.size_px is not None:
            flat["size"] = f"{self.size_px[0]}x{self.size_px[1]}"
        flat |= {} if self.goes_by_cfg else {"epochs": self.epochs}
        flat |= {"batch": self.batch, "seed": self.seed}
        flat |= {"device": self.device.value, "precision": self.precision.value}
        if self.time_budget_s is not None:
            flat["time_budget_s"] = self.time_budget_s
        flat["validate_every"] = self.validate_every
        if self.patience is not None:
            flat["patience"] = self.patience
        flat |= self._extras()
        flat["recipe"] = "vedette" if self.darknet is None else "darknet"
        if self.darknet is not None:
            return flat | self.darknet.to_flat()
        for key, value in asdict(self.recipe).items():
            if isinstance(value, dict):
                flat |= {f"{key}_{inner}": number for inner, number in value.items()}
            else:
                flat[key] = value
        return flat

    def _extras(self) -> Flat:
        """What few runs are asked for; left out where it is not, as runs begun before it came have it."""
        switches = ("auto_batch", "deterministic", "tensorboard", "length_by_classes")
        flat: Flat = {name: True for name in switches if getattr(self, name)}
        if self.single_class is not None:
            flat["single_class"] = self.single_class
        if self.leaks is not LeakChoice.REFUSE:
            flat["leaks"] = self.leaks.value
        if self.unjudged is not UnjudgedChoice.REFUSE:
            flat["unjudged"] = self.unjudged.value
        if self.fold is not None:
            flat["fold"] = f"{self.fold[0]}/{self.fold[1]}"
        held = {name: getattr(self, name) for name in ("freeze", "unfreeze_after", "class_weights")}
        return flat | {name: value for name, value in held.items() if value is not None}

    def recipe_and_schedule(self) -> Flat:
        """The settings that a resumed run must share with the begun one."""
        return {key: value for key, value in self.to_flat().items() if key not in FREE_ON_RESUME}


def settings_from_flat(flat: Mapping[str, Any]) -> TrainSettings:
    """The inverse of `to_flat`; keys that are not settings are passed over.

    Raises:
        SettingsError: a setting is missing or of the wrong kind.
    """
    try:
        is_darknets = flat.get("recipe", "vedette") == "darknet"
        recipe = Recipe(scale_x_y=1.0) if is_darknets else _recipe_from_flat(flat)
        return TrainSettings(
            data=Path(flat["data"]),
            model=str(flat["model"]),
            weights=Path(flat["weights"]) if "weights" in flat else None,
            size_px=parse_size(flat["size"]) if "size" in flat else None,
            epochs=int(flat["epochs"] if not is_darknets else flat.get("epochs", 0)),
            batch=int(flat["batch"]),
            auto_batch=_switch(flat, "auto_batch"),
            seed=int(flat["seed"]),
            device=DeviceChoice(flat["device"]),
            precision=PrecisionChoice(flat["precision"]),
            time_budget_s=float(flat["time_budget_s"]) if "time_budget_s" in flat else None,
            validate_every=int(flat["validate_every"]),
            patience=int(flat["patience"]) if "patience" in flat else None,
            deterministic=_switch(flat, "deterministic"),
            single_class=str(flat["single_class"]) if "single_class" in flat else None,
            leaks=LeakChoice(flat.get("leaks", LeakChoice.REFUSE)),
            unjudged=UnjudgedChoice(flat.get("unjudged", UnjudgedChoice.REFUSE)),
            fold=_fold(flat["fold"]) if "fold" in flat else None,
            tensorboard=_switch(flat, "tensorboard"),
            freeze=str(flat["freeze"]) if "freeze" in flat else None,
            unfreeze_after=str(flat["unfreeze_after"]) if "unfreeze_after" in flat else None,
            class_weights=str(flat["class_weights"]) if "class_weights" in flat else None,
            recipe=recipe,
            length_by_classes=_switch(flat, "length_by_classes"),
            darknet=darknet_recipe_from_flat(flat) if is_darknets else None,
        )
    except KeyError as error:
        raise RunFolderError(
            f"the settings of this run do not have {error}: it was begun by another version of Vedette (finish it with "
            "that one, or train anew in another folder), or its settings.json was changed"
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise RunFolderError(
            f"the settings of this run cannot be read ({error}): its settings.json was changed; bring it back, or "
            "train anew in another folder"
        ) from error


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
