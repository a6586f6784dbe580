"""Which batch norms fold, and what becomes of their parameters."""

import pytest
import torch
from torch import nn

import reram_torch as rt


def trained(norm):
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        if norm.affine:
            norm.weight.normal_()
            norm.bias.normal_()
    return norm


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_folded_bias_trains_as_its_parts_did(bias, affine, frozen):
    net = nn.Sequential(nn.Conv2d(2, 3, 3, bias=bias), trained(nn.BatchNorm2d(3, affine=affine)))
    net.eval().requires_grad_(not frozen)
    folded = rt.convert(net, fold_bn=True)
    assert folded.mapping_report.folded == {"0": "1"}
    assert [p.requires_grad for p in folded.parameters()] == [not frozen] * 2
    assert all(p.is_leaf for p in folded.parameters())


def test_a_folded_bias_learns():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), trained(nn.BatchNorm2d(3))).eval()
    net, x = rt.convert(net, fold_bn=True), torch.rand(4, 2, 6, 6)
    rt.calibrate(net, x, show_progress=False)
    net(x).sum().backward()
    assert (net[0].bias.grad == 4 * 16).all()


def test_synchronized_norms_fold():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), trained(nn.SyncBatchNorm(3))).eval()
    folded, x = rt.convert(net, fold_bn=True), torch.rand(4, 2, 6, 6)
    assert folded.mapping_report.folded == {"0": "1"}
    torch.testing.assert_close(rt.revert(folded)(x), net(x))


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.SyncBatchNorm])
def test_norms_after_linear_layers_are_named(kind):
    """Over (B, C, C) the norm's channels are not the layer's outputs."""
    net = nn.Sequential(nn.Linear(4, 3), trained(kind(3))).eval()
    folded, x = rt.convert(net, fold_bn=True), torch.rand(4, 3, 4)
    assert "linear" in folded.mapping_report.not_folded["1"]
    assert folded.mapping_report.folded == {}
    torch.testing.assert_close(rt.revert(folded)(x), net(x))


def test_a_norm_that_does_something_else_stays():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), trained(nn.BatchNorm2d(3))).eval()
    net[1].forward = lambda x: -x
    report = rt.convert(net, fold_bn=True).mapping_report
    assert report.not_folded == {"1": "its forward is replaced on the instance"}
