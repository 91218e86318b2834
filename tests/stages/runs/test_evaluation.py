import json
from dataclasses import replace

import numpy as np
import pyarrow as pa

from stages.config import EvaluateConfig
from stages.ranking.metrics import metrics
from stages.runs.dataset import RunSpec
from stages.runs.fit import execute
from stages.runs.folder import RunFolder
from tests.support.small_runs import small

VALUES = ["mentions", "entities", *(f"hits@{k}" for k in (1, 3, 5, 10, 20)), "mrr", "mr"]
FLAGS = pa.list_(pa.string())
KINDS = ["good", "low_quality", "missing", None]


def test_metrics_json_and_ranks_have_the_layout_of_the_contract(opened, tmp_path):
    records, n = opened.records, opened.records.mentions["test"].num_rows
    kinds = pa.array([KINDS[i % 4] for i in range(n)], pa.string())
    test = records.mentions["test"]
    test = test.set_column(test.column_names.index("image_kind"), "image_kind", kinds)
    flags = pa.array([["picture-in-train"] if i % 3 else [] for i in range(n)], FLAGS)
    test = test.set_column(test.column_names.index("flags"), "flags", flags)
    records = replace(records, mentions={**records.mentions, "test": test})

    spec = RunSpec.of("mimic", 3, small(units=("text",), epochs=1))
    folder = RunFolder(tmp_path / "mimic-s3", "")
    execute(spec, replace(opened, records=records), folder, EvaluateConfig())
    about = {"dataset": "tiny", "variant": "mimic", "seed": 3}
    said = json.loads(folder.metrics.read_text())
    kinds = [f"test_image_{kind}" for kind in ("good", "low_quality", "missing")]
    parts = ["test", "valid", "test_clean", "test_seen", "test_unseen", *kinds, "test_poor"]
    assert list(said) == [*about, *parts, "untrained", "probability", "made_from", "files", "seal"]
    assert [list(beside) for beside in said["untrained"].values()] == [parts, parts]
    assert said["made_from"].keys() == {"run", "store", "records"}  # it has no GCN
    assert {key: said[key] for key in about} == about
    for part in parts:
        assert list(said[part]) == VALUES
        assert all(0 <= said[part][key] <= 1 for key in VALUES[2:-1])
    with np.load(folder.ranks) as stored:
        assert sorted(stored) == ["test", "valid"]
        for split in stored:
            assert metrics(stored[split].astype(float), 28) == said[split]
        trained_on = set(opened.records.gold("train").tolist())
        seen = [gold in trained_on for gold in opened.records.gold("test").tolist()]
        assert 0 < sum(seen) < n
        assert said["test_seen"] == metrics(stored["test"][np.array(seen)].astype(float), 28)
        assert said["test_poor"]["mentions"] == n // 2
        assert said["test_clean"] == metrics(stored["test"][::3].astype(float), 28)
