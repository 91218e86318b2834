"""Records under right checksums that no `prepare` wrote."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cache.errors import MelovError
from stages.datasets.records import Records
from stages.paths import SPLITS
from tests.support.made_runs import make_records
from tests.support.resealed import reseal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_records(tmp_path, "tiny")
    return tmp_path / "data/tiny/records"


def changed(folder: Path, name: str, column: str, values) -> None:
    path = folder / f"{name}.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(column)
    array = values(table[column].to_pylist())
    table = table.set_column(place, column, pa.array(array, table[column].type))
    pq.write_table(table, path)
    reseal(folder / "records.json")


COLUMNS = [
    ("mentions-test", "gold", lambda v: [99, *v[1:]]),
    ("mentions-train", "gold", lambda v: [-1, *v[1:]]),
    ("mentions-test", "picture", lambda v: [3, *v[1:]]),
    ("entities", "picture", lambda v: [-2, *v[1:]]),
    ("entities", "pictures", lambda v: [[99], *v[1:]]),
    ("entities", "pictures", lambda v: [[None], *v[1:]]),
    ("entities", "text", lambda v: [None, *v[1:]]),
    ("mentions-valid", "id", lambda v: [None, *v[1:]]),
    ("pictures", "key", lambda v: ["x", *v[1:]]),
    ("pictures", "bytes", lambda v: [-1, *v[1:]]),
]


@pytest.mark.parametrize(("name", "column", "values"), COLUMNS)
def test_rows_that_are_not_there_and_values_that_lack_are_refused(folder, name, column, values):
    changed(folder, name, column, values)
    with pytest.raises(MelovError, match=rf"{name}\.parquet: damaged: "):
        Records.load(folder)


@pytest.mark.parametrize("how", ["rows", "column", "type", "no Parquet"])
def test_tables_of_another_form_are_refused(folder: Path, how: str):
    path = folder / "mentions-test.parquet"
    table = pq.read_table(path)
    if how == "rows":
        table = table.slice(1)
    elif how == "column":
        table = table.append_column("gold", table["gold"])
    elif how == "type":
        table = table.set_column(5, "gold", pa.array(["x"] * len(table)))
    pq.write_table(table, path)
    if how == "no Parquet":
        path.write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    reseal(folder / "records.json")
    with pytest.raises(MelovError, match=r"mentions-test\.parquet: damaged: "):
        Records.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"findings": 3},
        {"findings": [{"code": "x"}]},
        {"image_root": None},
        {"counts": {}},
        {"x": 1},
    ],
)
def test_an_index_of_another_form_is_refused(folder: Path, change):
    reseal(folder / "records.json", lambda content: {**content, **change})
    with pytest.raises(MelovError, match=r"records\.json: damaged|\.parquet: damaged"):
        Records.load(folder)


def test_records_as_they_were_written_are_read(folder: Path):
    changed(folder, "mentions-test", "gold", lambda values: values)
    assert sum(table.num_rows for table in Records.load(folder).mentions.values()) == 12
    assert set(Records.load(folder).mentions) == set(SPLITS)
