"""Converted networks under torch.fx."""

import pytest
import torch
from torch import fx, nn

import reram_torch as rt
from reram_torch.nn.base import CrossbarLayer


def test_a_graph_module_runs_and_counts(calibrated, batches):
    x = batches[0][0]
    graph = fx.symbolic_trace(calibrated)
    called = [n.target for n in graph.graph.nodes if n.op == "call_module"]
    assert called == list(rt.crossbar_layers(calibrated))
    assert not any("reram_torch" in str(n.target) for n in graph.graph.nodes)
    assert torch.equal(graph(x), calibrated(x))
    with rt.PowerMeter(graph) as traced, rt.PowerMeter(calibrated) as meter:
        graph(x)
    assert traced.report().total.comparisons == meter.report().total.comparisons
    assert traced.report().total.comparisons > 0
    with torch.no_grad():
        calibrated.conv1.weight.neg_()
    assert torch.equal(graph(x), calibrated(x))


def test_a_graph_module_trains(calibrated, batches):
    graph = fx.symbolic_trace(calibrated)
    for net in (calibrated, graph):
        net.zero_grad()
        net(batches[0][0]).sum().backward()
        found = [p.grad.clone() for p in net.parameters()]
    assert all(p.abs().sum() > 0 for p in found)


def test_learned_scales_are_traced_with_their_layer(calibrated, batches):
    for layer in rt.crossbar_layers(calibrated).values():
        layer.learn_scales()
    x = batches[0][0]
    assert torch.equal(fx.symbolic_trace(calibrated)(x), calibrated(x))


class Tracer(fx.Tracer):
    def is_leaf_module(self, module, name):
        return isinstance(module, CrossbarLayer) or super().is_leaf_module(module, name)


def test_hooks_would_run_twice(calibrated, batches):
    x, calls = batches[0][0], []
    calibrated.fc1.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(RuntimeError, match="hooks of this ReRAMLinear twice: remove them, or"):
        fx.symbolic_trace(calibrated)
    calls.clear()
    graph = fx.GraphModule(calibrated, Tracer().trace(calibrated))
    assert torch.equal(graph(x), calibrated(x))
    assert len(calls) == 2


def test_a_layer_alone_is_refused():
    with pytest.raises(RuntimeError, match="can trace a network with this ReRAMLinear"):
        fx.symbolic_trace(rt.ReRAMLinear(3, 2))
    assert fx.symbolic_trace(nn.Sequential(rt.ReRAMLinear(3, 2))) is not None
