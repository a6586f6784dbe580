"""Detectors: what they find differs in number, so that changes are measured before they select."""

import warnings

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.calibration.calls import call_of
from reram_torch.design.heads import Outlet, holds_detections
from reram_torch.design.outputs import error

LOW = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(bits=4), rt.InputConfig(bits=4))
ASK = {"granularity": "slice", "show_progress": False}
CLASSES = 3


class Backbone(nn.Sequential):
    """Features of an eighth of the size."""

    out_channels = 32

    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 4, 4), nn.ReLU(), nn.Conv2d(6, 32, 2, 2), nn.ReLU())


def detector(kind):
    """One of torchvision's, small: its own head, transform and selection."""
    detection = pytest.importorskip("torchvision.models.detection")
    anchors = detection.anchor_utils.AnchorGenerator(((8,),), ((1.0,),))
    sizes = {"min_size": 32, "max_size": 48}
    if kind == "FCOS":
        head = detection.fcos.FCOSHead(32, 1, CLASSES, num_convs=1)
        return detection.FCOS(Backbone(), CLASSES, anchor_generator=anchors, head=head, **sizes)
    if kind == "RetinaNet":
        return detection.RetinaNet(Backbone(), CLASSES, anchor_generator=anchors, **sizes)
    if kind == "SSD":
        boxes, backbone = detection.anchor_utils.DefaultBoxGenerator([[2]]), Backbone()
        backbone.out_channels = [32]
        return detection.ssd.SSD(backbone, boxes, (32, 32), CLASSES)
    pool = pytest.importorskip("torchvision.ops").MultiScaleRoIAlign(["0"], 2, 2)
    return detection.FasterRCNN(
        Backbone(), CLASSES, rpn_anchor_generator=anchors, box_roi_pool=pool, **sizes,
        rpn_pre_nms_top_n_test=20, rpn_post_nms_top_n_test=9,
    )  # fmt: skip


def images(count=4):
    return [torch.rand(3, 30 + 3 * k, 44 - 2 * k) for k in range(count)]


def calibrated(kind):
    model = detector(kind).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    net = rt.convert(model, LOW)
    assert net.mapping_report.weights_on_crossbars == 1.0
    return rt.calibrate(net, [images()], show_progress=False)


def found_nothing(net):
    """A detector whose threshold nothing passes, as that of one with random weights."""
    net.score_thresh = 2.0
    with torch.no_grad():
        assert [len(each["boxes"]) for each in net(images())] == [0] * 4
    return net


@pytest.mark.parametrize("kind", ["FCOS", "RetinaNet", "SSD", "FasterRCNN"])
def test_a_detector_is_designed_by_what_its_head_gives(kind):
    net = calibrated(kind)
    if kind != "FasterRCNN":
        found_nothing(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a severe error
        mild = rt.design_adc(net, "uniform", reduction=5.0, **ASK)
        harsh = rt.design_adc(net, "uniform", reduction=16.0, **ASK)
    head = "roi_heads.box_predictor" if kind == "FasterRCNN" else "head"
    assert (mild.error_at, harsh.error_at) == (head, head)
    assert 0 < mild.error < harsh.error
    assert f"error of {head} {mild.error:.2e}" in str(mild)
    assert mild.drop is None
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(images(3))
        net(images(1))
    assert meter.report().inferences == 4


def test_the_error_is_that_of_the_head():
    net = found_nothing(calibrated("FCOS"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = rt.design_adc(net, "uniform", reduction=4.0, **ASK)
    given, [held] = [], net.calibration.held_back.inputs
    net.head.register_forward_hook(lambda _, __, y: given.append(y))
    with torch.no_grad():
        net(held)
        for layer in rt.crossbar_layers(net).values():
            layer.set_adc([rt.UniformSAR(6, 1)])
        net(held)
    made, exact = given
    assert set(made) == {"cls_logits", "bbox_regression", "bbox_ctrness"}
    assert found.error == pytest.approx(error(exact, made), rel=1e-6)


def test_layers_weigh_by_their_effect_on_the_head():
    """The head of what is thrown away matters not at all, and nothing is said of equal weights."""
    net = found_nothing(calibrated("RetinaNet"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rt.design_adc(net, "uniform", reduction=3.0, **ASK)
    assert not [w for w in caught if "weigh the same" in str(w.message)]


def test_a_head_that_is_given_nothing_is_warned_of():
    net = calibrated("FasterRCNN")
    net.rpn.score_thresh = 2.0  # no proposals
    with pytest.warns(UserWarning, match=r"not finite .*holds nothing.* weigh the same"):
        found = rt.design_adc(net, "uniform", reduction=3.0, **ASK)
    assert found.error != found.error


def test_a_metric_sees_the_detections():
    net = calibrated("SSD")

    def metric(outputs, inputs, targets):
        assert [len(y) for y in outputs] == [len(x) for x in inputs] == [len(t) for t in targets]
        assert all(set(each) == {"boxes", "scores", "labels"} for y in outputs for each in y)
        return torch.stack([-each["scores"].sum() for y in outputs for each in y])

    data = [(images(), [{"boxes": torch.zeros(1, 4), "labels": torch.ones(1).long()}] * 4)]
    rt.calibrate(net, data, show_progress=False)
    found = rt.design_adc(net, "uniform", max_drop=0.5, metric=metric, **ASK)
    assert found.judged_by == "metric"
    assert found.drop <= 0.5
    with pytest.raises(ValueError, match=r"outputs, which are \[\{boxes: \(\d+, 4\), scores: "):
        rt.design_adc(net, "uniform", max_drop=0.5, **ASK)


class Selecting(nn.Module):
    """Boxes and scores of what passes, as detectors of other libraries than torchvision give them.

    Its head is called for each level of features.
    """

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 5)

    def forward(self, x):
        levels = [self.head(level) for level in (self.body(x).relu(), self.body(-x).relu())]
        rows = torch.cat(levels, 1)
        return {"found": [{"boxes": y[y[:, 4] > 9, :4], "scores": y[:, 4] > 9} for y in rows]}


def test_a_head_that_is_called_several_times_counts_whole():
    net = rt.convert(Selecting().eval())
    rt.calibrate(net, torch.rand(4, 7, 4), show_progress=False)
    outlet, [call] = Outlet(net), net.calibration.held_back.calls
    with torch.no_grad():
        for _ in range(2):  # the first run looks for the head
            made = outlet.run(call)
            assert outlet.name == "head"
            assert [tuple(y.shape) for y in made.compared] == [(1, 7, 5)] * 2
            assert holds_detections(made.output)
    assert rt.design_adc(net, "uniform", reduction=3.0, **ASK).error > 0


def test_a_budget_of_error_is_kept_at_the_head():
    net = rt.convert(Selecting().eval())
    rt.calibrate(net, torch.rand(8, 7, 4), show_progress=False)
    found = rt.design_adc(net, "uniform", max_error=0.02, **ASK)
    assert found.error_at == "head"
    assert 0 < found.error <= 0.02


def test_a_network_around_a_detector_is_looked_into():
    net = nn.DataParallel(found_nothing(calibrated("FCOS")))
    outlet, (call, _) = Outlet(net), call_of(images(), net, "batch")
    with torch.no_grad():
        outlet.run(call)
    assert outlet.name == "module.head"


def test_other_networks_are_compared_at_their_output(calibrated):
    outlet, [call, *_] = Outlet(calibrated), calibrated.calibration.calls
    with torch.no_grad():
        made = outlet.run(call)
    assert outlet.name == ""
    assert made.compared is made.output
    assert not holds_detections([{"boxes": torch.zeros(2, 4)}])


def test_a_list_of_images_is_one_input():
    """Of two, the second is no target; a tuple of images and targets is what it was."""
    net, two = calibrated("FCOS"), images(2)
    for batch in (two, tuple(two), images(3), images(1)):
        call, targets = call_of(batch, net, "batch")
        assert targets is None
        assert len(call) == len(batch)
        assert call.args[0] is batch
    answers = [{"boxes": torch.zeros(0, 4)}, {"boxes": torch.ones(1, 4)}]
    for batch in ((two, answers), (tuple(two), tuple(answers))):
        call, targets = call_of(batch, net, "batch")
        assert targets is batch[1]
        assert call.args[0] is batch[0]
    call, targets = call_of((two,), net, "batch")
    assert (call.args, targets) == ((two,), None)
