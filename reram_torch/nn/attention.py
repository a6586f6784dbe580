"""`ReRAMMultiheadAttention`: torch's multi-head attention with its projections on crossbars."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.config.sections import Config
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.carrying import carry_hooks
from reram_torch.nn.layers import ReRAMLinear
from reram_torch.nn.masks import merged_mask

PROJECTIONS = "q_proj", "k_proj", "v_proj"
_SEPARATE = tuple(f"{name}_weight" for name in PROJECTIONS)
_PACKED = "in_proj_weight", "in_proj_bias"


class ReRAMMultiheadAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` whose four projections are `ReRAMLinear` layers.

    `q_proj`, `k_proj`, `v_proj` and `out_proj` lie on crossbars. Scores, and their product with the
    values, are products of two activations, and stay in float. Torch's own weights, packed or not,
    are None here; checkpoints of the float module are taken apart as they are loaded.

    Args:
        embed_dim ... dtype: as for `torch.nn.MultiheadAttention`.
        config: the arrays, codes and ADC; `Config()`, the ISAAC baseline, if not given.

    Shapes: as torch's: query (L, B, embed_dim), key (S, B, kdim), value (S, B, vdim); the batch
    comes first with `batch_first`, and may be missing.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        config: Config | None = None,
    ):
        super().__init__(
            embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim,
            batch_first, device, dtype,
        )  # fmt: skip
        self._take(self, config)

    @classmethod
    def from_float(
        cls, layer: nn.MultiheadAttention, config: Config | None = None
    ) -> ReRAMMultiheadAttention:
        """The module of a float one, with its hooks; packed weights are copied, others shared."""
        made = cls(**_arguments(layer), device="meta", config=config)
        made._take(layer, config)
        made.bias_k, made.bias_v = layer.bias_k, layer.bias_v
        carry_hooks(layer, made)
        return made

    def _take(self, layer: nn.MultiheadAttention, config: Config | None) -> None:
        """Makes the projections of a float module's weights."""
        packed = layer.in_proj_weight is not None
        weights = _parts(layer.in_proj_weight) if packed else [getattr(layer, n) for n in _SEPARATE]
        biases = [None] * 3 if layer.in_proj_bias is None else _parts(layer.in_proj_bias)
        for name, weight, bias in zip(PROJECTIONS, weights, biases, strict=True):
            outputs, inputs = weight.shape
            made = ReRAMLinear(inputs, outputs, bias is not None, "meta", config=config)
            made.weight, made.bias = weight, bias
            setattr(self, name, made.train(layer.training))
        out = ReRAMLinear.from_float(layer.out_proj, config)
        del self.out_proj  # the last of the four is named last
        self.out_proj = out  # type: ignore[assignment]
        for name in (*_PACKED, *_SEPARATE):
            self.register_parameter(name, None)
        self._qkv_same_embed_dim = False  # nothing is packed: torch's fused paths ask for it

    @property
    def packs(self) -> bool:
        """Whether torch's own module has one weight for query, key and value."""
        return bool(self.kdim == self.vdim == self.embed_dim)

    def to_float(self) -> nn.MultiheadAttention:
        """Torch's own module, with the weights as they are now, packed again, and the hooks."""
        made = nn.MultiheadAttention(**_arguments(self), device="meta")
        projections = [getattr(self, name) for name in PROJECTIONS]
        weights = [p.weight for p in projections]
        if self.packs:
            made.in_proj_weight = _packed(weights)
        else:
            for name, weight in zip(_SEPARATE, weights, strict=True):
                setattr(made, name, weight)
        biases = [p.bias for p in projections]
        if any(bias is not None for bias in biases):
            none = torch.zeros_like(weights[0][:, 0])
            made.in_proj_bias = _packed([none if bias is None else bias for bias in biases])
        else:
            made.register_parameter("in_proj_bias", None)
        out: Any = self.out_proj
        made.out_proj = out.to_float() if isinstance(out, CrossbarLayer) else out  # type: ignore[assignment]
        made.bias_k, made.bias_v = self.bias_k, self.bias_v
        carry_hooks(self, made)
        return made

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What torch's module gives, its projections computed by the crossbar layers.

        A query that may look at no key at all is refused where torch gives it NaN, since no code
        stands for that.

        Raises:
            RuntimeError: the projections were never calibrated.
            TypeError: an input or a mask is of a wrong type.
            ValueError: shapes do not fit together, or `is_causal` comes without `attn_mask`.
        """
        self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise ValueError("is_causal says that attn_mask is causal: give attn_mask, too")
        batched = query.dim() == 3
        q, k, v = (
            self._heads(getattr(self, name)(x))
            for name, x in zip(PROJECTIONS, (query, key, value), strict=True)
        )
        numbers = (*q.shape[:3], k.shape[2])
        k, v = self._with_added(k, self.bias_k), self._with_added(v, self.bias_v)
        # As torch has it: the hint replaces the mask only where nothing else needs one.
        hinted = is_causal and key_padding_mask is None and not need_weights
        added = k.shape[2] - numbers[3]
        given = None if hinted else attn_mask
        mask = merged_mask(given, key_padding_mask, numbers, batched, added, q.dtype)
        p = self.dropout if self.training else 0.0
        if need_weights:
            scores = (q * math.sqrt(1 / self.head_dim)) @ k.transpose(-2, -1)
            weights = F.softmax(scores if mask is None else scores + mask, dim=-1)
            weights = F.dropout(weights, p) if p else weights
            y = weights @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, p, is_causal=hinted)
        output: torch.Tensor = self.out_proj(self._layout(y.transpose(1, 2).flatten(2), batched))
        if not need_weights:
            return output, None
        weights = weights.mean(1) if average_attn_weights else weights
        return output, weights if batched else weights.squeeze(0)

    def _check(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Raises TypeError or ValueError unless the three fit together."""
        shapes = []
        for name, x in zip(("query", "key", "value"), (query, key, value), strict=True):
            if not isinstance(x, torch.Tensor) or x.is_nested:
                what = "a nested one" if isinstance(x, torch.Tensor) else type(x).__name__
                raise TypeError(f"{name} must be a tensor, not {what}")
            shapes.append(tuple(x.shape))
        dims = {len(shape) for shape in shapes}
        if dims not in ({2}, {3}):
            raise ValueError(f"query, key and value must all have 2 or 3 dimensions, not {shapes}")
        batch = 0 if self.batch_first else 1
        if shapes[1][:-1] != shapes[2][:-1] or (
            dims == {3} and shapes[0][batch] != shapes[1][batch]
        ):
            raise ValueError(
                "key and value must be as long as each other, and batches of query, key and value "
                f"must be equal (batch_first={self.batch_first}): their shapes are {shapes}"
            )

    def _layout(self, x: torch.Tensor, batched: bool) -> torch.Tensor:
        """(B, L, ...) as the caller has it."""
        if not batched:
            return x.squeeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """A projection as (B, heads, L, head_dim)."""
        if x.dim() == 2:
            x = x.unsqueeze(0)
        elif not self.batch_first:
            x = x.transpose(0, 1)
        return x.view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _with_added(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Keys or values with those that `add_bias_kv` and `add_zero_attn` append."""
        if bias is not None:
            row = bias.view(1, self.num_heads, 1, self.head_dim).to(x.dtype)
            x = torch.cat([x, row.expand(len(x), -1, -1, -1)], dim=2)
        return F.pad(x, (0, 0, 0, 1)) if self.add_zero_attn else x

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        take_apart(state_dict, prefix, 3 * self.embed_dim, errors)
        load: Any = super()._load_from_state_dict
        load(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)


def take_apart(state_dict: dict[str, Any], prefix: str, rows: int, errors: list[str]) -> None:
    """Renames the weights of a float module's checkpoint to those of projections, in place."""
    for kind, names in (("weight", _PACKED[:1]), ("weight", _SEPARATE), ("bias", _PACKED[1:])):
        if not all(prefix + name in state_dict for name in names):
            continue
        given = [state_dict.pop(prefix + name) for name in names]
        if len(given) == 1 and len(given[0]) != rows:
            errors.append(
                f"size mismatch for {prefix}{names[0]}: {len(given[0])} rows in the checkpoint, "
                f"{rows} in three projections"
            )
            continue
        parts = given[0].chunk(3) if len(given) == 1 else given
        for name, part in zip(PROJECTIONS, parts, strict=True):
            state_dict[f"{prefix}{name}.{kind}"] = part


def macs_of_products(layer: nn.MultiheadAttention, query: torch.Tensor, key: torch.Tensor) -> int:
    """Multiply-accumulates of queries by keys, and of scores by values, in multi-head attention."""
    length = key.shape[1 if layer.batch_first and key.dim() == 3 else 0]
    length += (layer.bias_k is not None) + bool(layer.add_zero_attn)
    return 2 * query.numel() * length


def _arguments(layer: nn.MultiheadAttention) -> dict[str, Any]:
    names = "embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first"
    biases = {"bias": layer.out_proj.bias is not None, "add_bias_kv": layer.bias_k is not None}
    return {name: getattr(layer, name) for name in names} | biases


def _parts(packed: nn.Parameter) -> list[nn.Parameter]:
    grad = packed.requires_grad
    return [nn.Parameter(part.clone(), requires_grad=grad) for part in packed.detach().chunk(3)]


def _packed(parts: list[torch.Tensor]) -> nn.Parameter:
    grad = any(part.requires_grad for part in parts)
    return nn.Parameter(torch.cat([part.detach() for part in parts]), requires_grad=grad)
