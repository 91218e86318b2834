"""Finished runs that stand in no table of means: of other settings, or not asked for.

Seeds are averaged only where everything else agrees. A variant's row is of the runs that share
their settings with the first seed's; every other finished run of the data set is listed by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.errors import DamagedError, MelovError
from cache.fingerprint import Fingerprint
from stages.paths import DatasetPaths, run_named
from stages.report.run_files import read_config, read_metrics
from stages.runs.folder import MADE_FROM, RunFolder

SHOWN = 4
"""Differing settings that are named; the number of any others is."""


@dataclass(frozen=True)
class OtherRun:
    """A run by its folder's name, why it is not among the means, and its metrics of all test
    mentions; None where it is unfinished or of other records."""

    name: str
    why: str
    metrics: dict[str, Any] | None = None


def settings_of(folder: RunFolder) -> Fingerprint:
    """All of `config.json` but the seed; raises as `RunFolder.read_config` does."""
    content = folder.read_config().content
    return Fingerprint({key: value for key, value in content.items() if key != "seed"})


def same_settings(folders: Mapping[int, RunFolder]) -> tuple[int, ...]:
    """The seeds whose runs have the settings of the first one's."""
    first = settings_of(next(iter(folders.values())))
    return tuple(seed for seed, folder in folders.items() if settings_of(folder) == first)


def other_runs(
    paths: DatasetPaths, averaged: Mapping[tuple[str, int], RunFolder], records: str
) -> tuple[OtherRun, ...]:
    """Every run of the data set that no mean holds.

    Args:
        averaged: the folders of those that one holds, by variant and seed.
        records: the digest of the present records.

    Raises:
        DamagedError: a file of a run is not as it was written.
    """
    held = {folder.path for folder in averaged.values()}
    first = {variant: folder for (variant, _), folder in reversed(list(averaged.items()))}
    found = []
    for path in sorted((paths.root / "runs" / paths.dataset).glob("*-s*")):
        named = run_named(path.name)
        if named is not None and path not in held and path.is_dir():
            found.append(_other(named[0], RunFolder.of(paths, *named), first, records))
    return tuple(found)


def _other(
    variant: str, folder: RunFolder, averaged: Mapping[str, RunFolder], records: str
) -> OtherRun:
    path = folder.path
    try:
        read_config(folder)
        if not folder.is_evaluated:
            return OtherRun(path.name, f"not evaluated: {folder.evaluation}")
        content = read_metrics(folder, folder.evaluation).content
        if content[MADE_FROM].get("records") != records:
            said = f"evaluated on other records than the present ones: {folder.evaluation}"
            return OtherRun(path.name, said)
        metrics = content["test"]
    except DamagedError as error:
        raise DamagedError(error.message, f"{error.hint}, or remove {path}") from None
    except MelovError as error:
        why = error.message.removeprefix(f"{path}").lstrip("/: ")
        return OtherRun(path.name, why if error.hint is None else f"{why}: {error.hint}")
    if variant not in averaged:
        return OtherRun(path.name, "not among the variants of the parameters", metrics)
    differing = settings_of(averaged[variant]).differences(settings_of(folder))
    if not differing:
        return OtherRun(path.name, "not among the seeds of the parameters", metrics)
    named = [line.replace("stored", "above").replace("asked", "here") for line in differing]
    more = f", and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return OtherRun(path.name, f"other settings: {'; '.join(named[:SHOWN])}{more}", metrics)
