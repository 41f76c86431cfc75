"""What the hank-ai/darknet fork (5.1) refuses in a .cfg and AlexeyAB's accepts: the rules of `parse_cfg(strict=True)`.

There every key stands once in its section, is one that the section's layer reads, and holds digits, `-` and `.` only
where a number is read; `#` ends a value anywhere in a line; `;` opens no comment. Lines that are no `key=value` are
skipped, as there. Training options count, since that fork reads one cfg for both. Its GPU-only behaviour is left out.
Source: facts of hank-ai/darknet f684e1d, darknet_cfg.cpp and darknet_enums.cpp.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINE = re.compile(r"[ \t]*([^#= \t]+)[ \t]*=[ \t]*([^#]+)")
_SECTION = re.compile(r"\[(.+)\]")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")  # what C's stof takes from the start of a value
_NUMBER_SIGNS = frozenset("-.0123456789")

_TEXT_KEYS = frozenset({
    "activation", "policy", "iou_loss", "iou_thresh_kind", "nms_kind", "yolo_point", "weights_type",
    "weights_normalization", "type", "tree", "map",
})  # fmt: skip
_LIST_KEYS = frozenset({"layers", "mask", "anchors", "counters_per_class", "steps", "scales", "seq_scales"})

_EVERY_LAYER = (
    "clip onlyforward dont_update burnin_update stopbackward train_only_bn dontload dontloadscales learning_rate"
)
_NET = (
    "max_batches batch learning_rate learning_rate_min sgdr_cycle sgdr_mult momentum decay subdivisions time_steps "
    "track augment_speed sequential_subdivisions try_fix_nan weights_reject_freq equidistant_point "
    "badlabels_rejection_percentage num_sigmas_reject_badlabels ema_alpha use_cuda_graph loss_scale dynamic_minibatch "
    "optimized_memory workspace_size_limit_MB adam height width channels inputs flip blur gaussian_noise mixup cutmix "
    "mosaic letter_box mosaic_bound contrastive contrastive_jit_flip contrastive_color label_smooth_eps resize_step "
    "attention adversarial_lr max_chart_loss angle aspect saturation exposure hue power policy burn_in "
    "show_receptive_field"
)
# Read only under some learning-rate policies, else "unused": policy -> keys
_POLICY = {
    "step": "step scale",
    "steps": "steps scales seq_scales",
    "sgdr": "steps scales seq_scales",
    "exp": "gamma",
    "sigmoid": "gamma step",
}
_YOLO = (
    "classes num max mask max_delta counters_per_class label_smooth_eps scale_x_y objectness_smooth new_coords "
    "iou_normalizer obj_normalizer cls_normalizer delta_normalizer iou_loss iou_thresh_kind beta_nms nms_kind jitter "
    "resize focal_loss ignore_thresh truth_thresh iou_thresh random track_history_size sim_thresh dets_for_track "
    "dets_for_show track_ciou_norm embedding_layer map anchors"
)
_GAUSSIAN_YOLO = (
    "classes max num mask objectness_smooth label_smooth_eps scale_x_y uc_normalizer iou_normalizer obj_normalizer "
    "cls_normalizer delta_normalizer max_delta counters_per_class iou_loss iou_thresh_kind beta_nms nms_kind "
    "yolo_point jitter resize ignore_thresh truth_thresh iou_thresh random map anchors"
)
_LAYERS = {
    "convolutional": "filters groups size stride_x stride_y stride dilation antialiasing pad padding activation "
    "assisted_excitation share_index batch_normalize cbn binary xnor bin_output sway rotate stretch stretch_sway "
    "flipped dot angle grad_centr reverse coordconv stream wait_stream",
    "route": "layers groups group_id stream wait_stream",
    "maxpool": "stride stride_x stride_y size padding maxpool_depth out_channels antialiasing maxpool_zero_nonmax",
    "yolo": _YOLO,
    "Gaussian_yolo": _GAUSSIAN_YOLO,
    "region": "coords classes num max log sqrt softmax focal_loss rescore classfix absolute bias_match jitter resize "
    "thresh random coord_scale object_scale noobject_scale mask_scale class_scale tree map anchors",
    "upsample": "stride scale",
    "shortcut": "activation weights_type weights_normalization from",
    "connected": "output activation batch_normalize",
    "crnn": "size stride dilation pad padding output hidden groups batch_normalize xnor activation shortcut",
    "rnn": "output hidden batch_normalize logistic activation shortcut",
    "local_avgpool": "stride stride_x stride_y size padding",
    "lstm": "output batch_normalize",
    "reorg3d": "stride reverse",
    "avgpool": "",
    "cost": "type scale ratio",
    "contrastive": "classes yolo_layer temperature cls_normalizer max_delta contrastive_neg_max",
    "softmax": "groups temperature tree spatial noloss",
    "scale_channels": "from scale_wh activation",
    "sam": "from activation",
    "dropout": "dropblock probability dropblock_size_rel dropblock_size_abs",
    "empty": "",
}
_ALIASES = {
    "network": "net", "conv": "convolutional", "max": "maxpool", "conn": "connected", "local_avg": "local_avgpool",
    "avg": "avgpool", "soft": "softmax", "silence": "empty", "blank": "empty",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offence:
    """What is wrong, in which section, and in which line."""

    section: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class _Line:
    """One `key=value` as that fork reads it: no comment, no blanks around the value; blanks inside it are kept."""

    key: str
    value: str
    line: int


def read_strictly(text: str) -> tuple[str, Offence | None]:
    """A cfg with its comments and skipped lines emptied, line for line; and the first line that is refused, if any."""
    cleaned: list[str] = []
    sections: list[tuple[str, int, list[_Line]]] = []
    for line, raw in enumerate(text.split("\n"), start=1):
        opened, option = _SECTION.match(raw.strip()), _option(raw, line)
        if opened is not None:
            sections.append((opened.group(1), line, []))
            cleaned.append(f"[{opened.group(1)}]")
        elif option is not None:
            if sections:
                sections[-1][2].append(option)
            cleaned.append(f"{option.key}={option.value}")
        else:
            cleaned.append("")
    offences = (_first_offence(*section) for section in sections)
    return "\n".join(cleaned), next((offence for offence in offences if offence is not None), None)


def _option(raw: str, line: int) -> _Line | None:
    """None for what is skipped: blank lines, comments, no `=`, nothing behind it."""
    match = _LINE.match(raw.strip())
    value = "" if match is None else match.group(2).strip()
    return _Line(match.group(1), value, line) if match is not None and value else None


def _first_offence(section: str, line: int, options: Sequence[_Line]) -> Offence | None:
    name = _ALIASES.get(section, section)
    if name != "net" and name not in _LAYERS:
        return Offence(section, line, "strict mode does not know this kind of section")
    known = _net_keys(options) if name == "net" else {*_LAYERS[name].split(), *_EVERY_LAYER.split()}
    lists = _LIST_KEYS | ({"from"} if name == "shortcut" else set())
    first_lines: dict[str, int] = {}
    for option in options:
        key = _shown(option.key)
        if option.key in first_lines:
            message = f"{key}= stands in line {first_lines[option.key]} already; strict mode takes each option once"
            return Offence(section, option.line, message)
        first_lines[option.key] = option.line
        if option.key not in known:
            return Offence(section, option.line, f"{key}= is no option that this section reads; strict mode refuses it")
        if option.key not in _TEXT_KEYS and option.key not in lists and _number(option.value) is None:
            message = f"{key}={_shown(option.value)} needs a number; strict mode takes digits, '-' and '.' only"
            return Offence(section, option.line, message)
    return None


def _net_keys(options: Sequence[_Line]) -> set[str]:
    """The options of [net]: some are read only when others ask for them."""
    given = {option.key: option.value for option in reversed(options)}
    keys = {*_NET.split(), *_POLICY.get(given.get("policy", "constant"), "").split()}
    return keys | {"B1", "B2", "eps"} if _number(given.get("adam", "0")) else keys


def _number(value: str) -> float | None:
    match = _NUMBER.match(value) if set(value) <= _NUMBER_SIGNS else None
    return None if match is None else float(match.group())


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")[1:-1]
