"""The files of runs and grids, read back as tables and figures need them.

A right checksum says who wrote a file last: a number that no run can have is an error here, not a
strange row in a table.
"""

import csv
import io
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cache.errors import DamagedError, MelovError, reason
from cache.npz import read_npz
from cache.sealed import Sealed
from cache.strict import parse_json
from stages.heads.variants import VARIANTS
from stages.ranking.answers import ANSWER_METRICS, Answers
from stages.ranking.metrics import METRICS, validated
from stages.runs.folder import BEFORE, MADE_FROM, PROBABILITY, RANKED, UNCALIBRATED, RunFolder
from stages.runs.predictions import ABOUT, TOP, of_each
from stages.runs.yardsticks import UNTRAINED

LOSSES = ("loss", "loss_e", "loss_g")
LARGEST = 1e15
"""A mean rank of more entities than that is none; NaN and infinity are none either."""
RUN_NAME = re.compile(r"[^/\0]+")
"""Of a grid's run: it names a folder."""
GRID_SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("variant", pa.string()),
        ("seed", pa.int64()),
        ("settings", pa.string()),
    ]
)
"""The columns of runs.parquet that a report reads."""


def read_config(folder: RunFolder) -> Sealed:
    """`config.json`; raises as `RunFolder.read_config` does, and DamagedError where it does not say
    what the run was made from."""
    sealed = folder.read_config()
    for key in ("provenance", "train"):
        if not isinstance(sealed.content.get(key), dict):
            _damaged(sealed, f"no '{key}'")
    return sealed


def read_metrics(folder: RunFolder, evaluate: str) -> Sealed:
    """`metrics.json`, each part with its counts and numbers within their ranges.

    Args:
        evaluate: the command that writes it, for messages.

    Raises:
        MelovError: there is none, or as `RunFolder.read_metrics` raises.
        DamagedError: it holds no metrics.
    """
    try:
        sealed = folder.read_metrics()
    except FileNotFoundError:
        raise MelovError(f"{folder.metrics}: no such file", evaluate) from None
    content = sealed.content
    _check_parts(sealed, content, "")
    beside = content.get(UNTRAINED, {})
    if not isinstance(beside, dict) or not beside.keys() <= VARIANTS.keys():
        _damaged(sealed, f"{UNTRAINED} holds no variants")
    for name, said in beside.items():
        if not isinstance(said, dict):
            _damaged(sealed, f"{UNTRAINED}.{name} is no mapping")
        _check_parts(sealed, said, f"{UNTRAINED}.{name}.")
        if counts_of(said) != counts_of(content):
            _damaged(sealed, f"{UNTRAINED}.{name} is of other mentions than the run")
    if BEFORE in content:
        if not isinstance(content[BEFORE], dict):
            _damaged(sealed, f"{BEFORE} is no mapping")
        _check_parts(sealed, content[BEFORE], f"{BEFORE}.")
    _require_answers(sealed)
    if not isinstance(content.get("graph", {}), dict):
        _damaged(sealed, "graph holds no settings")
    return sealed


def counts_of(metrics: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """How many mentions and entities each part is of, by its name."""
    return {p: (said["mentions"], said["entities"]) for p, said in _parts(metrics).items()}


def _parts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {p: said for p, said in metrics.items() if p.split("_")[0] in RANKED}


def _check_parts(sealed: Sealed, metrics: Mapping[str, Any], where: str) -> None:
    for part, said in {"test": None, "valid": None, **_parts(metrics)}.items():
        place = f"{where}{part}"
        if not isinstance(said, dict):
            _damaged(sealed, f"no part '{place}'")
        for name in ("mentions", "entities"):
            if type(said.get(name)) is not int or said[name] < 0:
                _damaged(sealed, f"{place}.{name} is no count")
        for key in METRICS.keys() & said.keys():
            low, high = METRICS[key].range
            value = said[key]
            if type(value) not in (int, float) or not -LARGEST <= value <= LARGEST:
                _damaged(sealed, f"{place}.{key} is no number")
            if said["mentions"] and not low <= value <= high:
                _damaged(sealed, f"{place}.{key} is {value:g}, out of its range")


def read_history(sealed: Sealed, name: str) -> list[dict[str, float]]:
    """The rows of a history.csv that a run's config.json vouches for, an epoch each from 0, the
    start, which has no losses; older runs have no such row.

    Raises:
        DamagedError: it is another file, or no such table of numbers.
    """
    needed = {"epoch", *LOSSES, *(f"valid_{m.key}" for m in validated())}
    content = sealed.bytes_of(name)
    try:
        text = io.StringIO(content.decode("utf-8"), newline="")
        header, *rows = list(csv.reader(text, strict=True))
        if not needed <= set(header) or len(set(header)) != len(header):
            raise ValueError(f"columns {', '.join(header)}")
        cells = [dict(zip(header, row, strict=True)) for row in rows]
        if cells and cells[0]["epoch"] == "0":
            cells[0] = {name: said for name, said in cells[0].items() if name not in LOSSES or said}
        history = [{name: _finite(said) for name, said in row.items()} for row in cells]
        first = history[0]["epoch"] if history else 0
        if [row["epoch"] - first for row in history] != list(range(len(history))) or first > 1:
            raise ValueError("the epochs do not count from 0")
    except (ValueError, csv.Error) as error:
        path = sealed.path.parent / name
        raise DamagedError(f"{path}: damaged: {reason(error)}", sealed.hint) from None
    return history


def read_ranks(sealed: Sealed, name: str, entities: int) -> np.ndarray:
    """The test mentions' ranks that metrics.json vouches for, float32 (mentions,).

    Raises:
        DamagedError: it is another file, or holds no ranks of 1 to `entities`.
    """
    where = f"{sealed.path.parent / name}"
    arrays = read_npz(sealed.bytes_of(name), where, lambda said: DamagedError(said, sealed.hint))
    ranks = arrays.get("test", np.zeros(0))
    if ranks.dtype.kind != "f" or ranks.ndim != 1:
        raise DamagedError(f"{where}: damaged: no column of ranks", sealed.hint)
    if not ((ranks >= 1) & (ranks <= entities)).all():
        raise DamagedError(f"{where}: damaged: ranks out of 1 to {entities:,}", sealed.hint)
    return ranks


def read_answers(sealed: Sealed, name: str) -> Answers:
    """The test mentions' answers that metrics.json vouches for; those without an entity are last.

    Raises:
        DamagedError: it is another file, or holds none of them.
    """
    where = f"{sealed.path.parent / name}"
    arrays = read_npz(sealed.bytes_of(name), where, lambda said: DamagedError(said, sealed.hint))
    try:
        names = ("probability", "nil", "right", "linked")
        own = {name: arrays[f"test_{name}"] for name in names}
        if len({array.shape for array in own.values()}) > 1 or own["nil"].ndim != 1:
            raise ValueError("columns of unequal length")
        if any(array.dtype.kind not in "fu" for array in own.values()):
            raise ValueError("columns of another type")
        values = np.concatenate([own["probability"], own["nil"]])
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("probabilities out of 0 to 1")
        if len(values) // 2 != sealed.content[PROBABILITY]["test"]["mentions"]:
            raise ValueError(f"{len(values) // 2:,} answers, {sealed.path.name} tells of others")
    except (ValueError, KeyError) as error:
        raise DamagedError(f"{where}: damaged: {reason(error)}", sealed.hint) from None
    return Answers(own["probability"], own["nil"], own["right"] == 1, own["linked"] == 1)


def read_predictions(sealed: Sealed, name: str, mentions: int) -> list[dict[str, str]] | None:
    """The rows of `predictions.csv` of the test mentions that have an entity; None where the
    metrics vouch for no such file.

    Raises:
        DamagedError: it is another file, or no such table.
    """
    if name not in sealed.files:
        return None
    content = sealed.bytes_of(name)
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        needed = {*ABOUT, *(of_each(c, k) for c in ("entity", "name", "score") for k in (1, TOP))}
        if missing := needed - set(reader.fieldnames or ()):
            raise ValueError(f"no column {min(missing)}")
        rows = [row for row in reader if row["split"] == "test" and row["rank"]]
        if len(rows) != mentions:
            raise ValueError(f"{len(rows):,} test mentions, the metrics tell of {mentions:,}")
        for row in rows:
            if None in row or None in row.values():
                raise ValueError(f"mention {row['id']}: other cells than the header's")
            places = range(1, TOP + 1)
            said = [row[of_each(of, k)] for of in ("score", "probability") for k in places]
            if not said[0] or not all(math.isfinite(float(number)) for number in said if number):
                raise ValueError(f"mention {row['id']}: a score that is no number")
    except (ValueError, KeyError, csv.Error) as error:
        path = sealed.path.parent / name
        raise DamagedError(f"{path}: damaged: {reason(error)}", sealed.hint) from None
    return rows


def _require_answers(sealed: Sealed) -> None:
    """What stands under PROBABILITY, if anything does."""
    if PROBABILITY not in sealed.content:  # an earlier version wrote it
        return
    said = sealed.content[PROBABILITY]
    if isinstance(said, dict) and isinstance(said.get(UNCALIBRATED), str):
        return
    if not isinstance(said, dict) or not _is_share(said.get("precision")):
        _damaged(sealed, f"{PROBABILITY} holds no calibration")
    if "threshold" not in said or not (said["threshold"] is None or _is_share(said["threshold"])):
        _damaged(sealed, f"{PROBABILITY}.threshold is no probability")
    for split in ("valid", "test"):
        own = said.get(split)
        if not isinstance(own, dict):
            _damaged(sealed, f"no part '{PROBABILITY}.{split}'")
        for key in ("mentions", "nil_mentions", "answered"):
            if type(own.get(key)) is not int or own[key] < 0:
                _damaged(sealed, f"{PROBABILITY}.{split}.{key} is no count")
        needed = ["aurc", "ece"] * (own["mentions"] > 0) + ["precision"] * (own["answered"] > 0)
        for key in ANSWER_METRICS:
            none = key in own and own[key] is None and key not in needed
            if not none and not _is_share(own.get(key)):
                _damaged(sealed, f"{PROBABILITY}.{split}.{key} is no share")


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def read_grid_rows(index: Sealed, name: str) -> list[dict[str, Any]]:
    """The rows of a grid's runs.parquet: run, variant, seed and settings, these as a mapping.

    Raises:
        DamagedError: it is another file, or no such table.
    """
    where = f"{index.path.parent / name}"

    def error(said: str) -> MelovError:
        return DamagedError(f"{said}: damaged", index.hint)

    try:
        table = pq.read_table(pa.BufferReader(index.bytes_of(name)))
        table = table.select(GRID_SCHEMA.names).cast(GRID_SCHEMA)
        table.validate(full=True)
        rows: list[dict[str, Any]] = table.to_pylist()
        for row in rows:
            if None in row.values() or not RUN_NAME.fullmatch(row["run"]):
                raise ValueError("a row without a run")
    except (pa.ArrowException, OSError, ValueError, KeyError) as problem:
        raise DamagedError(f"{where}: damaged: {reason(problem)}", index.hint) from None
    for row in rows:
        row["settings"] = parse_json(row["settings"], where, error)
        if not isinstance(row["settings"], dict):
            raise error(f"{where}: settings that are no mapping")
    return rows


def made_from(index: Sealed) -> dict[str, Any]:
    """What a grid's tables say of each run's origin; raises DamagedError where they do not."""
    said = index.content.get(MADE_FROM)
    if "runs.parquet" not in index.files or not isinstance(said, dict):
        _damaged(index, f"{MADE_FROM} holds no runs")
    return said


def _finite(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell} is no finite number")
    return value


def _damaged(sealed: Sealed, what: str) -> NoReturn:
    raise DamagedError(f"{sealed.path}: damaged: {what}", sealed.hint)
