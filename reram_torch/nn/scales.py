"""Scales that are learned with the weights: LSQ, in the logarithm of the step."""

from __future__ import annotations

import math
from typing import Any

import torch


class _LearnedStep(torch.autograd.Function):
    """Values on a grid whose step has a gradient; see `on_learned_grid`."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, log_step: torch.Tensor, zero: int, low: int, high: int
    ) -> torch.Tensor:
        step = step_of(log_step)
        step = step.view(-1, *[1] * (x.dim() - 1)) if step.dim() else step
        wide = x if x.dtype == torch.float64 else x.float()
        steps = wide / step
        codes = steps.round() + zero
        kept = codes.clamp(low, high)
        ctx.inside = codes == kept
        ctx.save_for_backward(steps, kept, step, log_step)
        ctx.zero, ctx.dtype = zero, x.dtype
        each = max(x.numel() // max(log_step.numel(), 1), 1)
        ctx.share = 1 / math.sqrt(each * max(high - zero, 1))  # Esser et al., section 2.2
        return (kept - zero) * step

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        steps, kept, step, log_step = ctx.saved_tensors
        grad_x = grad_log = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad * ctx.inside).to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            whole = kept - ctx.zero
            by_step = torch.where(ctx.inside, whole - steps, whole)  # straight through: a constant
            if torch.is_grad_enabled():  # gradients of gradients: the step follows its logarithm
                same = ((log_step - log_step.detach()) * ctx.share).exp().to(step.dtype)
                step = step * same.view(step.shape)
            moved = grad.to(by_step.dtype) * by_step * step  # d/d(log s) = s * d/ds
            total = moved.flatten(1).sum(1) if log_step.dim() else moved.sum()
            grad_log = (total * ctx.share).view(log_step.shape).to(log_step.dtype)
        return grad_x, grad_log, None, None, None


def on_learned_grid(
    x: torch.Tensor, log_step: torch.Tensor, zero: int, low: int, high: int
) -> torch.Tensor:
    """(clamp(round(x / s) + zero, low, high) - zero) * s with s = exp(log_step).

    Gradients are those of LSQ (Esser et al., Learned step size quantization, ICLR 2020): straight
    through by `x` where it was not clipped; by s, round(x / s) - x / s where `x` was not clipped,
    else the code it was clipped to, over sqrt(values * (high - zero)). The step is learned as its
    logarithm (as in Jain et al., Trained quantization thresholds, MLSys 2020), so that a step of
    the optimizer changes small and large scales alike.

    Args:
        x: values, floating point.
        log_step: natural logarithm of the step: one, or one for each of the first dimension of `x`.
        zero: the code of zero.
        low: the lowest code.
        high: the highest code.

    Returns:
        shape of `x`, float32 (float64 if `x` is): half a precision would lose codes.
    """
    held: torch.Tensor = _LearnedStep.apply(x, log_step, zero, low, high)
    return held


def step_of(log_step: torch.Tensor) -> torch.Tensor:
    """The step in float32, as the codes are made with it, without gradient."""
    return log_step.detach().exp().float()
