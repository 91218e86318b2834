"""The Makefile's targets and variables, and the targets that a text calls."""

import re
from pathlib import Path

MAKEFILE = Path(__file__).parents[2] / "Makefile"


def targets() -> set[str]:
    """Names of all rules that can be called."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE.read_text(), re.MULTILINE))


def variables() -> set[str]:
    """Names that `make NAME=value` may set."""
    return set(re.findall(r"^([A-Z]+) \?=", MAKEFILE.read_text(), re.MULTILINE))


def calls(command: str) -> tuple[set[str], set[str]]:
    """Targets and variables of one `make …` command line."""
    words = command.split()[1:]
    assigned = {word.split("=")[0] for word in words if "=" in word}
    return {word for word in words if "=" not in word and not word.startswith("-")}, assigned
