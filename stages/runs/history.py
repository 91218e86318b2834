"""The course of a run: history.csv and a training curve as a picture."""

import csv
from pathlib import Path

from cache.files import atomic_path
from stages.ranking.metrics import validated
from stages.shown import plot


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """One row an epoch, full precision, so that equal runs give equal files; none where nothing is
    trained. The start's losses are blank."""
    columns = ["epoch", "loss", "loss_e", "loss_g", *(f"valid_{m.key}" for m in validated())]
    columns = list(history[-1]) if history else columns
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def plot_history(path: Path, history: list[dict[str, float]], best_epoch: int, title: str) -> None:
    """Losses on the left, the validation metrics and τ on the right."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    epochs, learned = [row["epoch"] for row in history], [row for row in history if "loss" in row]
    after = [row["epoch"] for row in learned]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(after, [row["loss_e"] for row in learned], marker="o", label="$L_E$ (eq. 7)")
        left.set(xlabel="epoch", ylabel="training loss $L_E$")
        if not history:
            figure.text(0.5, 0.5, "nothing is trained", ha="center")
        if any(row["loss_g"] for row in learned):
            twin = left.twinx()
            twin.plot(
                after, [row["loss_g"] for row in learned], color="tab:gray", label="$L_G$ (eq. 2)"
            )
            twin.set_ylabel("$L_G$", color="tab:gray")
            twin.spines["right"].set_visible(True)
        for metric, marker in zip(validated(), "osD^vX", strict=False):
            values = [row[f"valid_{metric.key}"] for row in history]
            right.plot(epochs, values, marker=marker, label=metric.title)
        if history and "tau" in history[0]:
            right.plot(epochs, [row["tau"] for row in history], "--", color="tab:gray", label="τ")
        if history:
            label = f"best epoch ({best_epoch})"
            right.axvline(best_epoch, color="tab:green", lw=1, label=label)
        right.set(xlabel="epoch", ylabel="validation", ylim=(0, 1))
        right.legend(frameon=False)
        figure.suptitle(plot(title))
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
