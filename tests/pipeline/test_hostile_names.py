"""A data set whose every name is hostile goes through all commands, and nothing that they show or
write can move a terminal, start a spreadsheet's formula, or become HTML, a link or a formula."""

import csv
import json
import logging
import re
from pathlib import Path

import pytest

from pipeline.ending import log_to_stderr
from stages.shown import json_line, plot
from tests.support.tiny_project import call

HOSTILE = [
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\u202eevil", "\u2066x\u2069", "=1+1",
    "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\uff1d1+1", "a|b", "<script>alert(1)</script>",
    "</svg><b>", "$\\frac{a$", "d$x_$", "_hidden", "line\nbreak", "car\rriage", "\t=tab",
    "\\", "%s %d", "[x](http://e)", "![i](http://e)", "`c`", "{{ 7*7 }}", "&lt;", "'\"", "\u2028",
    "北京", "👍🏽", "W" * 200, "all", "seen", "poor", "error: done", "\x7f", "\u0085",
]  # fmt: skip
CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
GRID = """
seeds: [0]
runs: [{name: _x, variant: mimic}, {name: '=1 @', variant: mimic, train: {d_h: 9}}]
"""


def write_raw(raw: Path) -> None:
    """Entities, and three mentions of each in the splits; every text is one of HOSTILE."""
    entities, mentions = [], []
    for i, name in enumerate(HOSTILE):
        picture = f"pictures/{i}{name[:50].replace('/', ' ')}.png"
        if "\n" not in name and i % 2:
            (raw / picture).write_bytes(b"no picture")  # else it is missing
        entities.append(
            {"id": f"{name}{i}", "name": name, "description": f"{name} is {name}", "image": picture}
        )
        for split in ("train", "train", "valid", "test"):
            mentions.append(
                {"id": f"{name}{len(mentions)}", "mention": name, "sentence": f"{name} and {name}",
                 "answer": f"{name}{i}", "image_kind": name, "split": split, "image": picture,
                 name: 1}
            )  # fmt: skip
    for file, rows in (("entities", entities), ("mentions", mentions)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (raw / f"{file}.jsonl").write_text(text, encoding="utf-8")


def shown_by(step: str, *arguments: str) -> str:
    result = call(step, *arguments)
    assert result.exit_code == 0, (step, result.output, result.exception)
    return f"{result.stdout}\n{result.stderr}"


def require_harmless(text: str, where: object) -> None:
    found = CONTROL.search(text)
    assert found is None, (where, text[max(0, found.start() - 60) : found.end() + 20])


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
def test_nothing_that_is_shown_or_written_does_more_than_say(project):
    write_raw(project / "data/tiny/raw")
    (project / "g.yaml").write_text(GRID)
    fast = ["--set", "train.epochs=1"]
    words = [name for name in HOSTILE if name.strip()]
    new = project / "new.jsonl"
    new.write_text("".join(json.dumps({"mention": w, "id": w}) + "\n" for w in words))
    said = {
        "validate": shown_by("validate", "--source", "jsonl"),
        "prepare": shown_by("prepare", "--source", "jsonl"),
        "extract": shown_by("extract"),
        "graph": shown_by("graph"),
        "train": shown_by("train", *fast),
        "mimic": shown_by("train", "--variant", "mimic", *fast),
        "evaluate": shown_by("evaluate") + shown_by("evaluate", "--variant", "mimic"),
        "link": shown_by("link", "--mention", HOSTILE[0], "--sentence", "".join(HOSTILE)),
        "lines": shown_by("link", "--input", "new.jsonl"),
        "ablate": shown_by("ablate", "--grid", "g.yaml", *fast),
        "report": shown_by("report"),
        "verify": shown_by("verify"),
    }
    for step, text in said.items():
        # A progress bar, which appears after two seconds, returns to the start of its line.
        require_harmless(text.replace("\r", ""), step)
    lines = [json.loads(line) for line in said["lines"].splitlines() if line.startswith("{")]
    assert [line["mention"] for line in lines] == words

    written = [
        path for folder in ("data/tiny/extract", "runs", "metrics", "ablations", "reports")
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in (".csv", ".md", ".txt", ".html", ".json")
    ]  # fmt: skip
    assert {path.suffix for path in written} == {".csv", ".md", ".txt", ".html", ".json"}
    for path in written:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":  # read by programs; JSON itself spells what is below a blank
            assert not re.search("[\x00-\x09\x0b-\x1f]", text), path
        else:
            require_harmless(text, path)
        if path.suffix == ".csv":
            for row in csv.reader(text.splitlines()):
                for cell in row:
                    number = re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", cell)
                    assert number or not FORMULA.match(cell), (path, cell)
        if path.suffix == ".md":
            tables = [line for line in text.splitlines() if line.startswith("|")]
            assert tables
            for line in tables:
                assert not re.search(r"[<>`\[\]]", line), (path, line)
            for block in text.split("\n\n"):
                if block.startswith("|"):
                    assert len({line.count("|") for line in block.splitlines()}) == 1, block
        if path.suffix == ".html":
            assert "<script>alert" not in text
            assert "</svg><b>" not in text
            assert "49" not in re.findall(r"<td[^>]*>(\w+)</td>", text)
            names = ("北京", "$\\frac{a$", "_x") if path.name == "report.html" else ()
            for name in names:
                assert name in text, name


def test_a_log_line_and_a_json_line_are_spelled_out(capsys, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    log_to_stderr()
    logging.getLogger("stages.x").info("%s: odd", "\x1b[31m\u202e")
    logging.getLogger("torch").info("statistics")
    assert capsys.readouterr().err == "\\x1b[31m\\u202e: odd\n"
    for name in HOSTILE:
        for ascii in (False, True):
            line = json_line({name: name}, ascii)
            require_harmless(line, name)
            assert "\n" not in line
            assert json.loads(line) == {name: name}


def test_a_plot_shows_any_name_as_it_is():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name in HOSTILE:
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0], [0], label=plot(name))
        legend = axes.legend()
        FigureCanvasAgg(figure)
        (text,) = legend.get_texts()
        assert text.get_text()
        shown, is_math = text._preprocess_math(text.get_text())
        assert not is_math, name
        assert "\\$" not in shown.replace("\\frac", "")
