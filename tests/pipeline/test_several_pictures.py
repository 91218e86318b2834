"""An entity with several pictures has the first one that decodes, from its source to its store."""

import csv
import json
from dataclasses import replace

import numpy as np

from cache.reader import FeatureStore
from stages.datasets.records import Records
from stages.encode.plan import plan_pictures
from tests.support.tiny_project import run

IMAGES = {
    0: ["gone.png", "pictures/words.jpg", "pictures/e1.png", "pictures/e2.png"],
    1: ["pictures/words.jpg"],
    2: ["pictures/e3.png", "pictures/words.jpg"],
    3: ["pictures/words.jpg", "gone.png"],
}


def test_a_picture_that_fails_falls_to_the_next_one_and_is_counted_and_listed(project):
    raw = project / "data/tiny/raw"
    (raw / "pictures/words.jpg").write_text("<html>not found</html>")
    file = raw / "entities.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [row | ({"image": IMAGES[i]} if i in IMAGES else {}) for i, row in enumerate(rows)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    said = "1  entity-picture-passed-over: entities whose first picture fails; the next one that"
    assert said in run("validate")
    assert "entity E0: gone.png, then pictures/e1.png" in run("prepare")
    # Without a look at them, only a file that is missing is known to fail.
    assert "gone.png, then pictures/words.jpg" in run("validate", "--no-pictures")
    records = Records.load(project / "data/tiny/records")
    paths = records.pictures["path"].to_pylist()
    taken = [paths[row] for row in records.entities["picture"].to_pylist()[:4]]
    assert taken == ["pictures/e1.png", "pictures/words.jpg", "pictures/e3.png",
                     "pictures/words.jpg"]  # fmt: skip

    told = run("extract")
    assert "another picture than their first, which fails: 1 of entities" in told
    summary = json.loads((project / "data/tiny/extract/summary.json").read_text())
    assert summary["fallen_back"] == 1
    with (project / "data/tiny/extract/failed_pictures.csv").open() as opened:
        failed = {row["path"]: row for row in csv.DictReader(opened)}
    assert failed["gone.png"]["reason"] == "missing file"
    assert failed["gone.png"]["first_record"] == "entity E0"
    assert failed["pictures/words.jpg"]["records"] == "3"  # E0 passed it over, E1 and E3 have none
    assert "not supported" in failed["pictures/words.jpg"]["reason"]

    store = FeatureStore.open(project / "data/tiny/features.zarr")
    image = store["entities/image"].slice(0, 28)
    keys, own = (
        store["images/keys"],
        dict(zip(paths, records.pictures["key"].to_pylist(), strict=True)),
    )
    for entity, path in {0: "pictures/e1.png", 2: "pictures/e3.png"}.items():
        assert bytes(keys.slice(image[entity], image[entity] + 1)[0]).hex() == own[path]
    assert (image[[1, 3]] == -1).all()


def test_the_last_word_is_of_the_decoder(project):
    records = Records.load(project / "data/tiny/records")
    entities = records.entities.to_pylist()
    entities[0] |= {"picture": 2, "pictures": [0, 1, 2, 3]}
    several = records.entities.from_pylist(entities, schema=records.entities.schema)
    plan = plan_pictures(replace(records, entities=several), encode=True)
    first, second, third = (plan.keys.index(k) for k in
                            records.pictures["key"].to_pylist()[:3])  # fmt: skip
    assert (plan.rows["entities"][0], plan.further) == (first, {0: [second, third]})
    for failed, want in {(): first, (first,): second, (first, second): third, (second,): first,
                         (first, second, third): -1}.items():  # fmt: skip
        assert plan.without(failed)["entities"][0] == want
    plain = plan_pictures(records, encode=True)
    assert plain.further == {}
    np.testing.assert_array_equal(plain.without(())["entities"], plain.rows["entities"])
