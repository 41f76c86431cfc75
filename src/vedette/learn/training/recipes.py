"""From what a person asks for to the settings of a run, whichever recipe it is; what a run says about it.

`--recipe vedette` (default) is its own, `darknet` follows the cfg's [net] and [yolo], a file is either with values
of one's own (`recipe_file`). Here a new run's settings are put together, and those of a resumed run compared.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vedette.learn.darknet.cfg import Cfg, parse_cfg, read_cfg
from vedette.learn.darknet.zoo import FAMILIES, make_cfg
from vedette.learn.training.class_weights import parse_class_weights
from vedette.learn.training.darknet_recipe import honoured, not_honoured, read_darknet_recipe
from vedette.learn.training.errors import ResumeError, SettingsError
from vedette.learn.training.new_network import FAMILY_SIZE_PX
from vedette.learn.training.recipe_file import RECIPE_FILE, RecipeChoice, RecipeKind, choose_recipe
from vedette.learn.training.settings import DEFAULT_MODEL, Recipe, TrainSettings, settings_from_flat

AUTO = "auto"  # of --batch


def new_settings(asked: Mapping[str, Any]) -> TrainSettings:
    """What a new run is asked for, by the names of settings.json, over the defaults of its recipe.

    Raises:
        InputError: a setting, recipe file or cfg that cannot be used.
    """
    choice = choose_recipe(str(asked.get("recipe", RecipeKind.VEDETTE.value)))
    data, model = Path(asked["data"]), str(asked.get("model", DEFAULT_MODEL))
    if choice.kind is RecipeKind.DARKNET:
        settings = _of_cfg(choice, data, model, asked)
    else:
        settings = TrainSettings(data=data, model=model, recipe=choice.apply(Recipe()))
    others = {key: value for key, value in asked.items() if key not in {"recipe", "batch"} or settings.darknet is None}
    others.pop("recipe", None)
    if settings.darknet is None and others.get("batch", AUTO) == AUTO:
        others |= {"batch": settings.batch, "auto_batch": True}
    if "class_weights" in others:
        others["class_weights"] = parse_class_weights(others["class_weights"])
    return settings_from_flat({**_flat(settings), **others})


def resumed_settings(begun: Mapping[str, Any], asked: Mapping[str, Any]) -> TrainSettings:
    """What a run was begun with, and what else is asked for now; `loop` refuses what differs.

    Raises:
        InputError: another recipe than the run's, or settings that cannot be read.
    """
    others = dict(asked)
    if others.get("batch") == AUTO:
        del others["batch"]  # it was settled when the run was begun
    if "class_weights" in others:
        others["class_weights"] = parse_class_weights(others["class_weights"])
    settings = settings_from_flat({**begun, **{key: value for key, value in others.items() if key != "recipe"}})
    if "recipe" not in asked:
        return settings
    choice = choose_recipe(str(asked["recipe"]))
    own = RecipeKind.VEDETTE if settings.darknet is None else RecipeKind.DARKNET
    if choice.kind is not own:
        raise ResumeError(f"the run was begun with the recipe {own.value}, not {choice.kind.value}; leave out --recipe")
    if (begun_with := settings.darknet) is not None:
        now = choice.apply_to_darknet(begun_with)
        if "batch" in others:  # counts before the file; the batch itself is compared in `settings`
            now = replace(now, batch=begun_with.batch, subdivisions=begun_with.subdivisions)
        return replace(settings, darknet=now)
    return replace(settings, recipe=choice.apply(settings.recipe))


def _of_cfg(choice: RecipeChoice, data: Path, model: str, asked: Mapping[str, Any]) -> TrainSettings:
    cfg = training_cfg(model)
    recipe = choice.apply_to_darknet(read_darknet_recipe(cfg))
    if asked.get("batch") == AUTO:
        raise SettingsError("the recipe darknet takes batch and subdivisions from the cfg; leave --batch auto out")
    if "batch" in asked:
        batch = int(asked["batch"])
        if batch < 1:
            raise SettingsError(f"--batch must be at least 1, not {batch}")
        at_once = recipe.part_pictures or -(-batch // recipe.subdivisions)
        recipe = replace(recipe, batch=batch, subdivisions=_subdivisions(batch, at_once))
    if not recipe.part_pictures:
        raise cfg.net.error(
            f"batch={recipe.batch} cannot be shared out into subdivisions={recipe.subdivisions}: give --batch 64, "
            "Darknet's usual for training, or a recipe file with net: {batch: 64}",
            "subdivisions",
        )
    if recipe.mosaic and cfg.net.integer("letter_box", 0):
        raise cfg.net.error(
            "letter_box=1 and mosaic=1 exclude each other, as in Darknet; set one of them to 0", "mosaic"
        )
    if not recipe.heads:
        raise SettingsError(f"{cfg.source} has no [yolo] and no [region] to train by the recipe darknet")
    epochs = int(asked.get("epochs", 0))
    budget = asked.get("time_budget_s")
    return TrainSettings(
        data, model, epochs=epochs, batch=recipe.step_pictures, time_budget_s=budget, recipe=Recipe(scale_x_y=1.0),
        length_by_classes=model in FAMILIES and not {"max_batches", "steps"} & choice.values.keys(), darknet=recipe,
    )  # fmt: skip


def with_length_for(settings: TrainSettings, class_count: int) -> TrainSettings:
    """With max_batches and steps of a family for so many classes, if it is a family and no recipe file says them."""
    if settings.darknet is None or not settings.length_by_classes:
        return settings
    cfg = parse_cfg(make_cfg(settings.model, class_count, *FAMILY_SIZE_PX), settings.model)
    familys = read_darknet_recipe(cfg)
    recipe = replace(settings.darknet, max_batches=familys.max_batches, steps=familys.steps)
    return replace(settings, length_by_classes=False, darknet=recipe)


def changed_recipe(run: Path, settings: TrainSettings) -> str | None:
    """A line for a run that is gone on with, if somebody has changed its recipe.yaml meanwhile: it is a record."""
    path = run / RECIPE_FILE
    if not path.is_file():
        return None
    try:
        choice = choose_recipe(str(path))
        if settings.darknet is None:
            same = choice.kind is RecipeKind.VEDETTE and choice.apply(settings.recipe) == settings.recipe
        else:
            is_darknets = choice.kind is RecipeKind.DARKNET
            same = is_darknets and choice.apply_to_darknet(settings.darknet) == settings.darknet
    except SettingsError:
        same = False
    if same:
        return None
    return f"{path} was changed; the run goes on as it was begun. To train by it: --recipe {path}, another --out"


def length_line(settings: TrainSettings, pictures: int) -> str | None:
    """How long a run is whose cfg says it, in epochs, and how to have a shorter one."""
    recipe = settings.darknet
    if recipe is None or not settings.goes_by_cfg or settings.time_budget_s is not None:
        return None
    epochs = -(-recipe.max_batches // -(-pictures // settings.batch))
    return (
        f"as long as Darknet trains: max_batches={recipe.max_batches} steps, {epochs} epochs of {pictures} pictures; "
        "--epochs or --time-budget makes it shorter, with burn-in and steps fitted in"
    )


def _subdivisions(batch: int, at_once: int) -> int:
    """In how many equal parts a batch of one's own is computed, none of them larger than the cfg's."""
    return next(parts for parts in range(-(-batch // at_once), batch + 1) if batch % parts == 0)


def _flat(settings: TrainSettings) -> dict[str, Any]:
    return dict(settings.to_flat())


def training_cfg(model: str) -> Cfg:
    """The cfg that a model's training is read from: its own, or the one that is written for a family.

    Raises:
        InputError: there is no such family or file.
    """
    if model in FAMILIES:
        return parse_cfg(make_cfg(model, 1, *FAMILY_SIZE_PX), model)
    path = Path(model)
    if not path.is_file():
        raise SettingsError(f"--model {model} is neither a cfg file nor one of {', '.join(FAMILIES)}")
    return read_cfg(path)


def followed_of_cfg(settings: TrainSettings) -> dict[str, list[str]]:
    """The keys of the cfg that are followed, and those that are not, for settings.json."""
    if settings.darknet is None:
        return {}
    cfg = training_cfg(settings.model)
    return {"followed_of_cfg": honoured(cfg), "not_followed_of_cfg": not_honoured(cfg)}


def recipe_lines(settings: TrainSettings) -> list[str]:
    """What is said at the start of a run about a cfg's recipe: what is followed, what is not, how long it is."""
    recipe = settings.darknet
    if recipe is None:
        return []
    cfg = training_cfg(settings.model)
    size = recipe.part_pictures
    lines = [
        f"recipe darknet: follows {', '.join(honoured(cfg)) or 'nothing'} of {settings.model}, Darknet's defaults else",
        f"steps of {recipe.step_pictures} pictures, {size} at a time",
    ]
    if missed := not_honoured(cfg):
        lines.append(f"not followed: {', '.join(missed)}")
    if not settings.goes_by_cfg and recipe.max_batches:
        how = "the time budget" if settings.time_budget_s else f"{settings.epochs} epoch{'s' * (settings.epochs > 1)}"
        lines.append(f"burn-in, steps and ends of the cfg's {recipe.max_batches} batches are fitted into {how}")
    if recipe.step_pictures == 1:
        lines.append("batch=1 is what cfg files have for detecting; --batch 64 is Darknet's usual for training")
    return lines
