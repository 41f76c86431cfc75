"""A recipe as a YAML file: what a run was trained with, written to RUN/recipe.yaml, and read again by `--recipe FILE`.

A file may hold any part of a recipe; the rest keeps its defaults (Vedette's), or what the cfg says (Darknet's). Every
key and value is checked, and a mistake is told with its path in the file and what is allowed there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from vedette.learn.darknet.region_loss import RegionLearning
from vedette.learn.data.strict_yaml import YamlMistakeError, parse_strict_yaml
from vedette.learn.training.darknet_recipe import DarknetRecipe, typed
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.recipe_keys import NET_KEYS, REGION_KEYS, VEDETTE_KEYS, YOLO_KEYS, Key, check_value
from vedette.learn.training.settings import Recipe, TrainSettings

RECIPE_FILE = "recipe.yaml"
MAX_BYTES = 1 << 20
GROUPS = ("augment", "loss")
SHOWN_KEYS = 60
EXAMPLE = f"mend it there (RUN/{RECIPE_FILE} of any run is an example)"


class RecipeKind(str, Enum):
    """Whose way to train."""

    VEDETTE = "vedette"
    DARKNET = "darknet"


@dataclass(frozen=True, slots=True)
class RecipeChoice:
    """A recipe and what a file says otherwise; the values are checked, and of their kinds."""

    kind: RecipeKind
    source: str = ""
    values: Mapping[str, Any] = field(
        default_factory=dict
    )  # Vedette's, with `augment` and `loss` as mappings; or [net]'s
    heads: tuple[Mapping[str, Any], ...] = ()  # of Darknet's: one for all [yolo], or one for each
    region: Mapping[str, Any] = field(default_factory=dict)  # of Darknet's, for a [region]

    def apply(self, recipe: Recipe) -> Recipe:
        """Vedette's recipe with the file's values in it."""
        plain = {key: value for key, value in self.values.items() if key not in GROUPS}
        groups = {group: replace(getattr(recipe, group), **self.values.get(group, {})) for group in GROUPS}
        return replace(recipe, **plain, **groups)

    def apply_to_darknet(self, recipe: DarknetRecipe) -> DarknetRecipe:
        """A cfg's recipe with the file's values in it.

        Raises:
            SettingsError: the file is for another number of [yolo].
        """
        count, is_region = len(recipe.heads), any(isinstance(head, RegionLearning) for head in recipe.heads)
        if (self.heads and is_region) or (self.region and not is_region):
            there, named = ("region", "yolo") if is_region else ("yolo", "region")
            raise SettingsError(f"{self.source}: {named}: the cfg has [{there}], not [{named}]")
        given = (self.region,) if is_region else self.heads
        changes = given * count if len(given) == 1 else given or ({},) * count
        if len(changes) != count:
            raise SettingsError(
                f"{self.source}: yolo has {len(changes)} entries, the cfg {count} [yolo]; give one for all"
            )
        heads = tuple(replace(head, **change) for head, change in zip(recipe.heads, changes, strict=True))
        try:
            return replace(recipe, **self.values, heads=heads)
        except SettingsError as error:
            raise SettingsError(f"{self.source}: {error}") from error


def choose_recipe(text: str) -> RecipeChoice:
    """What `--recipe` names: vedette, darknet, or a file.

    Raises:
        SettingsError: it is none of these, or the file cannot be used; says what is wrong, where, and what is allowed.
    """
    if text in {kind.value for kind in RecipeKind}:
        return RecipeChoice(RecipeKind(text))
    path = Path(text)
    if not path.is_file():
        raise SettingsError(f"--recipe {text} is neither vedette, nor darknet, nor a file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(f"{path}: larger than 1 MiB; this is no recipe")
        document = parse_strict_yaml(content)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except YamlMistakeError as error:
        raise SettingsError(f"{path}, {error}; {EXAMPLE}") from error
    return _read(str(path), {} if document is None else document)


def _read(source: str, document: Any) -> RecipeChoice:
    _mapping(source, "the file", document)
    given = {str(key): value for key, value in document.items()}
    name = given.pop("recipe", RecipeKind.VEDETTE.value)
    if name not in [kind.value for kind in RecipeKind]:  # it may be anything, also what no set takes
        raise SettingsError(f"{source}: recipe: {name!r} is not one of vedette, darknet")
    kind = RecipeKind(name)
    if kind is RecipeKind.DARKNET:
        _known(source, "", given, ("net", "yolo", "region"))
        heads = given.get("yolo", [])
        entries = heads if isinstance(heads, list) else [heads]
        return RecipeChoice(
            kind,
            source,
            _values(source, "net", given.get("net", {}), NET_KEYS),
            tuple(_values(source, f"yolo[{number}]", entry, YOLO_KEYS) for number, entry in enumerate(entries, 1)),
            _values(source, "region", given.get("region", {}), REGION_KEYS),
        )
    keys = {f.name: VEDETTE_KEYS.get(f.name, Key("")) for f in fields(Recipe)}
    plain = {key: value for key, value in given.items() if key not in GROUPS}
    _known(source, "", given, tuple(keys))
    values = _values(source, "", plain, keys)
    for group in GROUPS:
        if group in given:
            names = [f.name for f in fields(getattr(Recipe(), group))]
            inner = {name: VEDETTE_KEYS.get(f"{group}.{name}", Key("")) for name in names}
            values[group] = _values(source, group, given[group], inner)
    return RecipeChoice(kind, source, values)


def _mapping(source: str, where: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise SettingsError(f"{source}: {where} must hold keys and values, such as learning_rate: 0.001")


def _known(source: str, path: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in given:
        if key not in names:
            where = f"{path}.{key}" if path else key
            known = ", ".join(sorted(names))
            raise SettingsError(
                f"{source}: {where[:SHOWN_KEYS]} is no key of a recipe; {path or 'there'} may stand {known}"
            )


def _values(source: str, path: str, given: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
    _mapping(source, path, given)
    _known(source, path, {str(key): None for key in given}, tuple(keys))
    found = {}
    for name, value in given.items():
        problem, checked = check_value(keys[name], _as_number(keys[name], value))
        if problem is not None:
            where = f"{path}.{name}" if path else name
            raise SettingsError(f"{source}: {where}: {value!r:.60} {problem}")
        found[name] = typed(name, checked)
    return found


def _as_number(key: Key, value: Any) -> Any:
    """YAML takes 1e-3 for a text, and so is 4800,5400."""
    if not isinstance(value, str) or key.kind not in (int, float, tuple):
        return value
    try:
        items = [float(item) for item in value.split(",")]
    except ValueError:
        return value
    return items if key.kind is tuple else (items[0] if len(items) == 1 else value)


def recipe_text(settings: TrainSettings) -> str:
    """The recipe of a run, every key of it, as `--recipe` reads it."""
    flags = f"--batch {settings.batch}" if settings.darknet is None else ""
    flags += f" --seed {settings.seed}" + (f" --epochs {settings.epochs}" if settings.epochs else "")
    lines = [
        "# How this run learnt; the same again, or with changes: vedette train --recipe recipe.yaml ...",
        "# A file with a part of the keys is enough. docs/reference/recipes.md has them all.",
        f"# Flags of the run: {flags.strip()}",
    ]
    if settings.darknet is not None:
        lines += ["recipe: darknet", "net:  # [net] of the cfg, and of its last [yolo] jitter, resize, random"]
        net = {f.name: getattr(settings.darknet, f.name) for f in fields(DarknetRecipe) if f.name != "heads"}
        lines += _lines(net, NET_KEYS, "", "  ")
        heads = settings.darknet.heads
        if heads and not isinstance(heads[0], RegionLearning):
            lines.append("yolo:  # each [yolo] of the cfg, in its order; a mapping instead of a list goes for all")
        for head in heads:
            values = {f.name: getattr(head, f.name) for f in fields(head)}
            if isinstance(head, RegionLearning):
                lines += ["region:", *_lines(values, REGION_KEYS, "", "  ")]
                continue
            inner = _lines(values, YOLO_KEYS, "", "    ")
            lines += ["  -" + inner[0][3:], *inner[1:]]
        return "\n".join(lines) + "\n"
    lines.append("recipe: vedette")
    values = asdict(settings.recipe)
    lines += _lines({key: value for key, value in values.items() if key not in GROUPS}, VEDETTE_KEYS, "", "")
    for group in GROUPS:
        lines += [f"{group}:", *_lines(values[group], VEDETTE_KEYS, f"{group}.", "  ")]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any], keys: Mapping[str, Key], prefix: str, indent: str) -> list[str]:
    texts = {name: f"{indent}{name}: {_text(value)}" for name, value in values.items()}
    width = min(max(len(text) for text in texts.values()), 40)
    meanings = {name: keys[prefix + name].meaning if prefix + name in keys else "" for name in texts}
    return [f"{text:<{width}}  # {meanings[name]}" if meanings[name] else text for name, text in texts.items()]


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_text(item) for item in value)}]"
    return repr(value)
