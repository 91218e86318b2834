"""Every command under one name: `melov extract --dataset wikimel` is `python -m pipeline.extract
--dataset wikimel`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

STEPS = (
    "init", "validate", "prepare", "audit", "encoders", "extract", "joint", "graph", "train",
    "evaluate", "report", "ablate", "link", "serve", "bundle", "transfer", "export", "load",
    "verify", "demo", "demo_encoder", "demo_vilt", "nearness",
)  # fmt: skip
"""In the order in which one would call them."""


class Steps(click.Group):
    """Imports the command that is called and no other: each takes a second or more."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        name, *rest = [*(sys.argv[1:] if args is None else args)] or [""]
        step = self.get_command(click.Context(self), name)
        if step is None:
            return super().main(args, *more, **{"prog_name": "melov", **extra})
        return step.main(rest, *more, **{"prog_name": f"melov {name}", **extra})  # how it ends, too

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(STEPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in STEPS:
            return None
        found: click.Command = import_module(f"pipeline.{cmd_name}").main
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told(name)) for name in STEPS])


def told(step: str) -> str:
    """What a command says that it does, read out of its source.

    Raises:
        ValueError: it says nothing.
    """
    source = Path(__file__).with_name(f"{step}.py").read_text(encoding="utf-8")
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "command":
            return str(ast.literal_eval(call.args[0]))
    raise ValueError(f"{step}: no command")


@click.command(
    "melov", cls=Steps, context_settings={"max_content_width": 100},
    help="Multimodal entity linking on cached features; `melov COMMAND --help` tells of each.",
)  # fmt: skip
@click.version_option(package_name="melov-cache")
def main() -> None:
    """Subcommands do everything."""


if __name__ == "__main__":
    main()
