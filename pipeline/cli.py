"""What every command shares: its common options, logging, and how a failure is shown."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from cache.errors import MelovError
from stages.config import Params, load_params
from stages.heads.variants import VARIANTS


def command(help: str, dataset: bool = True) -> Callable[[Callable[..., None]], click.Command]:
    """Make a click command with --dataset, --params, --set and --debug.

    The function receives `params` (resolved for the data set), `dataset`, and its own options.
    Exit codes: 0 done, 1 a failure with one message, 2 wrong usage.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            params: str,
            assignments: tuple[str, ...],
            debug: bool,
            dataset: str | None = None,
            **options: Any,
        ) -> None:
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
            for noisy in ("httpx", "matplotlib", "fontTools", "PIL"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
            try:
                resolved: Params = load_params(params, dataset, assignments)
                if dataset is not None:
                    options["dataset"] = dataset
                function(params=resolved, **options)
            except (MelovError, OSError, MemoryError) as error:
                if debug:
                    raise
                click.echo(f"error: {_message(error)}", err=True)
                sys.exit(1)

        result = click.option("--debug", is_flag=True, help="Show the traceback of a failure.")(run)
        result = click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override one parameter, such as train.gcn_layers=1; repeatable.",
        )(result)
        result = click.option(
            "--params",
            default="params.yaml",
            show_default=True,
            metavar="FILE",
            help="The parameter file.",
        )(result)
        if dataset:
            result = click.option(
                "--dataset", required=True, metavar="NAME", help="The data set, as in data/NAME."
            )(result)
        return click.command(help=help, context_settings={"max_content_width": 100})(result)

    return decorate


def run_options(function: Callable[..., None]) -> Callable[..., None]:
    """--variant and --seed: which run of a data set."""
    seeded = click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The run's seed."
    )(function)
    return click.option(
        "--variant", type=click.Choice(list(VARIANTS)), default="melov", show_default=True,
        help="The model: melov, a part of it left out, mimic (nothing repaired), or a baseline.",
    )(seeded)  # fmt: skip


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
