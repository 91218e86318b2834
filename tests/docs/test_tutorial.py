"""The tutorial, block by block, as its reader goes through it."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages.encode import feature_job
from stages.ranking.coded_index import CodedIndex
from tests.support.documents import ROOT, Snippet, commands
from tests.support.tiny_encoders import build_clip_of

TUTORIAL = ROOT / "docs/tutorial.md"
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    project = tmp_path / "project"
    project.mkdir()
    build_clip_of(project / "encoder", image_size=32, patch_size=8)
    monkeypatch.chdir(project)
    encoded: list[int] = []
    texts = feature_job.encode_texts
    monkeypatch.setattr(
        feature_job, "encode_texts",
        lambda encoder, ids, *rest: encoded.append(len(ids)) or texts(encoder, ids, *rest),
    )  # fmt: skip
    made: list[int] = []
    opened = CodedIndex.opened

    def counted(*arguments):
        index = opened(*arguments)
        made.append(index.made)
        return index

    monkeypatch.setattr(CodedIndex, "opened", counted)
    page = TUTORIAL.read_text(encoding="utf-8")
    names: dict[str, object] = {}
    said: dict[str, str] = {}
    for match in FENCE.finditer(page):
        line = page.count("\n", 0, match.start()) + 2
        if match[1] == "python":
            code = "\n" * (line - 1) + match[2].replace('"/tmp"', repr(str(tmp_path)))
            exec(compile(code, TUTORIAL, "exec"), names)
            continue
        for words in commands(Snippet(TUTORIAL, line, match[2])):
            assert words[:2] == ["python", "-m"]
            step, arguments = words[2].removeprefix("pipeline."), words[3:]
            if step == "init":  # there is no hub where tests run
                arguments += ["--text-encoder", "encoder"]
            encoded.clear()
            made.clear()
            result = CliRunner().invoke(import_module(f"pipeline.{step}").main, arguments)
            assert result.exit_code == 0, (words, result.output)
            said[" ".join(words[2:])] = result.stdout
            if step == "extract":
                said["encoded"] = f"{said.get('encoded', '')} {sum(encoded)}"
    assert said["encoded"].split() == ["10", "5", "4"]
    assert made[0] == 4  # of the last link; other heads over the same entities have an index each
    (zero_shot,) = [text for command, text in said.items() if "zero-shot" in command]
    assert re.search(r"^ *1  Jaguar  ", zero_shot, re.MULTILINE)
    assert "uncalibrated" in zero_shot
    (new,) = [text for command, text in said.items() if "--mention Saturn" in command]
    assert re.search(r"^ *1  Saturn  ", new, re.MULTILINE)
    assert "Saturn" in capsys.readouterr().out
