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
from click.core import ParameterSource

from cache.errors import MelovError
from cache.strict import special
from pipeline import defaults
from pipeline.ending import Command, echo, interrupted, log_to_stderr, message_of, unread
from stages.config import Params, load_params
from stages.heads.variants import VARIANTS
from stages.paths import DatasetPaths
from stages.section import MOST_SEED, assign_all, known, validated

__all__ = [
    "OutputFile", "OutputFolder", "absolute", "command", "echo", "encoder_options", "find_project",
    "linker_options", "require_bundles", "run_options",
]  # fmt: skip

PARAMS = "params.yaml"


def command(
    help: str,
    resumes: bool = False,
    cls: type[Command] = Command,
    instead: str | None = None,
    begins: bool = False,
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a click command with --dataset, --project, --params, --set and --debug.

    The function receives `params` (resolved for the data set), `paths` (of the data set, below the
    project's folder), and its own options. How it ends: see `pipeline/ending.py`.

    Args:
        resumes: whether the same command goes on where an interrupted one was.
        cls: how its arguments are parsed.
        instead: the option that may stand in the place of a project's data set; `paths` is None
            then.
        begins: whether it may begin a project: where there is no parameter file, the working folder
            is the project's, and the parameters are the package's defaults.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            dataset: str | None, project: Path | None, params: Path | None,
            assignments: tuple[str, ...], debug: bool, **options: Any,
        ) -> None:  # fmt: skip
            log_to_stderr()
            root = Path()
            alone = instead is not None and options[instead] is not None
            if alone == (dataset is not None):
                raise click.UsageError(f"give one of --dataset and --{instead}")
            if alone and project is not None:
                raise click.UsageError(f"--{instead} needs no --project")
            try:
                given = {"project": project, "params": params, "set": assignments, **options}
                _require_utf8({**given, "the working directory": Path.cwd()})
                paths = None
                if dataset is not None:
                    root = _shown(project or find_project(Path.cwd(), begins))
                    paths = DatasetPaths(dataset, root)
                    own = root / PARAMS
                    params = params or (defaults.PARAMS if begins and not own.exists() else own)
                resolved = _resolved(params, dataset, assignments)
                function(params=resolved, paths=paths, **options)
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

        for option in reversed((_dataset(required=instead is None), *_COMMON)):
            run = option(run)
        return click.command(cls=cls, help=help, context_settings={"max_content_width": 100})(run)

    return decorate


def _resolved(params: Path | None, dataset: str | None, assignments: tuple[str, ...]) -> Params:
    """The parameters of a file, or the defaults where there is none to read."""
    if params is not None:
        return load_params(params, dataset, assignments)
    raw: dict[str, Any] = {}
    assign_all(raw, assignments)
    return validated(Params, raw, "--set")


def _dataset(required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    help = "The data set, as in data/NAME."
    return click.option("--dataset", required=required, metavar="NAME", help=help)


_COMMON = (
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


def encoder_options(function: Callable[..., None]) -> Callable[..., None]:
    """--text-encoder and --image-encoder, with --bundle: where its encoder is."""
    for side in ("image", "text"):
        function = click.option(
            f"--{side}-encoder", metavar="DIR",
            help=f"With --bundle: the {side} encoder's folder, where it has moved.",
        )(function)  # fmt: skip
    return function


def linker_options(function: Callable[..., None]) -> Callable[..., None]:
    """--bundle with its encoders, or --variant and --seed: what links."""
    return click.option(
        "--bundle", metavar="DIR",
        help="In the place of --dataset, --variant and --seed: a folder that pipeline.bundle "
        "wrote, or its name on the hub.",
    )(encoder_options(run_options(function)))  # fmt: skip


def require_bundles(params: Params) -> None:
    """Raises UsageError where an option says what the bundle says."""
    context = click.get_current_context()
    for name in ("variant", "seed"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--bundle needs no --{name}")
    for name in ("text_encoder", "image_encoder"):
        if name in params.extract.model_fields_set:
            option = name.replace("_", "-")
            raise click.UsageError(f"with --bundle it is --{option}, not extract.{name}")


def _variant(context: click.Context, option: click.Parameter, name: str) -> str:
    try:
        return known(name, VARIANTS)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def find_project(start: Path, begins: bool = False) -> Path:
    """The nearest folder from `start` upwards that holds params.yaml; else `start`, to begin there.

    Raises:
        MelovError: there is none, and none begins.
    """
    for folder in (start, *start.parents):
        if (folder / PARAMS).is_file():
            return folder
    if begins:
        return start
    raise MelovError(
        f"{start}: no {PARAMS} here or in a folder above",
        "run inside a project, or name its folder: --project DIR; or begin one here: "
        "python -m pipeline.init NAME",
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


class OutputFolder(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A folder that a user names to be written: new, or a folder, also behind a link."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        try:
            target = path.resolve() if path.is_symlink() else absolute(path)
            mode = target.stat().st_mode
        except FileNotFoundError:
            return target
        except (OSError, RuntimeError, ValueError) as error:
            self.fail(f"{value}: {error}", param, ctx)
        if not stat.S_ISDIR(mode):
            said = "a file" if stat.S_ISREG(mode) else special(mode)
            self.fail(f"{path}: {said}, expected a folder's name", param, ctx)
        return target


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
