"""Evaluation: what it finds, and that a stopped one goes on."""

import json
import math
import os
import signal
import subprocess
import time

import pytest
import torch
from programs import run_command, script_command
from torch.utils.data import DataLoader, TensorDataset

import reram_torch as rt
from reram_torch.data import sets
from reram_torch.evaluation.outcomes import Evaluation
from reram_torch.evaluation.results import Results
from reram_torch.evaluation.scoring import Kept, evaluate, score


@pytest.fixture
def images():
    return TensorDataset(torch.rand(22, 1, 32, 32), torch.randint(10, (22,)))


def same(one, other):
    fields = ("labels", "ranked", "digests", "unreadable")
    return all(
        torch.equal(torch.as_tensor(getattr(one, f)), torch.as_tensor(getattr(other, f)))
        for f in fields
    )


def stopping(net, batch, number):
    """Sends a signal when the network sees its batch of this number."""
    calls = []

    def hook(*_):
        calls.append(None)
        if len(calls) == batch:
            os.kill(os.getpid(), number)

    return net.register_forward_hook(hook), calls


def test_what_is_found(lenet, images):
    found = score(lenet, images, batch_size=5)
    with torch.no_grad():
        scores = lenet(images.tensors[0])
    labels = images.tensors[1]
    assert torch.equal(found.answers, scores.argmax(1).int())
    assert found.top1 == float((scores.argmax(1) == labels).double().mean())
    best = scores.topk(5).indices
    assert found.top5 == float((best == labels[:, None]).any(1).double().mean())
    assert found.unreadable == 0
    assert (found.score, found.score_error) == (found.top1, found.top1_error)


def answering(labels, answers):
    """An evaluation that found these answers."""
    labels, answers = torch.tensor(labels), torch.tensor(answers).int()
    return Evaluation(torch.zeros(len(labels)), 1.0, 0, labels, answers[:, None])


def test_paired_errors_by_hand():
    """Of eight images the other network has six right, this one four of those and one more."""
    other = answering([0] * 8, [0, 0, 0, 0, 0, 0, 1, 1])
    own = answering([0] * 8, [0, 0, 0, 0, 1, 1, 0, 2])
    lost, error = own.lost_against(other)
    assert lost == (2 - 1) / 8
    # What each image loses: 0 0 0 0 1 1 -1 0; its mean square is 3/8, its mean 1/8.
    assert error == pytest.approx(math.sqrt((3 / 8 - (1 / 8) ** 2) / 8))
    assert other.lost_against(own) == (-lost, pytest.approx(error))
    assert own.lost_against(own) == (0.0, 0.0)
    assert own.top1_error == pytest.approx(math.sqrt(5 / 8 * 3 / 8 / 8))
    assert error < math.hypot(own.top1_error, other.top1_error)
    with pytest.raises(ValueError, match="on the same images only"):
        own.lost_against(answering([1] * 8, [0] * 8))


def test_losses_stand_in_the_row_and_in_the_table(calibrated, lenet, images):
    results = Results(None, {}, images, 8)
    floating = results.measure("float", lenet, metered=False)
    exact = results.measure("exact", calibrated, floating=floating)
    for layer in rt.crossbar_layers(calibrated).values():
        layer.set_adc([rt.UniformSAR(3, 16)])
    made = results.measure("coarse", calibrated, exact=exact, floating=floating)
    row = results.rows[-1]
    for against, other in (("float", floating), ("lossless", exact)):
        found = row[f"lost_to_{against}"], row[f"lost_to_{against}_error"]
        assert found == made.lost_against(other)
        assert f"{found[0]:+.4f} +- {found[1]:.4f}" in results.table()
    assert row["answers_changed"] == int((made.answers != exact.answers).sum())
    total = results.reports["coarse"].total
    assert row["reduction_over_plain_sar"] == total.times_less("comparisons", "plain_sar") == 8 / 3
    assert row["adc_energy_over_activity_sar"] == total.times_less("adc_energy_pj", "activity_sar")
    energy = results.reports["coarse"].adc_energy_pj / 22
    assert row["adc_energy_uj_per_image"] == pytest.approx(energy * 1e-6)
    assert "lost_to_float" not in results.rows[0]


def test_digests_tell_outputs_apart(lenet, images):
    one = evaluate(lenet, DataLoader(images, 5), show_progress=False)
    assert torch.equal(one.digests, evaluate(lenet, DataLoader(images, 5)).digests)
    lenet.fc3.bias.data[7] += 1e-6  # the least significant bits of one class
    other = evaluate(lenet, DataLoader(images, 5))
    assert not torch.equal(one.digests, other.digests)


@pytest.mark.parametrize(
    "form",
    [lambda y: y.to(torch.uint8), lambda y: y.float(), lambda y: y[:, None], lambda y: y.tolist()],
    ids=["uint8", "float", "column", "list"],
)
def test_labels_of_any_type_are_labels(lenet, form):
    x, y = torch.rand(30, 1, 32, 32), torch.arange(30) % 10
    wanted = evaluate(lenet, [(x, y)], show_progress=False)
    found = evaluate(lenet, [(x, form(y))], show_progress=False)
    assert torch.equal(found.labels, wanted.labels)
    assert (found.top1, found.top1_error) == (wanted.top1, wanted.top1_error)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.arange(10) - 1, "a target is -1: labels are from 0 on"),
        (torch.rand(10), "targets must be whole numbers"),
        (torch.rand(10, 10), r"\(10, 10\) targets .* one label for each is needed"),
    ],
)
def test_what_are_no_labels_are_refused(lenet, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(lenet, [(torch.rand(10, 1, 32, 32), labels)], show_progress=False)


def test_labels_of_other_classes_are_refused(lenet, images):
    images.tensors[1][3] = 10
    with pytest.raises(ValueError, match="a label is 10, but the network has 10 outputs"):
        evaluate(lenet, DataLoader(images, 5))


def test_images_that_cannot_be_read_do_not_count(lenet, images):
    class Damaged(torch.utils.data.Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, k):
            return None if k in (1, 10, 11, 12, 13, 14) else images[k]

    found = evaluate(lenet, sets.loader(Damaged(), 5))  # one batch is lost whole
    assert (found.items, found.unreadable) == (16, 6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_evaluation_goes_on(calibrated, images, tmp_path, number):
    with rt.PowerMeter(calibrated, histograms=True) as meter:
        whole = score(calibrated, images, batch_size=5, meter=meter)
    wanted = meter.report("isaac", adc_model="sar").to_dict()
    handle, calls = stopping(calibrated, 3, number)
    with rt.PowerMeter(calibrated, histograms=True) as meter:
        kept = Kept(tmp_path / "kept.pt", {"a": 1}, meter)
        with pytest.raises(KeyboardInterrupt):
            score(calibrated, images, batch_size=5, meter=meter, kept=kept)
    with rt.PowerMeter(calibrated, histograms=True) as meter:
        kept = Kept(tmp_path / "kept.pt", {"a": 1}, meter)
        again = score(calibrated, images, batch_size=5, meter=meter, kept=kept)
    handle.remove()
    assert len(calls) == 5  # no batch twice
    assert same(whole, again)
    assert meter.report("isaac", adc_model="sar").to_dict() == wanted
    assert meter.inferences == 22


def test_what_another_run_left_is_not_mixed_in(calibrated, images, tmp_path):
    kept = Kept(tmp_path / "kept.pt", {"a": 1}, every=0)
    evaluate(calibrated, DataLoader(images, 5), kept=kept)
    assert Kept(tmp_path / "kept.pt", {"a": 2}).load() is None
    with rt.PowerMeter(calibrated) as meter:
        kept = Kept(tmp_path / "kept.pt", {"a": 1}, meter, every=0)
        evaluate(calibrated, DataLoader(images, 20), kept=Kept(tmp_path / "b.pt", {}, meter, 0))
    calibrated.conv1.set_adc([rt.UniformSAR(7, 2)])
    with rt.PowerMeter(calibrated) as meter:
        assert Kept(tmp_path / "b.pt", {}, meter).load() is None
    assert meter.inferences == 0


def test_results_are_written_after_each_network(calibrated, lenet, images, tmp_path):
    path = tmp_path / "new" / "r.json"
    results = Results(path, {"x": 1}, images, 8)
    exact = results.measure("float", lenet, metered=False)
    assert [r["network"] for r in json.loads(path.read_text())["results"]] == ["float"]
    results.measure("plain", calibrated, exact=exact)
    rows = json.loads(path.read_text())["results"]
    assert rows[1]["images"] == 22
    assert rows[1]["reduction"] == 1.0
    assert rows[1]["answers_changed"] <= 22
    assert "plain" in results.table()
    assert results.restore("plain", calibrated) is None
    results.keep("plain", calibrated, {"drop": None})
    calibrated.conv1.set_adc([rt.UniformSAR(7, 2)])
    resumed = Results(path, {"x": 1}, images, 8, resume=True)
    assert resumed.restore("plain", calibrated) == {"drop": None}
    assert calibrated.conv1.adc == (rt.UniformSAR(8),)
    assert [r["network"] for r in resumed.rows] == ["float", "plain"]
    with pytest.raises(ValueError, match="was made with x=1, not 2: resume with the same"):
        Results(path, {"x": 2}, images, 8, resume=True)
    assert Results(path, {"x": 1}, images, 4, resume=True).restore("plain", calibrated) is None
    resumed.finish()
    assert [p.name for p in path.parent.iterdir()] == ["r.json"]


@pytest.mark.slow
def test_a_stopped_script_resumes(tmp_path):
    pytest.importorskip("sklearn")

    def options(name):
        return (
            "evaluate", "--model", "lenet5", "--data", "digits", "--batch-size", 4, "--threads", 1,
            "--calibration-images", 64, "--config", "twin_range", "newton", "--limit", 120,
            "--json", tmp_path / name,
        )  # fmt: skip

    whole = run_command(*options("one.json"))
    assert whole.returncode == 0, whole.stderr
    parts = tmp_path / "two.json.parts"
    command = script_command(*options("two.json"))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (parts / "twin_range.adcs.pt").is_file() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate()
    assert process.returncode == 130, error
    assert "stopped; what was written so far is kept" in error
    assert (parts / "float.0.pt").is_file()
    again = run_command(*options("two.json"), "--resume")
    assert again.returncode == 0, again.stderr
    one, two = (json.loads((tmp_path / n).read_text())["results"] for n in ("one.json", "two.json"))
    for a, b in zip(one, two, strict=True):
        untimed = ({k: v for k, v in row.items() if "seconds" not in k} for row in (a, b))
        assert next(untimed) == next(untimed)
    assert not parts.exists()
