"""Which layers stay as they were loaded, and until when.

`--freeze backbone` keeps what --weights brought, up to the first head; `--freeze N` the first N layers. They are held
for the whole run, or until `--unfreeze-after` so many epochs (5), or so much of the run (30%). Nothing else is
remembered: a resumed run holds what it would have held.
"""

import re
from dataclasses import dataclass

from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.training.errors import SettingsError

BACKBONE = "backbone"


@dataclass(frozen=True, slots=True)
class Unfreezing:
    """After so many epochs, or, when `epochs` is 0, after this share of the run."""

    epochs: int
    share: float


def parse_freeze(text: str) -> str:
    """`backbone` or a number of layers, as it is written in settings.

    Raises:
        SettingsError: it is neither.
    """
    if text == BACKBONE or (re.fullmatch(r"[0-9]{1,5}", text) and int(text) > 0):
        return text if text == BACKBONE else str(int(text))
    raise SettingsError(f"--freeze is 'backbone' or a number of layers, such as 15, not '{text}'")


def parse_unfreezing(text: str) -> Unfreezing:
    """`5` (epochs) or `30%` (of the run).

    Raises:
        SettingsError: it is neither.
    """
    match = re.fullmatch(r"([0-9]{1,6})|([0-9]{1,3}(?:\.[0-9]{1,6})?)%", text)
    if match is not None and match.group(1) and int(match.group(1)) > 0:
        return Unfreezing(int(match.group(1)), 0.0)
    if match is not None and match.group(2) and 0 < float(match.group(2)) < 100:
        return Unfreezing(0, float(match.group(2)) / 100)
    raise SettingsError(
        f"--unfreeze-after is a number of epochs, such as 5, or a share of the run, such as 30%, not '{text}'"
    )


def unfreezing_in_words(text: str) -> str:
    """When layers are freed."""
    when = parse_unfreezing(text)
    return f"epoch {when.epochs + 1}" if when.epochs else f"{when.share:.0%} of the run are done"


def count_frozen(freeze: str | None, plan: NetworkPlan, loaded_layers: int) -> int:
    """How many layers, from the first, are held.

    Raises:
        SettingsError: none or all of the network would be.
    """
    if freeze is None:
        return 0
    first_head = min(head.source_index for head in plan.heads)
    if freeze == BACKBONE:
        return min(first_head, loaded_layers)
    wanted = int(freeze)
    last_head = max(head.source_index for head in plan.heads)
    if wanted > last_head:
        raise SettingsError(
            f"--freeze {wanted} leaves nothing to learn: the last layer with weights of {plan.source} is number "
            f"{last_head}, counted from 0"
        )
    if wanted > loaded_layers:
        raise SettingsError(
            f"--freeze {wanted} would hold layers at random: --weights brought {loaded_layers} layers of {plan.source}"
        )
    return wanted


def layers_held(frozen: int, unfreeze_after: str | None, epochs_done: float, fraction: float) -> int:
    """How many layers are held now."""
    if not frozen or unfreeze_after is None:
        return frozen
    when = parse_unfreezing(unfreeze_after)
    is_over = epochs_done >= when.epochs if when.epochs else fraction >= when.share
    return 0 if is_over else frozen
