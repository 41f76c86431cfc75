"""How many pictures a step takes when nobody says (`--batch auto`, the default): chosen once, before the first step.

The recipe's own number is what its figures were measured with. Fewer are taken where the training split or the memory
holds fewer: by arithmetic on a processor, by trying on a GPU, halving after every failure. More are taken on a GPU
alone, which a small step leaves idle, and only while an epoch keeps enough steps. What was chosen is said with its
reason, and written into settings.json; a resumed run keeps it.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from vedette.contracts.errors import UnavailableError
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.training.arithmetic import Arithmetic
from vedette.learn.training.memory import available_bytes
from vedette.learn.training.peers import Peers
from vedette.learn.training.prepare import Prepared
from vedette.learn.training.settings import TrainSettings

LARGEST = 64  # on a GPU; beyond it steps get hardly quicker
STEPS_AN_EPOCH = 100  # that a batch larger than the recipe's leaves
USABLE = 0.8  # of the memory that is free
FLOAT_BYTES = 4
COPIES_OF_OUTPUTS = 4.0  # what a step keeps of each layer's output: measured 3.8 in FP32, 1.9 in BF16 (yolov3-tiny)
COPIES_OF_WEIGHTS = 6.0  # weights, gradients, two moments, the average, a copy while a checkpoint is written
LEAST_BYTES = 300 << 20  # buffers of the libraries


def settled_before(settings: TrainSettings, begun: Mapping[str, Any]) -> TrainSettings:
    """With the number that the run which is gone on with was begun with."""
    if not settings.auto_batch or "batch" not in begun:
        return settings
    return replace(settings, batch=int(begun["batch"]), auto_batch=False)


def settle_batch(prepared: Prepared, arithmetic: Arithmetic, peers: Peers) -> tuple[Prepared, str | None]:
    """The same with the number of pictures in a step, if that was left open, and a line about it.

    Raises:
        UnavailableError: not even one picture fits into a GPU's memory.
    """
    settings = prepared.settings
    if not settings.auto_batch:
        return prepared, None
    recipes = settings.batch
    wanted = max(_wanted(recipes, len(prepared.train), arithmetic, settings.deterministic), peers.count)
    share = -(-wanted // peers.count)
    fits = _always if settings.deterministic else _judge(prepared, arithmetic, peers)
    # in every process, as many as fit in the one with the least memory
    fitting = min(int(one) for one in peers.collect(str(most_that_fit(share, fits)).encode()))
    if not fitting:
        raise UnavailableError(
            f"the GPU's memory does not hold one picture of {prepared.plan.input_width}x{prepared.plan.input_height} "
            "in training; give a smaller --size, another --model, or --device cpu"
        )
    chosen = wanted if fitting >= share else max(fitting * peers.count, 1)
    why = _reason(chosen, wanted, recipes, len(prepared.train))
    settled = replace(prepared, settings=replace(settings, batch=chosen, auto_batch=False))
    return settled, f"batches of {chosen}: {why}"


def _wanted(recipes: int, pictures: int, arithmetic: Arithmetic, deterministic: bool) -> int:
    """What would be taken if memory had no end."""
    wanted = min(recipes, pictures)
    while arithmetic.device.type == "cuda" and not deterministic and wanted * 2 <= LARGEST:
        if pictures // (wanted * 2) < STEPS_AN_EPOCH:
            break
        wanted *= 2
    return wanted


def _reason(chosen: int, wanted: int, recipes: int, pictures: int) -> str:
    if chosen < wanted:
        return f"what memory holds of the {wanted} that were wanted (fewer pictures a step give other results)"
    if chosen > recipes:
        return (
            f"the recipe's {recipes}, doubled for the GPU while an epoch keeps {STEPS_AN_EPOCH} steps "
            f"(--batch {recipes} takes what the recipe was measured with)"
        )
    if chosen < recipes:
        return f"there are no more than {pictures} pictures to train on"
    return "the recipe's own"


def most_that_fit(wanted: int, fits: Callable[[int], bool]) -> int:
    """The first of `wanted`, its half, a quarter and so on that fits; 0 when not even one does."""
    while wanted and not fits(wanted):
        wanted //= 2
    return wanted


def _always(_: int) -> bool:
    return True


def _judge(prepared: Prepared, arithmetic: Arithmetic, peers: Peers) -> Callable[[int], bool]:
    """Whether a process can learn from so many pictures at once."""
    larger = (1 + prepared.settings.recipe.augment.sizes) ** 2  # the largest input that multi-scale shows
    if arithmetic.device.type == "cuda":
        return lambda pictures: fits_when_tried(prepared.network, math.ceil(pictures * larger), arithmetic)
    free = available_bytes()
    usable = None if free is None else USABLE * free / peers.local_count

    def fits(pictures: int) -> bool:
        return usable is None or pictures == 1 or needed_bytes(prepared.plan, pictures * larger) <= usable

    return fits


def needed_bytes(plan: NetworkPlan, pictures: float) -> float:
    """What a step takes of a processor's memory in FP32, roughly and rather too much."""
    outputs = sum(layer.shape.elements for layer in plan.layers)
    floats = COPIES_OF_OUTPUTS * outputs * pictures + COPIES_OF_WEIGHTS * plan.params
    return FLOAT_BYTES * floats + LEAST_BYTES


def fits_when_tried(network: DarknetNetwork, pictures: int, arithmetic: Arithmetic) -> bool:
    """Whether a step of so many pictures, on a copy of the network, stays within most of a GPU's memory."""
    device, plan = arithmetic.device, network.plan
    random = torch.cuda.get_rng_state(device)
    free, _ = torch.cuda.mem_get_info(device)
    torch.cuda.reset_peak_memory_stats(device)
    try:
        peak = _try(network, pictures, arithmetic)
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
        torch.cuda.set_rng_state(random, device)
    return peak + 3 * FLOAT_BYTES * plan.params <= USABLE * free  # two moments and the average are to come


def _try(network: DarknetNetwork, pictures: int, arithmetic: Arithmetic) -> int:
    """Forward and backward; the most bytes that were held. All of it is given back on the way out."""
    device, plan = arithmetic.device, network.plan
    tried = copy.deepcopy(network).train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.zeros(pictures, plan.input_channels, plan.input_height, plan.input_width, device=device)
    with arithmetic.autocast():
        heads = tried(images.to(memory_format=torch.channels_last))
    torch.stack([head.float().square().mean() for head in heads]).sum().backward()  # type: ignore[no-untyped-call]
    return int(torch.cuda.max_memory_allocated(device))
