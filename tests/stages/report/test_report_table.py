import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cache.errors import DamagedError, MelovError
from cache.sealed import Sealed
from stages.config import ReportConfig
from stages.datasets.records import Records
from stages.paths import DatasetPaths
from stages.ranking.metrics import METRICS
from stages.report.course import course_table
from stages.report.load_results import load_results
from stages.report.rate import Rate
from stages.report.report import report_folder, write_report
from stages.report.results import Results
from stages.report.table import (
    csv_report,
    main_table,
    markdown_report,
    part_table,
    poor_difference,
    text_report,
)
from tests.support import made_runs
from tests.support.resealed import reseal


def load(paths: DatasetPaths, variants=("melov", "mimic"), seeds=(0, 1)) -> Results:
    return load_results(paths, variants, seeds, Records.load(paths.records))


@pytest.fixture
def paths(tmp_path: Path) -> DatasetPaths:
    return made_runs.make_project(tmp_path)


def test_the_main_table_holds_means_computed_by_hand(paths):
    table = main_table(load(paths, seeds=(0,)))
    assert table.header == ("variant", "H@1", "H@3", "H@5", "MRR")
    # ranks 1 1 2 4 1 8 and 1 2 1 10 4 8
    mrr = (1 + 1 + 1 / 2 + 1 / 4 + 1 + 1 / 8) / 6
    assert table.rows[0] == ("melov", "50.00", "66.67", "83.33", f"{100 * mrr:.2f}")
    mrr = (1 + 1 / 2 + 1 + 1 / 10 + 1 / 4 + 1 / 8) / 6
    assert table.rows[1] == ("mimic", "33.33", "50.00", "66.67", f"{100 * mrr:.2f}")


def test_several_seeds_show_mean_and_sample_deviation(paths):
    # H@1 3/6 and 4/6: mean 58.33, deviation (4/6 - 3/6) / √2
    assert main_table(load(paths)).rows[0][1] == "58.33 ± 11.79"


def test_parts_stand_in_order_with_their_mentions(paths):
    rows = [row for row in part_table(load(paths, seeds=(0,))).rows if row[1] == "melov"]
    assert [(row[0], row[2]) for row in rows] == [
        ("seen", "4"),
        ("unseen", "2"),
        ("good", "3"),
        ("low_quality", "1"),
        ("low_value", "1"),
        ("missing", "1"),
        ("poor", "3"),
    ]
    # poor: ranks 4, 1, 8
    assert rows[-1][3:] == ("33.33", f"{100 * (1 / 4 + 1 + 1 / 8) / 3:.2f}")


def test_the_clean_part_stands_beside_the_whole_in_table_markdown_csv_and_page(tmp_path):
    records = made_runs.make_records(tmp_path, "tiny")
    clean = [True, True, False, True, True, False]
    for (variant, seed), ranks in made_runs.HAND.items():
        made_runs.make_run(tmp_path, records, variant, seed, ranks, clean=clean)
    paths = DatasetPaths("tiny", tmp_path)
    results = load(paths, seeds=(0,))
    first = part_table(results).rows[0]
    # melov's ranks 1 1 2 4 1 8 without the third and the last
    mrr = f"{100 * (1 + 1 + 1 / 4 + 1) / 4:.2f}"
    assert first == ("clean", "melov", "4", "75.00", mrr)
    text = text_report(results)
    assert re.search(rf"clean +melov +4 +75\.00 +{mrr}", text)
    assert "clean: nothing of the mention stands in training" in text
    assert f"| clean | melov | 4 | 75.00 | {mrr} |" in re.sub(" +", " ", markdown_report(results))
    assert "clean,4,melov,1,75.00" in csv_report(results)
    write_report(paths, ("melov", "mimic"), (0,), ReportConfig())
    page = (report_folder(paths) / "report.html").read_text()
    assert re.search(rf"clean</t[dh]>.*?<td[^>]*>4<.*?75\.00.*?{mrr}", page, re.DOTALL)


def test_the_difference_on_poor_pictures_has_its_sign_by_seed(paths):
    # melov 4 1 8 | 5 1 2, mimic 10 4 8 | 2 5 2
    h1, mrr = poor_difference(load(paths))
    assert h1 == "melov - mimic, poor pictures: H@1 +33.33 ± 0.00 points (above in 2 of 2 seeds)"
    gains = [
        100 * (1 / 4 + 1 + 1 / 8 - 1 / 10 - 1 / 4 - 1 / 8) / 3,
        100 * (1 / 5 + 1 + 1 / 2 - 1 / 2 - 1 / 5 - 1 / 2) / 3,
    ]
    assert f"MRR +{Rate(tuple(gains))} points (above in 2 of 2 seeds)" in mrr
    assert poor_difference(load(paths, variants=("melov",))) == []


def test_a_loss_keeps_its_minus_and_an_equal_seed_is_not_above(tmp_path):
    records = made_runs.make_records(tmp_path, "tiny")
    for seed, ours in ((0, [1, 1, 1, 2, 2, 2]), (1, [1, 1, 1, 1, 2, 2])):
        made_runs.make_run(tmp_path, records, "melov", seed, ours)
        made_runs.make_run(tmp_path, records, "mimic", seed, [1, 1, 1, 1, 2, 2])
    h1, _ = poor_difference(load(DatasetPaths("tiny", tmp_path)))
    assert "H@1 -16.67 ± 23.57 points (above in 0 of 2 seeds)" in h1


def test_the_text_is_aligned_and_fits_a_terminal(paths):
    text = text_report(load(paths))
    assert max(map(len, text.splitlines())) <= 100
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("part"))
    rows = lines[lines.index(header) + 2 :][:14]
    assert {len(row) for row in rows} == {len(header)}
    assert all("±" in row for row in rows)


def test_markdown_and_csv_hold_the_same_numbers_as_the_text(paths):
    results = load(paths)
    assert "| melov | 58.33 ± 11.79 |" in markdown_report(results)
    lines = csv_report(results).splitlines()
    assert lines[0].startswith("part,mentions,variant,seeds,H@1,H@1 std,")
    assert lines[1].startswith("all,6,melov,2,58.33,11.79,")
    assert len(lines) == 1 + 2 * 8
    assert csv_report(load(paths, seeds=(1,))).splitlines()[1].startswith("all,6,melov,1,66.67,,")


def test_a_data_set_without_kinds_has_seen_and_unseen_alone(tmp_path):
    results = load(made_runs.make_project(tmp_path, kinds=False, pictures=False))
    assert results.parts == ["test_seen", "test_unseen"]
    assert poor_difference(results) == []


def test_a_part_without_mentions_has_no_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(made_runs, "SEEN", [True] * 6)
    results = load(made_runs.make_project(tmp_path))
    assert results.rate("melov", "test_unseen", METRICS["mrr"]) is None
    assert ("unseen", "melov", "0", "–", "–") in part_table(results).rows
    assert "\nunseen,0,melov,2,,,,,,,,\n" in csv_report(results)


def test_a_test_bed_is_called_one_whatever_its_name(tmp_path):
    drawn = load(made_runs.make_project(tmp_path, "drawn", test_bed=True))
    said = "drawn is a test bed made by this project: no number here is a claim about WikiMEL."
    assert said in text_report(drawn)
    assert said in markdown_report(drawn)
    other = load(made_runs.make_project(tmp_path, "demo"))
    assert "WikiMEL" not in text_report(other)
    assert "frozen" in text_report(other)


def test_metrics_from_before_a_metric_was_declared_name_the_command(paths, monkeypatch):
    late = replace(METRICS["hits@3"], key="hits@2", title="H@2")
    monkeypatch.setitem(METRICS, "hits@2", late)
    with pytest.raises(MelovError, match="was written without H@2") as error:
        load(paths)
    assert "python -m pipeline.evaluate --dataset tiny" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("file", "step"),
    [("history.csv", "train"), ("metrics.json", "evaluate"), ("ranks.npz", "evaluate")],
)
def test_a_missing_file_names_the_run_and_the_command(paths, file, step):
    (paths.run("mimic", 1) / file).unlink()
    with pytest.raises(MelovError) as error:
        load(paths)
    assert "mimic-s1" in error.value.message
    command = f"python -m pipeline.{step} --dataset tiny --variant mimic --seed 1"
    assert command in (error.value.hint or "")


def test_a_variant_without_all_its_runs_is_left_out_and_named(paths):
    shutil.rmtree(paths.run("mimic", 1))
    results = load(paths)
    assert results.variants == ("melov",)
    command = "python -m pipeline.train --dataset tiny --variant mimic --seed 1"
    assert results.left_out == {"mimic": command}
    assert f"mimic is left out, it lacks a trained run:\n{command}" in text_report(results)
    shutil.rmtree(paths.run("melov", 0))
    with pytest.raises(MelovError, match=r"no trained run: .*melov-s0, .*mimic-s1"):
        load(paths)


def test_an_interval_is_students_and_needs_three_seeds():
    low, high = Rate((1.0, 2.0, 3.0)).interval or (0.0, 0.0)
    # deviation 1, t of two degrees of freedom at 0.975 is 4.3027
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert Rate((1.0, 2.0)).interval is None


@pytest.mark.parametrize("file", ["config.json", "metrics.json", "ranks.npz", "history.csv"])
def test_a_damaged_file_is_named(paths, file):
    (paths.run("melov", 0) / file).write_bytes(b"epoch\nhalf a ")
    with pytest.raises(MelovError, match=file):
        load(paths)


def test_a_run_of_other_records_is_refused(paths):
    records = Records.load(paths.records)
    test = records.mentions["test"]
    more = replace(records, mentions={**records.mentions, "test": pa.concat_tables([test, test])})
    with pytest.raises(MelovError, match="of other records than the present ones"):
        load_results(paths, ("melov",), (0,), more)
    more.__dict__["digest"] = records.digest
    with pytest.raises(MelovError, match="the records hold 12"):
        load_results(paths, ("melov",), (0,), more)


def test_seeds_of_other_settings_are_never_averaged(tmp_path):
    paths = made_runs.make_project(tmp_path)
    alone = report_of(paths)
    config = paths.run("melov", 1) / "config.json"
    reseal(config, lambda content: {**content, "train": {**content["train"], "d_z": 9}})
    run = {"run": Sealed.read(config).seal}
    reseal(
        config.with_name("metrics.json"),
        lambda content: {**content, "made_from": {**content["made_from"], **run}},
    )
    together = report_of(paths)
    one = next(line for line in together.splitlines() if line.startswith("melov "))
    assert "±" not in one
    assert "±" in next(line for line in alone.splitlines() if line.startswith("melov "))
    assert "±" in next(line for line in together.splitlines() if line.startswith("mimic "))
    assert "melov: over seed 0 alone; the settings of seed 1 are others." in together
    assert "melov-s1: other settings: train.d_z: above 64, here 9" in together
    words = (report_folder(paths) / "report.html").read_text(encoding="utf-8")
    assert "melov: over seed 0 alone" in words
    assert "Table of other runs" in words


def test_every_finished_run_is_shown_and_unfinished_ones_are_named(tmp_path):
    paths = made_runs.make_project(tmp_path)
    records = Records.load(paths.records)
    made_runs.make_run(tmp_path, records, "no-tau", 0, [1, 1, 1, 1, 1, 2])
    made_runs.make_run(tmp_path, records, "melov", 7, [1, 1, 1, 1, 1, 3])
    made_runs.make_run(tmp_path, records, "melov", 8, [1, 1, 1, 1, 1, 4])
    made_runs.make_run(tmp_path, records, "melov", 9, [1, 1, 1, 1, 1, 5])
    for name in ("ranks.npz", "metrics.json"):
        content = (paths.run("melov", 7) / name).read_bytes()
        (paths.run("melov", 9) / name).write_bytes(content)
    for name in ("ranks.npz", "predictions.csv", "metrics.json"):
        (paths.run("melov", 8) / name).unlink()
    text = report_of(paths)
    assert "no-tau-s0: not among the variants of the parameters" in text
    assert "melov-s7: not among the seeds of the parameters" in text
    assert "melov-s8: not evaluated: python -m pipeline.evaluate" in " ".join(text.split())
    assert "melov-s9: metrics.json: of other weights" in text
    assert "--variant melov --seed 9" in text
    assert any(line.split()[:2] == ["no-tau-s0", "83.33"] for line in text.splitlines())


@pytest.mark.parametrize("file", ["config.json", "metrics.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}")])
def test_a_damaged_run_that_no_mean_holds_is_an_error_too(tmp_path, file, damage):
    paths = made_runs.make_project(tmp_path)
    made_runs.make_run(tmp_path, Records.load(paths.records), "no-tau", 7, [1, 1, 1, 1, 1, 2])
    damage(paths.run("no-tau", 7) / file)
    with pytest.raises(DamagedError, match=rf"no-tau-s7/{file}: .*\n.*, or remove .*no-tau-s7"):
        report_of(paths)


def test_a_run_under_anothers_name_is_refused(tmp_path):
    paths = made_runs.make_project(tmp_path)
    paths.run("melov", 0).rename(tmp_path / "aside")
    paths.run("melov", 1).rename(paths.run("melov", 0))
    (tmp_path / "aside").rename(paths.run("melov", 1))
    with pytest.raises(MelovError, match="melov-s0: holds the run melov-s1"):
        report_of(paths)


def report_of(paths):
    """The text of a report of two variants and two seeds."""
    return write_report(paths, ("melov", "mimic"), (0, 1), ReportConfig())


def test_the_course_holds_the_start_against_the_best_epoch_by_hand(paths):
    results = load(paths)
    values = {0: (0.2, 0.5, 0.4), 1: (0.3, 0.3, 0.35)}
    runs = {
        (name, seed): replace(
            run, history=[{"epoch": e, "valid_mrr": v} for e, v in enumerate(own)]
        )
        for (name, seed), run in results.runs.items()
        for own in [values[seed] if name == "melov" else ()]
    }
    results = replace(results, runs=runs)
    table = course_table(results)
    assert table.header == ("variant", "MRR, start", "MRR, best epoch", "gain")
    # 20 to 50 and 30 to 35; mimic is not trained
    assert table.rows == [("melov", "25.00 ± 7.07", "42.50 ± 10.61", "+17.50 ± 17.68")]
    text = " ".join(text_report(results).split())
    assert "melov 25.00 ± 7.07 42.50 ± 10.61 +17.50 ± 17.68" in text
    assert "| melov | 25.00 ± 7.07 | 42.50 ± 10.61 | +17.50 ± 17.68 |" in markdown_report(results)
    nothing = {name: replace(run, history=[]) for name, run in runs.items()}
    assert course_table(replace(results, runs=nothing)) is None
