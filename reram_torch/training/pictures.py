"""Pictures of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reram_torch.plots.figures import BLUE, GREY, ORANGE, new_figure


def plot_training(lines: list[dict[str, Any]], path: str | Path) -> None:
    """Loss and top-1 by epoch, and the reductions that ADCs were designed for.

    Args:
        lines: what `Fit.run` returned, one for each epoch.
        path: of the picture.
    """
    figure, (left, right) = new_figure(9.6, 3.8, 2)
    epochs = [line["epoch"] for line in lines]
    left.plot(epochs, [line["loss"] for line in lines], "o-", color=BLUE, ms=4)
    left.set_ylabel("training loss")
    for key, name, color in (("train_top1", "training", GREY), ("top1", "test", BLUE)):
        right.plot(epochs, [line[key] for line in lines], "o-", color=color, ms=4, label=name)
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
