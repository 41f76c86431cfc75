"""Batch norm over the pictures of all processes, so that a batch in parts is normalised as it would be in one.

Per-process statistics (of 2 pictures instead of 8) would train another network. torch's SyncBatchNorm does the same
on GPUs only. Statistics are of float32 values and joined in float64 (Chan et al. 1979, parallel variance); gradients
through them follow Ioffe and Szegedy, arXiv:1502.03167.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vedette.learn.training.peers import Peers

PICTURES_AND_PLACES = (0, 2, 3)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that takes the place of `norm`, with its very parameters and buffers."""

    def __init__(self, norm: nn.BatchNorm2d, peers: Peers) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self._parameters, self._buffers = norm._parameters, norm._buffers
        self._peers = peers

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        shared, mean, variance, count = _Normalised.apply(  # type: ignore[no-untyped-call]
            images, self.weight, self.bias, self.eps, self._peers
        )
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None  # these are BatchNorm2d's own unless it is told otherwise
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), self.momentum)
            self.num_batches_tracked.add_(1)
        normalised: Tensor = shared
        return normalised


class _Normalised(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias, with mean and deviation over all processes."""

    @staticmethod
    def forward(  # noqa: PLR0917 - apply() takes positional arguments only
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, eps: float, peers: Peers
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = images.float()
        variance, mean = torch.var_mean(values, PICTURES_AND_PLACES, correction=0)  # (channels,) each
        count = torch.full((1,), images.numel() // images.shape[1], dtype=torch.float64, device=images.device)
        parts = peers.gather(torch.cat([mean.double(), variance.double(), count]))  # (processes, 2 * channels + 1)
        means, variances, counts = torch.split(parts, [len(mean), len(mean), 1], dim=1)
        total = counts.sum()
        joint = (counts * means).sum(0) / total
        spread = (counts * (variances + (means - joint).square())).sum(0) / total
        mean, variance = joint.float(), spread.float()
        ctx.save_for_backward(images, weight, mean, variance, total)
        ctx.eps, ctx.peers = eps, peers
        ctx.mark_non_differentiable(mean, variance, total)
        normalised = functional.batch_norm(images, mean, variance, weight, bias, training=False, eps=eps)
        return normalised, mean, variance, total.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, mean, variance, total = ctx.saved_tensors
        given, inverse = gradients[0], torch.rsqrt(variance + ctx.eps)
        # of a norm with fixed statistics: the sums of the gradient, and of its product with the normalised values
        _, own_weight, own_bias = torch.ops.aten.native_batch_norm_backward(
            given, images, weight, mean, variance, None, None, False, ctx.eps, [False, True, True]
        )
        sums = torch.cat([own_bias, own_weight]).double()  # own_* are added up later, with all other gradients
        ctx.peers.add_up(sums)
        by_mean, by_deviation = (sums / total).float().chunk(2)
        # (gradient - by_mean - normalised * by_deviation) * weight / deviation, with one array and no more
        scale, slope = weight * inverse, -weight * inverse.square() * by_deviation
        offset = -scale * by_mean - slope * mean
        shape = (1, -1, 1, 1)
        onward = given.float() * scale.view(shape)
        onward.addcmul_(images.float(), slope.view(shape)).add_(offset.view(shape))
        return onward.to(images.dtype), own_weight, own_bias, None, None


def share_norms(network: nn.Module, peers: Peers) -> None:
    """Replace every batch norm of a network by one over all processes."""
    if not peers.are_many:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SharedBatchNorm2d(child, peers))
