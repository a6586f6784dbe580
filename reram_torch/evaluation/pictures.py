"""Pictures of a sweep."""

from __future__ import annotations

from pathlib import Path

from reram_torch.plots.figures import BLUE, GREEN, GREY, ORANGE, new_figure


def plot_sweep(rows: list[dict[str, str]], path: str | Path) -> None:
    """Top-1 against reduction of the rows of a sweep, with the bound of lossless search.

    Args:
        rows: as `sweeps.SweepRows` has them.
        path: of the picture.
    """
    figure, (axis,) = new_figure(8.2, 4.8)
    curves: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    bounds: list[tuple[float, str]] = []
    for row in rows:
        if row["config"] == "float":
            axis.axhline(float(row["top1"]), color=GREY, lw=1, ls="--", label="float")
        elif row["config"] == "bound":
            if row["budget"] == "entropy":
                at = float(row["reduction"])
                axis.axvline(at, color=GREY, lw=1, ls=":")
                bounds.append(
                    (at, f" no lossless search passes this\n (entropy, {row['encoding']})")
                )
        else:
            key = (row["config"], row["granularity"], row["encoding"])
            numbers = (float(row[name] or 0) for name in ("reduction", "top1", "top1_error"))
            across, up, error = numbers
            curves.setdefault(key, []).append((across, up, error))
    colors = [BLUE, ORANGE, GREEN, "#9a4fb0", "#c0392b", "#00838f", "#6d4c41", "#616161"]
    for k, ((name, granularity, encoding), points) in enumerate(curves.items()):
        x, y, spread = zip(*sorted(points), strict=True)
        label = f"{name.replace('_', ' ')}, {granularity.replace('+', ' x ')}, {encoding}"
        axis.errorbar(
            x, y, yerr=spread, fmt="osD^vP*X"[k % 8] + "-", color=colors[k % 8], ms=5, lw=1.4,
            elinewidth=0.7, capsize=2, label=label,
        )  # fmt: skip
    axis.set_xlabel("reduction of A/D operations over the ISAAC baseline (x)")
    axis.set_ylabel("top-1, with standard errors")
    axis.grid(alpha=0.25)
    for k, (at, text) in enumerate(sorted(bounds)):  # stacked: bounds of encodings lie close
        axis.text(at, 0.03 + 0.09 * k, text, transform=axis.get_xaxis_transform(), color="#555",
                  fontsize=8, va="bottom")  # fmt: skip
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    figure.savefig(path)
