"""How a recipe learns from a batch: its loss, its optimiser, its weight average; and Vedette's own way of it.

Vedette's: AdamW (Loshchilov and Hutter, arXiv:1711.05101) with decay on kernels alone, gradients clipped, the average
of the weights over the last steps validated and delivered. Darknet's is `darknet_method`'s. What any of them takes part
in (several processes, resuming, frozen layers) is the `learner`'s matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from vedette.learn.darknet.loss import DetectionLoss, LossParts, Truths
from vedette.learn.darknet.plan import NetworkPlan
from vedette.learn.training.schedule import average_decay
from vedette.learn.training.settings import Recipe


class Method(Protocol):
    """What a learner asks of a recipe."""

    @property
    def learning_rate(self) -> float:
        """What the schedule's factor multiplies."""
        ...

    @property
    def largest_gradient(self) -> float:
        """Norm beyond which gradients are shortened."""
        ...

    @property
    def parts(self) -> int:
        """In how many parts, one after another, a batch is computed."""
        ...

    def optimiser(self, kernels: Sequence[Tensor], others: Sequence[Tensor]) -> torch.optim.Optimizer:
        """Over kernels, which decay, and biases and batch norms, which do not."""
        ...

    def average_decay(self, step: int) -> float:
        """Of the weight average after a step (from 0); 0 is no average."""
        ...

    def measure(self, heads: Sequence[Tensor], truths: Truths, size_px: tuple[int, int], step: int = 0) -> LossParts:
        """The loss of one part of a batch, in step `step` (from 0); those of all parts, in all processes, add up to
        the batch's.
        """
        ...


class VedetteMethod:
    """The recipe of its own."""

    parts = 1

    def __init__(
        self,
        recipe: Recipe,
        plan: NetworkPlan,
        count_all: Callable[[int], int] = int,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self._recipe = recipe
        self.learning_rate = recipe.learning_rate
        self.largest_gradient = recipe.largest_gradient
        size = plan.input_width, plan.input_height
        self._loss = DetectionLoss(plan.heads, *size, recipe.loss, count_all, class_weights=class_weights)

    def optimiser(self, kernels: Sequence[Tensor], others: Sequence[Tensor]) -> torch.optim.Optimizer:
        recipe = self._recipe
        groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(
            groups, lr=recipe.learning_rate, betas=(recipe.momentum, recipe.second_momentum), fused=True
        )

    def average_decay(self, step: int) -> float:
        return average_decay(step)

    def measure(self, heads: Sequence[Tensor], truths: Truths, size_px: tuple[int, int], step: int = 0) -> LossParts:
        return self._loss(heads, replace(truths, size_px=size_px))
