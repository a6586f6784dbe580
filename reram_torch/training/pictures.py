"""Pictures of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reram_torch.plots.figures import BLUE, GREEN, GREY, ORANGE, new_figure


def plot_training(
    lines: list[dict[str, Any]], path: str | Path, control: list[dict[str, Any]] | None = None
) -> None:
    """Loss and top-1 by epoch, and the reductions that ADCs were designed for.

    Args:
        lines: what `Fit.run` returned, one for each epoch.
        path: of the picture.
        control: likewise, of the float network trained on; dashed.
    """
    figure, (left, right) = new_figure(9.6, 3.8, 2)
    epochs = [line["epoch"] for line in lines]
    for run, style, mark, of in ((lines, "o-", 4, ""), (control or [], "o--", 3, "control, ")):
        x = [line["epoch"] for line in run]
        color = GREEN if of else BLUE
        if run:
            left.plot(x, [line["loss"] for line in run], style, color=color, ms=mark)
        for key, name, shade in (
            ("train_top1", "training", GREY), ("validation_top1", "validation", color),
        ):  # fmt: skip
            if run and key in run[0]:
                y = [line[key] for line in run]
                right.plot(x, y, style, color=shade, ms=mark, label=of + name)
    left.set_ylabel("training loss")
    right.set_ylabel("top-1")
    designed = [x for x in lines if "designed_reduction" in x]
    if designed:
        steps = right.twinx()
        x = [line["epoch"] for line in designed]
        y = [line["designed_reduction"] for line in designed]
        # The last design stays to the end.
        steps.step([*x, epochs[-1] + 0.5], [*y, y[-1]], where="post", color=ORANGE, lw=1.2)
        steps.set_ylim(0, 1.25 * max(y))
        steps.set_ylabel("reduction designed for (x)", color=ORANGE)
        steps.tick_params(axis="y", colors=ORANGE)
        steps.spines["top"].set_visible(False)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
    right.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path)
