"""What the documents show works: code runs, commands parse, and what they name exists."""

import ast
import re
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml

from cache.errors import MelovError
from stages.ablation.grid import load_grid
from stages.config import SECTIONS, Params, load_params
from tests.support import makefile
from tests.support.commands import COMMANDS
from tests.support.documents import AT_TOP, DOCUMENTS, ROOT, Snippet, blocks, commands, spans
from tests.support.tiny_project import run
from tests.support.tiny_world import tiny_world

COMMAND = ["python", "-m"]
FOLDERS = (
    ".ci", ".github", "benchmarks", "cache", "docs", "grids", "pipeline", "stages", "tests",
)  # fmt: skip
SHELL = [block for language in ("sh", "bash") for block in blocks(language)]
SPANS = spans()


def at_place(snippet: Snippet) -> str:
    return snippet.place


def files() -> set[str]:
    """Every file of the project that Git keeps or would keep."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with the project's parameters and grids."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "grids").symlink_to(ROOT / "grids")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_documents_hold_code_of_each_kind():
    assert len(DOCUMENTS) > 5
    assert all([blocks("python"), blocks("yaml"), SHELL, SPANS])


OF_THEMSELVES = [block for block in blocks("python") if block.document.name != "tutorial.md"]
"""The tutorial's go on from each other (test_tutorial.py)."""


@pytest.mark.parametrize("block", OF_THEMSELVES, ids=at_place)
def test_python_runs(block, tmp_path_factory, monkeypatch):
    """On the tiny world, which is built in a second and has the demo's layout: `data/demo` in a
    block reads `data/tiny`, `runs/demo` a run of it, and `melov-demo` is this run's bundle."""
    monkeypatch.chdir(tiny_world(tmp_path_factory.getbasetemp()))
    if "runs/demo" in block.code or "melov-demo" in block.code:
        run("train", "--variant", "melov", "--set", "train.epochs=1")
    if "melov-demo" in block.code:
        run("bundle", "--output", "melov-demo")
    code = "\n" * (block.line - 1) + re.sub("(data|runs)/demo", r"\1/tiny", block.code)
    exec(compile(code, block.document, "exec"), {})


@pytest.mark.parametrize("block", blocks("yaml"), ids=at_place)
def test_yaml_is_a_part_of_params_or_a_grid(block, project):
    content = yaml.safe_load(block.code)
    if content.keys() <= Params.model_fields.keys():
        whole = yaml.safe_load((project / "params.yaml").read_text())
        (project / "params.yaml").write_text(yaml.safe_dump({**whole, **content}))
        for name in [None, *content.get("overrides", {})]:
            load_params(project / "params.yaml", name)
    else:
        (project / "grid.yaml").write_text(block.code)
        load_grid(project / "grid.yaml", load_params(project / "params.yaml"))


def parse(words: list[str], project: Path) -> None:
    """Parse `python -m pipeline.X …`, the values of --set included, and run nothing."""
    main = import_module(words[2]).main
    for word in words[3:]:
        if re.fullmatch(r"[\w-]+\.(zip|jpg|jsonl|h5)", word):  # a reader's own file
            (project / word).touch()
    given = main.make_context(words[2], words[3:]).params
    load_params(given["params"] or "params.yaml", given["dataset"], given["assignments"])


PIPELINE = [
    pytest.param(words, id=f"{block.place} {words[2]}")
    for block in SHELL
    for words in commands(block)
    if words[:2] == COMMAND and words[2].startswith("pipeline.")
]


@pytest.mark.parametrize("words", PIPELINE)
def test_a_command_line_parses(words, project):
    parse(words, project)


def test_command_lines_in_sentences_parse(project):
    """NAME, FOLDER and STEP stand for a reader's own, an ellipsis for whatever options."""
    found = [s for s in SPANS if s.code.startswith("python -m pipeline.") and "STEP" not in s.code]
    assert found
    for span in found:
        words = re.sub(r"\S*…", "", span.code).split()
        if words[-1] == "--set":
            words.pop()
        try:
            parse(words, project)
        except click.MissingParameter:
            assert len(words) == 3 or "…" in span.code, span.place  # only the command is named
        except click.UsageError as error:
            pytest.fail(f"{span.place}: {error.format_message()}")


def test_options_in_sentences_exist():
    """`--option` alone: some command has it."""
    mains = [import_module(f"pipeline.{name}").main for name in COMMANDS]
    known = {
        "--help",
        *(o for main in mains for p in main.params for o in (*p.opts, *p.secondary_opts)),
    }
    for span in SPANS:
        if match := re.match(r"--[a-z-]+", span.code):
            assert match[0] in known, f"{span.place}: no command has {match[0]}"


def test_a_mistyped_option_or_parameter_is_noticed(project):
    words = ["python", "-m", "pipeline.train", "--dataset", "demo"]
    with pytest.raises(click.NoSuchOption):
        parse([*words, "--varient", "melov"], project)
    with pytest.raises(MelovError, match=r"train\.d_w: unknown key"):
        parse([*words, "--set", "train.d_w=3"], project)


def test_make_is_called_with_its_own_targets_and_variables():
    shown = [(block, words) for block in SHELL for words in commands(block)]
    shown += [(span, span.code.split()) for span in SPANS]
    called = [(snippet, words) for snippet, words in shown if words[0] == "make"]
    assert len(called) > 10
    for snippet, words in called:
        targets, assigned = makefile.calls(" ".join(words))
        assert targets <= makefile.targets(), f"{snippet.place}: make has no {targets}"
        assert assigned <= makefile.variables(), f"{snippet.place}: make knows no {assigned}"


def test_files_and_modules_that_sentences_name_exist():
    known = files()
    names = {part for name in known for part in suffixes(name)}
    wrong = []
    for span in SPANS:
        code = span.code.rstrip("/")
        top = code.split("/")[0]
        if "/" in code and top in FOLDERS and " " not in code and "NAME" not in code:
            fine = (ROOT / code).exists()
        elif re.fullmatch(r"[\w/]+\.(py|yaml|toml|txt)", code) and not code.startswith("reports/"):
            fine = code in names
        elif re.fullmatch(r"(pipeline|stages|benchmarks)(\.[a-z_0-9]+)+", code):
            fine = find_spec(code) is not None
        else:
            continue
        if not fine:
            wrong.append(f"{span.place}: {span.code}")
    assert wrong == []


def anchors(document: Path) -> set[str]:
    """GitHub's, of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", AT_TOP, ids=lambda document: document.name)
def test_links_of_the_pages_at_the_top_lead_somewhere(document):
    """The site's build checks those of docs/."""
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    links = [link for link in links if "://" not in link]
    assert links
    for link in links:
        name, _, anchor = link.partition("#")
        assert (ROOT / name).is_file(), link
        assert not anchor or anchor in anchors(ROOT / name), link


def test_names_of_code_in_sentences_are_defined():
    """`CamelCase` and `CONSTANTS`, or a variable of the environment."""
    nodes = [
        node
        for folder in ("cache", "stages", "pipeline", "benchmarks", "tests/faults")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    known = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    known |= {node.id for node in nodes if isinstance(node, ast.Name)}
    known |= {node.value for node in nodes if isinstance(node, ast.Constant)}
    pattern = re.compile(r"[A-Z][A-Za-z]*[a-z]\w*|[A-Z]+_[A-Z_]+|[A-Z]{7,}")
    named = [(span, span.code.removesuffix("()").split(".")[0]) for span in SPANS]
    named = [(span, name) for span, name in named if pattern.fullmatch(name)]
    assert len(named) > 5
    assert [f"{span.place}: {name}" for span, name in named if name not in known] == []


def suffixes(name: str) -> list[str]:
    """`a/b.py` -> itself and `b.py`: sentences within a package's section shorten names."""
    parts = name.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def test_parameters_that_sentences_name_exist():
    """`section.key`, alone or with a value."""
    pattern = re.compile(rf"({'|'.join(SECTIONS)})\.(\w+)(?::? .*|=.*)?")
    ends = ("json", "html", "md", "csv", "py")
    found = [(span, match) for span in SPANS if (match := pattern.fullmatch(span.code))]
    found = [(span, match) for span, match in found if match[2] not in ends]
    assert len(found) > 20
    for span, match in found:
        section = Params.model_fields[match[1]].annotation
        assert match[2] in section.model_fields, f"{span.place}: no parameter {span.code}"
