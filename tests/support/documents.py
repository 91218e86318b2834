"""What the pages at the top and docs/ say in code: fenced blocks, inline code, command lines."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from types import ModuleType

ROOT = Path(__file__).parents[2]
AT_TOP = tuple(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))
DOCUMENTS = (*AT_TOP, *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """Code in a document; `line` is its first one."""

    document: Path
    line: int
    code: str

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Snippet]:
    """Fenced blocks of a language in all documents."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[2] == language:
                line = text.count("\n", 0, match.start()) + 2
                found.append(Snippet(document, line, dedent(match[3])))
    return found


def spans() -> list[Snippet]:
    """Inline code of all documents, outside of fenced blocks."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        # Blocks become blank lines, so that lines keep their numbers.
        text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
        for match in re.finditer(r"`([^`]+)`", text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(document, line, " ".join(match[1].split())))
    return found


def commands(block: Snippet) -> Iterator[list[str]]:
    """Words of each command of a shell block, with the values that the block gives its variables.

    A loop's variable has its first value; a line that calls `$(…)` only defines one, as `computed`.
    """
    text = re.sub(r"\\\n\s*", " ", block.code)
    values = dict(re.findall(r"for (\w+) in (\w\S*)", text))
    values |= dict(re.findall(r"^(\w+)=([\w./-]+)$", text, re.MULTILINE))
    values |= dict.fromkeys(re.findall(r"^(\w+)=\$\(", text, re.MULTILINE), "computed")
    for line in (line for line in text.splitlines() if "$(" not in line):
        for command in re.split(r"&&|;", line):
            command = re.sub(r"\$(\w+)", lambda match: values[match[1]], command)
            if words := shlex.split(command, comments=True):
                yield words


@contextmanager
def hook(name: str) -> Iterator[ModuleType]:
    """A module of docs/hooks, which is no package."""
    spec = spec_from_file_location(name, ROOT / f"docs/hooks/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look there
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]
