"""Crossbar layers under `torch.fx.symbolic_trace`."""

from __future__ import annotations

from torch import fx, nn


def record(layer: nn.Module, x: fx.Proxy) -> fx.Proxy:
    """Records a call of a layer in the graph being traced, as tracers do with torch's own.

    Only those under `torch.nn` are leaves to them, and ask nobody else.

    Raises:
        RuntimeError: the layer has hooks, which are traced already and would run once more with the
            layer; or it is the root of what is traced.
    """
    hooks = vars(layer)
    if any(hooks[name] for name in ("_forward_hooks", "_forward_pre_hooks")):
        raise RuntimeError(
            f"torch.fx would record the hooks of this {type(layer).__name__} twice: remove them, "
            "or trace with an fx.Tracer whose is_leaf_module says that crossbar layers are leaves"
        )
    path = x.tracer.path_of_module(layer)  # type: ignore[attr-defined]  # of fx.Tracer
    if not path:
        raise RuntimeError(
            f"torch.fx can trace a network with this {type(layer).__name__}, not the layer itself"
        )
    return x.tracer.create_proxy("call_module", path, (x,), {})
