"""What commands accept as names and outputs, and what they show of the data."""

import os

import click
import pytest

from cache.errors import MelovError
from pipeline.cli import OutputFile
from stages.config import load_params
from stages.paths import dataset_name
from stages.section import ConfigError
from stages.shown import cell, markdown, plot, terminal


def test_control_characters_are_spelled_out_and_text_stays():
    assert terminal("a\x1b[31m\u202eb\n\u00e9") == "a\\x1b[31m\\u202eb\n\u00e9"
    assert [cell(x) for x in ("=1+1", "@a", "-3.5", "plain", 2)] == [
        "'=1+1",
        "'@a",
        "-3.5",
        "plain",
        2,
    ]
    assert markdown("a|<b>\n") == "a&#124;&lt;b&gt;\\n"
    assert plot(r"$\frac{a$") == r"\$\frac{a\$"


@pytest.mark.parametrize("name", ["my data", "v1.0", "../x", "-x", "", "a" * 65, "x\n", "d$x_$"])
def test_a_name_that_dvc_cannot_address_is_refused_everywhere(tmp_path, name):
    with pytest.raises(MelovError, match="letters, digits"):
        dataset_name(name)
    file = tmp_path / "params.yaml"
    file.write_text(f"datasets: [{name!r}]\n" if name.isprintable() else 'datasets: ["x\\n"]\n')
    with pytest.raises(MelovError, match="letters, digits"):
        load_params(file)


def test_an_output_is_a_file_or_a_link_to_one_and_the_link_stays(tmp_path):
    def convert(path):
        return OutputFile().convert(str(path), None, None)

    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "new").symlink_to("not-yet")
    (tmp_path / "lost").symlink_to("nowhere/file")
    os.mkfifo(tmp_path / "pipe")
    assert convert(tmp_path / "file") == tmp_path / "file"
    assert convert(tmp_path / "link") == tmp_path / "file"
    assert convert(tmp_path / "new") == tmp_path / "not-yet"
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "lost", "/dev/null"):
        with pytest.raises(click.BadParameter):
            convert(path)


@pytest.mark.parametrize(
    "assignments",
    [
        ("train.gcn_layers=100000",), ("train.learning_rate=1e300",), ("train.weight_decay=.inf",),
        (f"seeds=[{2**64}]",), ("train.d_z=8", "train.d_z=9"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_or_stands_twice_is_refused(tmp_path, assignments):
    (tmp_path / "params.yaml").write_text("{}")
    with pytest.raises(ConfigError):
        load_params(tmp_path / "params.yaml", None, assignments)
