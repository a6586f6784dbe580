"""`PowerMeter`: counts what the crossbars of a network do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from reram_torch._support import processes
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.watchers import Watcher
from reram_torch.power.conducted import NOTHING, Conducted, conducted
from reram_torch.power.conversions import histogram_edges
from reram_torch.power.float_macs import FloatMacs
from reram_torch.power.inferences import InferenceCounter
from reram_torch.power.pricing import Seen, priced
from reram_torch.power.reports import PowerReport
from reram_torch.power.technology import Technology, load_technology


class PowerMeter(Watcher):
    """Counts what the crossbars of a network do inside a `with` block.

    Counts add up over forward passes. Outside the block nothing is counted, nor are the passes of
    `calibrate` and `design_adc` inside it. Meters nest: each counts everything.

    Args:
        net: a converted network.
        histograms: also count how often each bit-line sum occurs, which the ADC energy model `sar`
            needs, and which takes longer than the simulation itself.

    Attributes:
        inferences: network inputs seen, as `reram_torch.power.inferences` tells them: mostly the
            sum of the first dimensions of the first tensor that each call of `net` was given.

    Raises:
        ValueError: there are no crossbar layers.
        RuntimeError: on entry, if this meter is counting already; in a forward pass, if a layer's
            ADCs changed since the last.
    """

    counts = True

    def __init__(self, net: nn.Module, *, histograms: bool = False):
        self._net = net
        self._layers = crossbar_layers(net)
        self._histograms = histograms
        self._seen: dict[CrossbarLayer, Seen] = {}
        self._hook: RemovableHandle | None = None
        self._inputs = InferenceCounter()
        self._floats = FloatMacs(net, self._float_called)
        self._hidden = False  # whether the pass that runs is no inference

    @property
    def inferences(self) -> int:
        """Network inputs seen."""
        return self._inputs.count

    def __enter__(self) -> PowerMeter:
        if self._hook is not None:
            raise RuntimeError("this PowerMeter is counting already: make another one")
        for layer in self._layers.values():
            layer.watchers.push(self)
        self._hook = self._net.register_forward_pre_hook(self._count_inputs, with_kwargs=True)
        self._floats.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = None
        self._floats.stop()
        for layer in self._layers.values():
            layer.watchers.remove(self)

    def _count_inputs(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._hidden = self._is_hidden()
        if not self._hidden:
            self._inputs.network_called((*args, *kwargs.values()))

    def _is_hidden(self) -> bool:
        return any(layer.watchers.hidden_from(self) for layer in self._layers.values())

    def _float_called(self, layer: nn.Module, x: Any) -> bool:
        """Is told of a call of a layer in float, and says whether it counts."""
        self._hidden = self._hidden and self._is_hidden()
        if not self._hidden and isinstance(x, torch.Tensor):
            self._inputs.layer_called(layer, x)
        return not self._hidden

    def count(
        self, layer: CrossbarLayer, x: torch.Tensor, comparisons: torch.Tensor, driven: torch.Tensor
    ) -> None:
        """Adds a forward pass of a layer."""
        self._inputs.layer_called(layer, x)
        histogram = None
        if self._histograms:
            with torch.no_grad():
                edges = histogram_edges(layer.geometry, tuple(layer.tables().edges.tolist()))
                fewest = torch.tensor(edges, dtype=torch.int32, device=layer.weight.device)
                histogram = layer.bit_line_histogram(layer.codes(x), fewest)
        self._add(layer, comparisons, driven, histogram, conducted(layer, x))

    def _add(
        self,
        layer: CrossbarLayer,
        comparisons: torch.Tensor,
        driven: torch.Tensor,
        histogram: torch.Tensor | None,
        added: Conducted,
    ) -> None:
        new = Seen.now(layer, (comparisons, driven), histogram, added)
        if layer in self._seen:
            self._seen[layer].add(layer, new)
        else:
            self._seen[layer] = new

    def add_up(self) -> None:
        """Adds the counts of all processes of torch.distributed; each must call this, once.

        Raises:
            RuntimeError: the processes' ADCs differ.
        """
        states = processes.gather(self.state_dict())
        self._seen, self._inputs = {}, InferenceCounter()
        self._floats.clear()
        for state in states:
            self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """What was counted so far, as plain values and tensors."""
        layers = {}
        for name, layer in self._layers.items():
            if (seen := self._seen.get(layer)) is not None:
                layers[name] = seen.state()
        return {
            "inferences": self._inputs.count,
            "untold": self._inputs.untold,
            "float_macs": dict(self._floats.counted),
            "layers": layers,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Adds what `state_dict` gave to what was counted.

        Raises:
            RuntimeError: it is of other layers, of other ADCs than these or of an earlier version,
                or lacks histograms that this meter keeps.
        """
        unknown = sorted(set(state["layers"]) - set(self._layers))
        if unknown:
            raise RuntimeError(f"counts of {unknown}, which this network has not")
        for name, counted in state["layers"].items():
            if "driven" not in counted:
                raise RuntimeError("counts of an earlier version: count anew")
            tables = self._layers[name].tables()
            own = zip(counted["adcs"], tables.tensors, strict=True)
            same = counted["unit"] == tables.unit
            if not same or not all(torch.equal(a, b.cpu()) for a, b in own):
                raise RuntimeError(f"counts of other ADCs than those of layer {name!r}")
            if self._histograms and counted["histogram"] is None:
                raise RuntimeError(
                    f"counts of layer {name!r} without histograms, which are kept here"
                )
        for name, counted in state["layers"].items():
            layer = self._layers[name]
            device = layer.weight.device
            comparisons, driven = (counted[key].to(device) for key in ("comparisons", "driven"))
            histogram = None if counted["histogram"] is None else counted["histogram"].to(device)
            added = Conducted(*counted.get("conducted", NOTHING))
            self._add(layer, comparisons, driven, histogram, added)
        self._inputs.count += state["inferences"]
        self._inputs.untold += state.get("untold", 0)
        self._floats.add(state.get("float_macs", {}))

    def report(
        self,
        technology: str | Path | Technology = "isaac",
        *,
        adc_model: str = "bit_cycle",
        inferences: int | None = None,
    ) -> PowerReport:
        """What was counted so far, priced.

        Args:
            technology: a name (see `technology_names`), the path of a TOML file, or a `Technology`.
            adc_model: `bit_cycle` (energy per comparison), `sar` (comparator, logic and capacitors
                along the path of each search; needs `histograms=True`) or `resolution` (a smaller
                ADC that always finishes).
            inferences: network inputs that the counts stand for, if not `self.inferences`.
                Without any, the figures of one inference are NaN.

        Raises:
            ValueError: an unknown technology or model, numbers that the technology lacks, `sar`
                without histograms, or `resolution` for a search that stops early.

        Warns:
            UserWarning: the network was called with nothing that holds a tensor, and `inferences`
                is not given.
        """
        inferences = self._inputs.known(inferences)
        seen = {
            name: (layer, self._seen.get(layer) or Seen.nothing(layer))
            for name, layer in self._layers.items()
        }
        floats = self._floats.reports()
        return priced(seen, load_technology(technology), adc_model, inferences, floats)
