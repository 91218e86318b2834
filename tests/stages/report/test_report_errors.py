"""The page of all errors."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cache.errors import DamagedError
from stages.config import ReportConfig
from stages.datasets.records import Records
from stages.report.cases import firsts
from stages.report.errors import find_errors
from stages.report.load_results import load_results
from stages.report.report import report_folder, write_report
from tests.support import made_runs
from tests.support.resealed import reseal


def errors_of(paths):
    records = Records.load(paths.records)
    return find_errors(load_results(paths, ("melov", "mimic"), (0,), records), records)


def test_every_mention_whose_entity_is_not_first_stands_there_once(tmp_path):
    paths = made_runs.make_project(tmp_path)
    found = errors_of(paths)
    ranks = made_runs.HAND["melov", 0]
    assert (found.variant, found.seed, found.mentions) == ("melov", 0, 6)
    assert [(one.id, one.rank) for one in found.wrong] == [("t5", 8), ("t3", 4), ("t2", 2)]
    for one in found.wrong:
        row = int(one.id[1:])
        assert one.entity == f"Entity {row}"
        assert one.answer == "Entity 0"
        assert one.behind == ranks[row] - 1
        assert one.probability is None
        assert one.seen == made_runs.SEEN[row]
        assert one.kind == made_runs.KINDS[row]
    assert found.kinds == ["good", "low_value", "missing"]


def test_the_page_has_them_all_and_escapes_what_is_the_datas(tmp_path):
    paths = made_runs.make_project(tmp_path)
    write_report(paths, ("mimic", "melov"), (0,), ReportConfig())
    text = (report_folder(paths) / "errors.html").read_text(encoding="utf-8")
    assert len(re.findall("<tr data-rank", text)) == 3
    assert "3 of 6 test mentions" in text
    assert "&amp; &lt;more&gt;." in text
    report = (report_folder(paths) / "report.html").read_text(encoding="utf-8")
    assert '<a href="errors.html">All 3 errors of melov</a>' in report


def test_a_run_of_an_earlier_version_has_none_and_says_so(tmp_path):
    paths = made_runs.make_project(tmp_path)
    metrics = paths.run("melov", 0) / "metrics.json"
    reseal(metrics, lambda content: content, files=["ranks.npz"])
    assert "evaluate it again" in errors_of(paths).problem
    write_report(paths, ("melov", "mimic"), (0,), ReportConfig())
    assert "evaluate it again" in (report_folder(paths) / "errors.html").read_text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"split,id,mention", b"split,id,word"), (b"10.000000", b"nan"), (b"10.000000", b"x"),
        (b"test,t1", b"valid,t1"), (b"\ntest,t1,", b"\ntest,t1,,,"), (b"Word0", b"W\xff0"),
        (b"10.000000", b""),
    ],
)  # fmt: skip
def test_predictions_that_are_none_are_damage(tmp_path, old, new):
    paths = made_runs.make_project(tmp_path)
    file = paths.run("melov", 0) / "predictions.csv"
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new, 1))
    with pytest.raises(DamagedError, match=r"predictions\.csv"):
        errors_of(paths)
    reseal(paths.run("melov", 0) / "metrics.json")
    with pytest.raises(DamagedError, match=r"predictions\.csv: damaged"):
        errors_of(paths)


def test_no_case_is_shown_twice(tmp_path):
    paths = made_runs.make_project(tmp_path)
    records = Records.load(paths.records)
    rows = records.mentions["test"].take([0, 1, 0, 2, 1, 0])
    again = replace(records, mentions={**records.mentions, "test": rows})
    assert np.array_equal(firsts(again), [True, True, False, True, False, False])
