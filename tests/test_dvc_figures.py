"""DVC's own commands over the project, as its users know them: what they show fits a terminal,
needs no network, and works for who never ran the optional stages."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.documents import blocks
from tests.support.dvc_project import ROOT, DvcProject, ran

(SHOWN,) = {
    line for block in blocks("sh") for line in block.code.splitlines() if "--only-changed" in line
}
"""How the documents show experiments."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """One data set, all of it made; what the documents name is committed."""
    made = DvcProject(tmp_path_factory.mktemp("dvc") / "project")
    params = made.folder / "params.yaml"
    content = yaml.safe_load(params.read_text())
    params.write_text(yaml.safe_dump(content | {"datasets": ["a"]}, sort_keys=False))
    made.call("git", "commit", "--all", "--quiet", "--message", "one data set")
    made.repro()
    made.call("git", "add", "dvc.lock", "metrics")
    made.call("git", "commit", "--quiet", "--message", "First run")
    assert made.call("git", "status", "--short") == ""
    return made


@pytest.fixture(scope="module")
def tried(done: DvcProject) -> DvcProject:
    """The same with an experiment, whose files and parameters are in place."""
    made = done.copy(done.folder.with_name("tried"))
    made.dvc("exp", "run", "--quiet", "--name", "layers", "-S", "train.gcn_layers=1")
    assert made.files_of("a") != done.files_of("a")
    return made


@pytest.fixture
def project(tried: DvcProject, tmp_path: Path) -> DvcProject:
    return tried.copy(tmp_path / "project")


def test_figures_of_every_experiment_fit_eighty_columns(tried):
    words = re.findall(r"'[^']*'|\S+", SHOWN.partition("#")[0])
    table = tried.call(
        "env", "COLUMNS=80", *(word.strip("'") for word in words), "--no-pager"
    ).splitlines()
    assert max(map(len, table)) <= 80 - 2 * len("dem")  # with room for `demo` in two of them
    (head,) = [line for line in table if "Experiment" in line]
    assert head.split() == ["Experiment", "a.melov.H@1", "a.melov.MRR", "train.gcn_layers"]
    assert not any("…" in line for line in table)
    assert any("[layers]" in line for line in table)


def test_the_first_columns_are_the_figures_that_matter_first(tried):
    names = tried.dvc("exp", "show", "--csv").splitlines()[0].split(",")
    named = [name for name in names if name.startswith("a.")]
    assert named == [f"a.{v}.{rate}" for v in ("melov", "mimic") for rate in ("H@1", "MRR")]
    before = names[: names.index(named[0])]
    assert not any("." in name or "/" in name for name in before)


def test_metrics_diff_compares_with_the_commit(done, tried):
    assert done.dvc("metrics", "diff") == ""
    head, *rows = tried.dvc("metrics", "diff").splitlines()
    assert head.split() == ["Path", "Metric", "HEAD", "workspace", "Change"]
    assert len(rows) == 4
    for row in rows:
        path, name, *numbers = row.split()
        assert path == "metrics/a/overall.json"
        assert name.startswith("a.m")
        assert all(map(float, numbers)), row


def test_plots_are_shown_without_a_network(tried):
    assert "index.html" in tried.dvc("plots", "show")
    page = (tried.folder / "dvc_plots/index.html").read_text()
    assert "history.png" in page
    assert "//" not in page


def test_the_recipe_for_going_back_gives_every_file_back(done, project):
    project.call("git", "checkout", "--quiet", "params.yaml")
    assert ran(project.dvc("repro")) == ["train@a-melov-0", "evaluate@a-melov-0", "report@a"]
    assert project.files_of("a") == done.files_of("a")
    assert project.call("git", "status", "--short") == ""


def test_apply_and_checkout_do_without_the_optional_stages(project):
    optional = yaml.safe_load((ROOT / "data/demo/dvc.yaml").read_text())["stages"]
    assert {"vilt", "joint"} < optional.keys()
    assert (project.folder / "data/demo/dvc.yaml").is_file()
    assert not (project.folder / "data/demo/dvc.lock").exists()
    project.call("git", "checkout", "--quiet", "params.yaml")
    project.dvc("checkout")
    project.dvc("exp", "apply", "layers")
    assert yaml.safe_load((project.folder / "params.yaml").read_text())["train"]["gcn_layers"] == 1
    project.dvc("checkout")


def test_every_metric_and_plot_is_one_that_dvc_shows_without_help():
    """Metrics are in Git, or older commits have none; plots are pictures, or need scripts."""
    for file in (ROOT / "dvc.yaml", ROOT / "data/demo/dvc.yaml"):
        for name, stage in yaml.safe_load(file.read_text())["stages"].items():
            metrics = [next(iter(out)) for out in stage.get("metrics", [])]
            plots = [next(iter(out)) for out in stage.get("plots", [])]
            assert all(path.startswith("metrics/") for path in metrics), name
            assert all(path.endswith(".png") for path in plots), name
