"""The few figures that stand first: as many columns as `dvc exp show` has room for."""

import json
from pathlib import Path

from cache.errors import DamagedError
from cache.sealed import digest_of
from cache.strict import read_regular
from stages.ranking.metrics import by_part
from stages.report.results import Results

CHECKSUM = "_checksum"
"""No name of a data set. In a list, of which DVC makes no column, as it would of a seal."""
Figures = dict[str, dict[str, dict[str, float]]]
"""By data set, variant and title."""


def overall(results: Results) -> Figures:
    """Of each variant the rates that are told by part, over all test mentions: means over seeds, in
    percent as in the tables. All below the data set's name: DVC puts a file's path before a name
    that two files have."""
    found: dict[str, dict[str, float]] = {}
    for variant in results.variants:
        rates = {metric.title: results.rate(variant, "test", metric) for metric in by_part()}
        found[variant] = {
            title: round(rate.mean, 2) for title, rate in rates.items() if rate is not None
        }
    return {results.dataset: found}


def file_of(figures: Figures) -> bytes:
    """What is in the file for DVC."""
    checksum = digest_of(json.dumps(figures).encode())
    return f"{json.dumps({**figures, CHECKSUM: [checksum]}, indent=1)}\n".encode()


def require_whole(path: Path) -> None:
    """Read the file for DVC, of whatever time it may be.

    Raises:
        OSError: it cannot be read.
        DamagedError: it is not as it was written.
    """
    data = read_regular(path, DamagedError)
    try:
        found = json.loads(data)
        found.pop(CHECKSUM)
        whole = file_of(found) == data
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise DamagedError(f"{path}: damaged: not as it was written")
