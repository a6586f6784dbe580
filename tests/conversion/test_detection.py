"""torchvision's detection and segmentation networks on crossbars whole, called as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch._support.trees import tensors_in
from reram_torch.evaluation.integers import plain_integer

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "imagenet-sample" / "val"
SMALL = {"min_size": 64, "max_size": 96}
NETWORKS = {
    "ssdlite320_mobilenet_v3_large": {},
    "fcos_resnet50_fpn": SMALL,
    "retinanet_resnet50_fpn": SMALL,
    "maskrcnn_resnet50_fpn": {**SMALL, "rpn_post_nms_top_n_test": 9, "box_detections_per_img": 2},
    "lraspp_mobilenet_v3_large": {},
    "deeplabv3_resnet50": {},
}


def photos():
    """Two of different sizes, (3, H, W) from 0 to 1: of the sample beside us, or scikit-learn's."""
    if paths := sorted(SAMPLES.glob("*/*.jpg"))[:2]:
        image = pytest.importorskip("PIL.Image")
        found = [np.array(image.open(path).convert("RGB")) for path in paths]
    else:
        datasets = pytest.importorskip("sklearn.datasets", reason="there are no photographs")
        found = datasets.load_sample_images().images
    return [
        torch.tensor(x).permute(2, 0, 1)[:, k::6, k :: 6 + k] / 255 for k, x in enumerate(found)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_lossless_crossbars_are_the_plain_integer_network(name):
    models = pytest.importorskip("torchvision.models")
    model = models.get_model(name, weights=None, weights_backbone=None, **NETWORKS[name]).eval()
    net, x = rt.convert(model), photos()
    report = net.mapping_report
    deconvolution = {"roi_heads.mask_predictor.conv5_mask"} if "mask" in name else set()
    assert (set(report.in_float), report.left_alone) == (deconvolution, {})
    if not hasattr(net, "transform"):  # a segmentation network takes a tensor
        x = torch.cat([nn.functional.interpolate(each[None], (40, 50)) for each in x])
    rt.calibrate(net, [x], held_back=0, show_progress=False)
    with torch.no_grad():
        with rt.PowerMeter(net) as meter:
            made = net(x)
        with plain_integer(net):
            expected = net(x)
    assert meter.report().inferences == 2
    assert len(list(tensors_in(made))) > 0
    pairs = zip(tensors_in(made), tensors_in(expected), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
