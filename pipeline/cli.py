"""What every command shares: its common options, logging, and how a failure is shown.

A command finds its project from any working directory. Paths that a user types (`--project`,
`--params`, `--input` and so on) are relative to the working directory; paths in the project's own
files are relative to the project's folder.
"""

import functools
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cache.errors import MelovError
from cache.strict import special
from pipeline.ending import Command, echo, interrupted, log_to_stderr, message_of, unread
from stages.config import load_params
from stages.heads.variants import VARIANTS
from stages.paths import DatasetPaths
from stages.section import MOST_SEED, known

__all__ = [
    "OutputFile", "absolute", "command", "echo", "find_project", "run_options",
]  # fmt: skip

PARAMS = "params.yaml"


def command(
    help: str, resumes: bool = False, cls: type[Command] = Command
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a click command with --dataset, --project, --params, --set and --debug.

    The function receives `params` (resolved for the data set), `paths` (of the data set, below the
    project's folder), and its own options. How it ends: see `pipeline/ending.py`.

    Args:
        resumes: whether the same command goes on where an interrupted one was.
        cls: how its arguments are parsed.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            dataset: str, project: Path | None, params: Path | None, assignments: tuple[str, ...],
            debug: bool, **options: Any,
        ) -> None:  # fmt: skip
            log_to_stderr()
            root = Path()
            try:
                given = {"project": project, "params": params, "set": assignments, **options}
                _require_utf8({**given, "the working directory": Path.cwd()})
                root = _shown(project or find_project(Path.cwd()))
                resolved = load_params(params or root / PARAMS, dataset, assignments)
                function(params=resolved, paths=DatasetPaths(dataset, root), **options)
            except BrokenPipeError:
                unread()
            except KeyboardInterrupt:
                interrupted(resumes)
            except Exception as error:
                said = None if debug else message_of(error, root)
                if said is None:
                    raise
                echo(f"error: {said}", err=True)
                sys.exit(1)

        for option in reversed(_COMMON):
            run = option(run)
        return click.command(cls=cls, help=help, context_settings={"max_content_width": 100})(run)

    return decorate


_COMMON = (
    click.option("--dataset", required=True, metavar="NAME", help="The data set, as in data/NAME."),
    click.option(
        "--project", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
        help=f"The project's folder.  [default: the nearest one upwards that holds {PARAMS}]",
    ),
    click.option(
        "--params", type=click.Path(path_type=Path), metavar="FILE",
        help=f"The parameter file.  [default: {PARAMS} of the project]",
    ),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE",
        help="Override one parameter, such as train.gcn_layers=1; repeatable.",
    ),
    click.option("--debug", is_flag=True, help="Show the traceback of a failure."),
)  # fmt: skip


def run_options(function: Callable[..., None]) -> Callable[..., None]:
    """--variant and --seed: which run of a data set."""
    seeded = click.option(
        "--seed",
        type=click.IntRange(0, MOST_SEED),
        default=0,
        show_default=True,
        help="The run's seed.",
    )(function)
    return click.option(
        "--variant", callback=_variant, default="melov", show_default=True, metavar="NAME",
        help=f"The model, one of {', '.join(VARIANTS)}.",
    )(seeded)  # fmt: skip


def _variant(context: click.Context, option: click.Parameter, name: str) -> str:
    try:
        return known(name, VARIANTS)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def find_project(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds params.yaml.

    Raises:
        MelovError: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / PARAMS).is_file():
            return folder
    raise MelovError(
        f"{start}: no {PARAMS} here or in a folder above",
        "run inside a project, or name its folder: --project DIR",
    )


def absolute(path: Path) -> Path:
    """`path` below the working directory; symbolic links stay as they are."""
    return Path(os.path.abspath(path))


def _shown(path: Path) -> Path:
    """As short as possible: relative to the working directory where it lies inside."""
    path, here = absolute(path), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _require_utf8(given: dict[str, Any]) -> None:
    """Refuse a name that the project's own files, which are UTF-8, could not hold.

    Raises:
        MelovError: an option's text or path is not UTF-8.
    """
    for name, value in given.items():
        for text in value if isinstance(value, tuple) else (value,):
            try:
                str(text).encode()
            except UnicodeEncodeError:
                raise MelovError(
                    f"{name}: {str(text)!r} is not UTF-8", "rename the file or folder: mv OLD NEW"
                ) from None


class OutputFile(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A file that a user names to be written: new, or a regular file, also behind a link.

    A link is followed, so that its target is replaced and the link stays.
    """

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        try:
            target = path.resolve() if path.is_symlink() else path
            mode = target.stat().st_mode
        except FileNotFoundError:
            if path.is_symlink() and not target.parent.is_dir():
                self.fail(f"{path}: a link into a folder that is not there", param, ctx)
            return target
        except (OSError, RuntimeError, ValueError) as error:
            self.fail(f"{value}: {error}", param, ctx)
        if not stat.S_ISREG(mode):
            self.fail(
                f"{path}: {special(mode)}, expected a file's name; a command that can write to "
                "standard output does so without this option", param, ctx,
            )  # fmt: skip
        return target
