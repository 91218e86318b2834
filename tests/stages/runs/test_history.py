import csv

import pytest
from PIL import Image

from stages.runs.history import plot_history, write_history

START = {"epoch": 0, "tau": 0.5, "valid_mrr": 0.2, "valid_hits@1": 0.1}
HISTORY = [START] + [
    {"epoch": i, "loss": 0.1 + 0.2 * i, "loss_e": 3.0 / i, "loss_g": 1 / 3, "tau": 0.5}
    | {"valid_mrr": 0.3 + 0.1 * i, "valid_hits@1": 0.2}
    for i in (1, 2, 3)
]


@pytest.mark.parametrize("tau", [True, False])
def test_the_course_is_written_in_full_precision_and_the_same_each_time(tmp_path, tau):
    history = [{k: v for k, v in row.items() if tau or k != "tau"} for row in HISTORY]
    files = []
    for name in ("a", "b"):
        write_history(tmp_path / name / "history.csv", history)
        plot_history(tmp_path / name / "history.png", history, 3, "tiny: melov, seed 0")
        files.append(
            [(tmp_path / name / f"history.{kind}").read_bytes() for kind in ("csv", "png")]
        )
    assert files[0] == files[1]
    with (tmp_path / "a/history.csv").open() as file:
        said = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    assert said == history
    with Image.open(tmp_path / "a/history.png") as picture:
        picture.load()
        assert picture.width > 2 * picture.height


def test_another_course_is_another_picture(tmp_path):
    plot_history(tmp_path / "a.png", HISTORY, 3, "x")
    plot_history(tmp_path / "b.png", HISTORY[:2], 2, "x")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
