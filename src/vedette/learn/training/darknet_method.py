"""Darknet's way to learn: SGD with momentum and decay as it does them, a batch in subdivisions, its rate over a run.

A step is w_upd -= decay * B * w; w += rate / B * w_upd; w_upd *= momentum, with B the pictures of a batch: torch's SGD
with the gradient of the sum of all pictures divided by B. Kernels decay, biases and batch norms do not. Nothing is
clipped or averaged. One step is one iteration of the cfg when the run is as long as its max_batches; a run of another
length, given in epochs or by the clock, goes through the cfg's whole schedule all the same, faster or slower.
Source: AlexeyAB/darknet network.c (get_current_rate), convolutional_layer.c.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vedette.learn.darknet.darknet_loss import DarknetLoss
from vedette.learn.darknet.loss import LossParts, Truths
from vedette.learn.darknet.network import Convolutional, DarknetNetwork
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.training.augment import AugmentSettings, LabelledPicture
from vedette.learn.training.darknet_pictures import MOSAIC_CHANCE, change, input_size
from vedette.learn.training.darknet_recipe import DarknetRecipe, Policy
from vedette.learn.training.loading import BatchMaker, PictureStore

RATE_STREAM, SIZE_STREAM = 5, 6  # keep the uses of one seed apart
LEAST_LEFT = 1e-9  # of the policy poly, whose power may be below 0


class DarknetMethod:
    """What a cfg asks for, for a `learner`."""

    largest_gradient = math.inf

    def __init__(self, recipe: DarknetRecipe, plan: NetworkPlan, class_weights: Sequence[float] | None = None) -> None:
        self._recipe = recipe
        self.learning_rate, self.parts = recipe.learning_rate, recipe.subdivisions
        self._loss = DarknetLoss(plan.heads, recipe.heads, recipe.step_pictures, class_weights)

    def optimiser(self, kernels: Sequence[Tensor], others: Sequence[Tensor]) -> torch.optim.Optimizer:
        recipe = self._recipe
        groups = [{"params": kernels, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)

    def average_decay(self, step: int) -> float:
        return 0.0

    def measure(self, heads: Sequence[Tensor], truths: Truths, size_px: tuple[int, int], step: int = 0) -> LossParts:
        return self._loss(heads, truths, size_px, step * self._recipe.step_pictures)


def draw_darknet_weights(network: DarknetNetwork, loaded_layers: int) -> None:
    """Start the layers that no weights were loaded for as AlexeyAB's Darknet does: kernels even, biases 0."""
    for index, module in enumerate(network.layers):
        if index < loaded_layers or not isinstance(module, Convolutional):
            continue
        reach = math.sqrt(2.0 / (module.layer.kernel_elements // module.layer.filters))
        torch.nn.init.uniform_(module.convolution.weight, -reach, reach)


@dataclass(frozen=True, slots=True)
class DarknetSchedule:
    """The learning rate of a cfg over a run of `total_steps`, or of `budget_s` seconds, which rules when given."""

    recipe: DarknetRecipe
    total_steps: int
    seed: int
    budget_s: float | None = None

    def fraction(self, step: int, elapsed_s: float) -> float:
        """How much of the run is done, 0..1, before step `step` (from 0)."""
        if self.budget_s is None:
            return min(step / max(self.total_steps, 1), 1.0)
        return min(elapsed_s / self.budget_s, 1.0) if self.budget_s > 0 else 1.0

    def iteration(self, step: int, fraction: float) -> float:
        """Which iteration of the cfg (from 1, as Darknet counts when it asks for a rate) step `step` (from 0) is."""
        whole = self.recipe.max_batches
        if not whole or (self.budget_s is None and whole == self.total_steps):
            return step + 1
        if self.budget_s is None:
            return (step + 1) * whole / max(self.total_steps, 1)
        return max(fraction * whole, 1.0)

    def rate(self, step: int, fraction: float) -> float:
        """The factor on the cfg's learning rate."""
        at, recipe = self.iteration(step, fraction), self.recipe
        done = (
            at / recipe.max_batches if recipe.max_batches else fraction
        )  # by epochs or the clock where the cfg is silent
        if at < recipe.burn_in:
            return float((at / recipe.burn_in) ** recipe.power)
        ways: dict[Policy, Callable[[], float]] = {
            Policy.CONSTANT: lambda: 1.0,
            Policy.STEPS: lambda: math.prod(
                s for when, s in zip(recipe.steps, recipe.scales, strict=True) if when <= at
            ),
            Policy.STEP: lambda: recipe.scale ** (at // recipe.step),
            Policy.EXP: lambda: recipe.gamma**at,
            Policy.POLY: lambda: max(1 - done, LEAST_LEFT) ** recipe.power,
            Policy.SIG: lambda: 1 / (1 + math.exp(min(recipe.gamma * (at - recipe.step), 700.0))),
            Policy.RANDOM: lambda: np.random.default_rng((self.seed, RATE_STREAM, step)).random() ** recipe.power,
            Policy.SGDR: lambda: self._warm_restarts(at, done),
        }
        return float(ways[recipe.policy]())

    def _warm_restarts(self, at: float, done: float) -> float:
        recipe, begun = self.recipe, 0.0
        cycle: float = recipe.sgdr_cycle or recipe.max_batches or self.total_steps
        if not cycle:  # only a time budget says how long: one cycle
            cycle, at = 1.0, done
        while begun + cycle < at:
            begun, cycle = begun + cycle, cycle * recipe.sgdr_mult
        lowest = recipe.learning_rate_min / recipe.learning_rate if recipe.learning_rate else 0.0
        return lowest + 0.5 * (1 - lowest) * (1 + math.cos((at - begun) * math.pi / cycle))

    @property
    def mosaic_until(self) -> float:
        """Fraction of the run after which whole pictures are shown."""
        return 1.0

    def mosaic(self, fraction: float) -> bool:
        """Whether pictures may be put together from four; Darknet does so to the end."""
        return True


class DarknetBatches(BatchMaker):
    """Makes batches with Darknet's pictures and input sizes; each process has its part of every subdivision."""

    def __init__(
        self,
        store: PictureStore,
        recipe: DarknetRecipe,
        seed: int,
        total_steps: int,
        *,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        mosaic = AugmentSettings(mosaic=MOSAIC_CHANCE if recipe.mosaic else 0.0)
        super().__init__(store, recipe.step_pictures, seed, mosaic)
        self._recipe, self._total = recipe, total_steps
        size = recipe.part_pictures
        part, parts = share
        own = range(part * size // parts, (part + 1) * size // parts)
        self._places = [first * size + place for first in range(recipe.subdivisions) for place in own]

    def _size_px(self, epoch: int, number: int) -> tuple[int, int]:
        step, seed = epoch * self.batches_per_epoch + number, (self._seed, SIZE_STREAM)
        iterations = self._recipe.max_batches or self._total
        left = (self._total - step) * iterations / self._total if self._total else math.inf
        return input_size(self._recipe, self._store.size_px, seed, step, left)

    def _change(
        self, pictures: Sequence[LabelledPicture], rng: np.random.Generator, size_px: tuple[int, int]
    ) -> LabelledPicture:
        return change(pictures, self._recipe, rng, size_px)
