"""One network learning: a step of the optimiser, the weight average, and all of it as tensors for a checkpoint.

Several processes learn as one: each from its part of a batch, with the sum of everybody's gradients, on its own copy of
the weights. The copies stay equal to the bit, since each takes the same steps.

Loss, optimiser and average are those of the recipe's `method`; what the average holds is validated and delivered.
Frozen layers keep every bit. Arithmetic that is not finite raises before the weights are touched.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vedette.learn.darknet.loss import Truths
from vedette.learn.darknet.network import DarknetNetwork
from vedette.learn.training.arithmetic import Arithmetic
from vedette.learn.training.errors import DivergedError, ResumeError
from vedette.learn.training.loading import Batch
from vedette.learn.training.method import Method
from vedette.learn.training.peers import ALONE, PATHS, Peers
from vedette.learn.training.placing import PlacedBatch
from vedette.learn.training.shared_norm import share_norms
from vedette.learn.training.validate import to_input

OBJECT_PRIOR = 0.01  # of an untrained cell holding an object: the empty ones do not drown the first steps
CLASS_PRIOR = 0.27


@dataclass(frozen=True, slots=True)
class StepLosses:
    """Numbers to show: the parts of the loss in one step, already finite."""

    total: float
    box: float
    objectness: float
    classes: float


class Learner:
    """A network in training on one device."""

    def __init__(self, network: DarknetNetwork, method: Method, arithmetic: Arithmetic, peers: Peers = ALONE) -> None:
        self.arithmetic = arithmetic
        self.network = network.to(arithmetic.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        peers.share_tensors(self.network.state_dict().values())
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        share_norms(self.network, peers)
        self.peers = peers
        self.step_count = 0
        self._frozen = 0  # layers, from the first
        self._method = method
        kernels = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self._optimiser = self._method.optimiser(kernels, others)
        self._averaged = _pairs(self.average, self.network)

    @property
    def learning_rate(self) -> float:
        """What the factor given with a step multiplies."""
        return self._method.learning_rate

    def freeze(self, layers: int) -> None:
        """Keep the first `layers` layers as they are from now on, their batch norms' statistics too; 0 frees all."""
        if layers == self._frozen:
            return
        for index, layer in enumerate(self.network.layers):
            layer.requires_grad_(index >= layers)
        self._frozen = layers

    def step(self, placed: PlacedBatch, rate: float) -> StepLosses:
        """Learn from one batch, or this process's part of it; `rate` is the factor on the learning rate.

        Raises:
            DivergedError: loss or gradient is not finite; names the pictures. The weights are as before.
        """
        if self.peers.are_many or self.arithmetic.device.type == "cuda":
            # dropout: other draws in each process, the same after a resume, whose checkpoint has the processor's alone
            torch.manual_seed(self.step_count * self.peers.count + self.peers.rank)
        self.network.train()
        for layer in self.network.layers[: self._frozen]:
            layer.eval()
        self._optimiser.zero_grad(set_to_none=True)
        losses = self._gather_gradients(placed)
        self._add_up_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._method.largest_gradient)
        if not math.isfinite(float(norm)):
            raise self._diverged("the gradient is not finite", placed.batch)
        for group in self._optimiser.param_groups:
            group["lr"] = self._method.learning_rate * rate
        self._optimiser.step()
        self._follow()
        return losses

    def _gather_gradients(self, placed: PlacedBatch) -> StepLosses:
        """Forward and backward, part by part."""
        placed.ready()
        pictures = len(placed.class_ids)
        at_once = max(pictures // self._method.parts, 1)
        sums = [0.0, 0.0, 0.0, 0.0]
        for picture in range(0, pictures, at_once):
            own = slice(picture, picture + at_once)
            images = to_input(placed.images_nhwc_rgb_u8[own])
            truths = Truths(placed.boxes_xyxy_px[own], placed.class_ids[own])
            with self.arithmetic.autocast():
                heads = self.network(images)
            found = self._method.measure(heads, truths, (images.shape[3], images.shape[2]), self.step_count)
            shown = [float(v.detach()) for v in (found.total, found.box, found.objectness, found.classes)]
            sums = [have + more for have, more in zip(sums, self.peers.sum(shown), strict=True)]
            if not math.isfinite(sums[0]):
                raise self._diverged(f"the loss is {sums[0]}", placed.batch)
            found.total.backward()  # type: ignore[no-untyped-call]
        return StepLosses(*sums)

    def _add_up_gradients(self) -> None:
        """Each process has the gradient of its share of the batch's loss; their sum is the batch's."""
        if not self.peers.are_many:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self.peers.add_up(flat)
        for gradient, summed in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view(gradient.shape))

    def _diverged(self, what: str, batch: Batch) -> DivergedError:
        parts = self.peers.collect("\n".join(batch.names).encode(errors=PATHS))
        names = dict.fromkeys(name for part in parts for name in part.decode(errors=PATHS).split("\n"))
        return _diverged(what, batch, list(names))

    def _follow(self) -> None:
        """Move the average towards the weights just learnt; count the step."""
        average, current = self._averaged
        with torch.no_grad():
            torch._foreach_lerp_(average, current, 1.0 - self._method.average_decay(self.step_count))
        self.step_count += 1

    def to_tensors(self) -> dict[str, Tensor]:
        """Weights, average and optimiser by name (views, not copies)."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for index, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": value for key, value in state.items() if value is not None}
        tensors["random.torch"] = torch.get_rng_state()
        return tensors

    def from_tensors(self, tensors: Mapping[str, Tensor], step_count: int) -> None:
        """Take up what `to_tensors` gave.

        Raises:
            ResumeError: they belong to another network.
        """
        try:
            for module, prefix in ((self.network, "network."), (self.average, "average.")):
                module.load_state_dict(_below(tensors, prefix))
        except RuntimeError as error:
            raise ResumeError(
                "the checkpoint is of another network than the run's model.cfg, which has been changed since; bring it "
                "back, or train anew in another folder"
            ) from error
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimiser.").items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        groups = self._optimiser.state_dict()["param_groups"]
        parameters = [parameter for group in self._optimiser.param_groups for parameter in group["params"]]
        for place, values in state.items():
            state[place] = {key: _laid_out_like(parameters[place], tensor) for key, tensor in values.items()}
        self._optimiser.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(tensors["random.torch"])
        self.step_count = step_count


def prepare_heads(network: DarknetNetwork, loaded_layers: int) -> None:
    """Start heads that no weights were loaded for with priors: few objects, no class preferred."""
    for head, convolution in zip(network.plan.heads, network.head_convolutions(), strict=True):
        if head.source_index < loaded_layers or head.new_coords or convolution.bias is None:
            continue
        torch.nn.init.normal_(convolution.weight, std=0.01)
        bias = torch.zeros(len(head.anchors), 5 + head.classes)
        bias[:, 4] = math.log(OBJECT_PRIOR / (1 - OBJECT_PRIOR))
        bias[:, 5:] = math.log(CLASS_PRIOR / (1 - CLASS_PRIOR))
        with torch.no_grad():
            convolution.bias.copy_(bias.flatten())


def _pairs(average: DarknetNetwork, network: DarknetNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """The floating-point tensors of both, in one order; they stay the same objects for the life of the networks."""
    followed, leading = average.state_dict(), network.state_dict()
    names = [name for name, tensor in followed.items() if tensor.is_floating_point()]
    return [followed[name] for name in names], [leading[name] for name in names]


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """The value in the parameter's memory layout: the fused optimiser walks both as they lie."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _diverged(what: str, batch: Batch, pictures: Sequence[str]) -> DivergedError:
    names = ", ".join(pictures[:40]) + (f" and {len(pictures) - 40} more" if len(pictures) > 40 else "")
    return DivergedError(
        f"{what} in epoch {batch.epoch + 1}, batch {batch.number + 1}; look at the labels of its pictures: {names}"
    )
