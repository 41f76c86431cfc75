"""How a Darknet cfg asks to be trained: read from [net] and [yolo] with Darknet's defaults, kept as plain values.

Names are Darknet's. Jitter, resize and random stand in every [yolo] of a cfg; Darknet takes those of the last layer,
and so does this. What a cfg asks for that is not honoured is named, key by key; keys that do nothing when Darknet
itself trains a detector are not. Source: AlexeyAB/darknet parser.c, detector.c.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any

from vedette.learn.darknet.cfg import Cfg, Section
from vedette.learn.darknet.darknet_loss import YoloLearning
from vedette.learn.darknet.layers import IouLoss
from vedette.learn.darknet.region_loss import RegionLearning
from vedette.learn.training.errors import SettingsError
from vedette.learn.training.recipe_keys import NET_KEYS, REGION_KEYS, YOLO_KEYS, check_value

# [net] and [yolo] keys that the network itself is made of, or that do nothing when Darknet trains a detector
_OF_THE_NETWORK = frozenset({"width", "height", "channels", "inputs", "letter_box"})
_IDLE_IN_NET = frozenset(
    {
        "angle", "aspect", "max_crop", "min_crop", "cutmix", "max_chart_loss", "workspace_size_limit_MB",
        "optimized_memory", "use_cuda_graph", "loss_scale", "label_smooth_eps", "augment_speed", "seq_scales",
        "sequential_subdivisions", "time_steps", "try_fix_nan", "show_receptive_field", "B1", "B2", "eps",
    }
)  # fmt: skip
_OF_THE_HEAD = frozenset(
    {
        "mask", "anchors", "classes", "num", "scale_x_y", "new_coords", "nms_kind", "beta_nms", "max", "show_details",
        "dets_for_show", "dets_for_track", "track_history_size", "sim_thresh", "track_ciou_norm", "delta_normalizer",
        "embedding_layer", "jitter", "resize", "random",
    }
)  # fmt: skip
_OF_THE_REGION = frozenset(
    {
        "anchors", "classes", "num", "coords", "softmax", "max", "absolute", "log", "sqrt", "mask_scale", "jitter",
        "resize", "random",
    }
)  # fmt: skip
_OF_ANY_LAYER = ("stopbackward", "learning_rate", "train_only_bn", "clip", "burnin_update", "dropblock")
_OF_LAST_HEAD = ("jitter", "resize", "random")
_NEUTRAL_TEXTS = frozenset({"0", "0.0", "1x"})


class Policy(str, Enum):
    """How the learning rate goes on after burn-in."""

    CONSTANT = "constant"
    STEP = "step"
    STEPS = "steps"
    EXP = "exp"
    POLY = "poly"
    SIG = "sig"
    RANDOM = "random"
    SGDR = "sgdr"


@dataclass(frozen=True, slots=True)
class DarknetRecipe:
    """[net], what the last [yolo] or [region] says about pictures, and how each of them learns."""

    batch: int = 1
    subdivisions: int = 1
    max_batches: int = 0
    learning_rate: float = 0.001
    momentum: float = 0.9
    decay: float = 0.0001
    burn_in: int = 0
    power: float = 4.0
    policy: Policy = Policy.CONSTANT
    steps: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    step: int = 1
    scale: float = 1.0
    gamma: float = 1.0
    learning_rate_min: float = 0.00001
    sgdr_cycle: int = 0  # 0: max_batches
    sgdr_mult: int = 2
    saturation: float = 1.0
    exposure: float = 1.0
    hue: float = 0.0
    flip: bool = True
    blur: int = 0
    gaussian_noise: int = 0
    mosaic: bool = False
    mosaic_bound: bool = False
    jitter: float = 0.2
    resize: float = 1.0
    random: float = 0.0
    resize_step: int = 32
    heads: tuple[YoloLearning | RegionLearning, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.policy is Policy.STEPS and not (self.steps and len(self.steps) == len(self.scales)):
            raise SettingsError(
                f"policy=steps needs as many scales as steps: it has {len(self.steps)} steps, {len(self.scales)} scales"
            )

    @property
    def part_pictures(self) -> int:
        """Pictures in a subdivision, which are computed at once; 0 where there are more subdivisions than pictures."""
        return self.batch // self.subdivisions

    @property
    def step_pictures(self) -> int:
        """Pictures in a step: what does not fill a subdivision falls away, as in Darknet."""
        return self.part_pictures * self.subdivisions

    def to_flat(self) -> dict[str, Any]:
        """net_KEY and yolo1_KEY, yolo2_KEY, ... or region1_KEY: plain values, lists as texts with commas."""
        flat = {f"net_{f.name}": _plain(getattr(self, f.name)) for f in fields(self) if f.name != "heads"}
        for number, head in enumerate(self.heads, 1):
            kind = "region" if isinstance(head, RegionLearning) else "yolo"
            flat |= {f"{kind}{number}_{name}": _plain(value) for name, value in asdict(head).items()}
        return flat


def darknet_recipe_from_flat(flat: Mapping[str, Any]) -> DarknetRecipe:
    """The inverse of `to_flat`.

    Raises:
        SettingsError: a value is missing or out of range.
    """
    heads: list[YoloLearning | RegionLearning] = []
    if "region1_thresh" in flat:
        heads.append(RegionLearning(**_values(flat, "region1_", RegionLearning(), REGION_KEYS)))
    while f"yolo{len(heads) + 1}_iou_loss" in flat:
        prefix = f"yolo{len(heads) + 1}_"
        heads.append(YoloLearning(**_values(flat, prefix, YoloLearning(), YOLO_KEYS)))
    return DarknetRecipe(**_values(flat, "net_", DarknetRecipe(), NET_KEYS), heads=tuple(heads))


def read_darknet_recipe(cfg: Cfg) -> DarknetRecipe:
    """What a cfg asks for.

    Raises:
        CfgError: a value that is none, or out of range; names the line.
    """
    sections = [section for section in cfg.layers if section.name in _LEARNING]
    net = _read(cfg.net, [f.name for f in fields(DarknetRecipe) if f.name not in {"heads", *_OF_LAST_HEAD}], NET_KEYS)
    if sections:
        net |= _read(sections[-1], list(_OF_LAST_HEAD), NET_KEYS)
    heads = tuple(_LEARNING[section.name](section) for section in sections)
    for section, head in zip(sections, heads, strict=True):
        if (
            isinstance(head, YoloLearning)
            and head.counters_per_class
            and len(head.counters_per_class) != section.integer("classes", 20)
        ):
            raise section.error("counters_per_class needs one number for each class", "counters_per_class")
    try:
        return DarknetRecipe(**net, heads=heads)
    except SettingsError as error:
        raise cfg.net.error(str(error)) from error


def not_honoured(cfg: Cfg) -> list[str]:
    """The keys of a cfg that ask for something that is not done, as they stand in it."""
    known = {f.name for f in fields(DarknetRecipe)} | _OF_THE_NETWORK | _IDLE_IN_NET
    found = _others(cfg.net, known)
    for section in cfg.layers:
        if section.name == "yolo":
            found += _others(section, _OF_THE_HEAD | set(YOLO_KEYS))
        elif section.name == "region":
            found += _others(section, _OF_THE_REGION | set(REGION_KEYS))
        else:
            asked = [option for key in _OF_ANY_LAYER if (option := section.find(key)) is not None]
            found += [
                f"[{section.name}] {option.key}={option.value}" for option in asked if not _is_neutral(option.value)
            ]
    return list(dict.fromkeys(found))


def honoured(cfg: Cfg) -> list[str]:
    """The keys of a cfg about training that are followed."""
    last = [section for section in cfg.layers if section.name in _LEARNING][-1:]
    found = [f"[net] {key}" for key in NET_KEYS if key not in _OF_LAST_HEAD and cfg.net.find(key)]
    for head in last:
        keys = REGION_KEYS if head.name == "region" else YOLO_KEYS
        found += [f"[{head.name}] {key}" for key in (*_OF_LAST_HEAD, *keys) if head.find(key)]
    return found + (["[net] letter_box"] if cfg.net.find("letter_box") else [])


def _others(section: Section, known: set[str] | frozenset[str]) -> list[str]:
    return [
        f"[{section.name}] {option.key}={option.value}"
        for option in section.options
        if option.key not in known and not _is_neutral(option.value)
    ]


def _is_neutral(value: str | None) -> bool:
    return value is None or value in _NEUTRAL_TEXTS


def _read(section: Section, names: list[str], keys: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a section that are given, as values of their kinds."""
    found: dict[str, Any] = {}
    for name in names:
        option = section.find(name)
        if option is None or option.value is None:
            continue
        kind = keys[name].kind
        if kind is bool:
            value: Any = section.integer(name, 0, minimum=-1) != 0
        elif kind is int:
            value = section.integer(name, 0, minimum=-1)
        elif kind is float:
            value = section.number(name, 0.0)
        elif kind is tuple:
            items = section.integers(name) if keys[name].whole else section.numbers(name)
            value = items or ()
        else:
            value = section.text(name, "")
        problem, value = check_value(keys[name], value)
        if problem is not None:
            raise section.error(f"{name}={option.value[:40]} {problem}", name)
        found[name] = typed(name, value)
    return found


_LEARNING: Mapping[str, Callable[[Section], YoloLearning | RegionLearning]] = {
    "yolo": lambda section: YoloLearning(**_read(section, list(YOLO_KEYS), YOLO_KEYS)),
    "region": lambda section: RegionLearning(**_read(section, list(REGION_KEYS), REGION_KEYS)),
}


def _values(flat: Mapping[str, Any], prefix: str, default: object, keys: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name in (f.name for f in fields(default) if f.name != "heads"):  # type: ignore[arg-type]
        value = flat[prefix + name]
        if keys[name].kind is tuple:
            number = int if keys[name].whole else float
            value = [number(item) for item in str(value).split(",") if item]
        problem, value = check_value(keys[name], value)
        if problem is not None:
            raise SettingsError(f"{prefix}{name}: {value!r} {problem}")
        found[name] = typed(name, value)
    return found


def typed(name: str, value: Any) -> Any:
    """A checked value as the kind that the key has in the recipe."""
    if name == "policy":
        return Policy(value)
    return IouLoss(value) if name in {"iou_loss", "iou_thresh_kind"} else value


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return (
        ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
        if isinstance(value, tuple)
        else value
    )
