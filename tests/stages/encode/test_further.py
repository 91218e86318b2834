"""Further encoders: a store each, equal to the plain library's features, made and updated alone."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel, ViTModel

from cache.errors import MelovError, StoreError
from cache.reader import FeatureStore
from stages.config import ConfigError, ExtractConfig, load_params
from stages.datasets.further import further_names, list_further, open_further
from stages.datasets.records import Records
from stages.encode import feature_job, further_job
from stages.encode.encoders.checkpoint import CheckpointError
from stages.encode.extract import extract
from stages.encode.extract_further import extract_further
from stages.encode.further import further_as_before
from stages.encode.plan import texts_of
from stages.paths import SPLITS, DatasetPaths
from tests.support.small_project import add_entities, tree


def config_of(paths: DatasetPaths, bert: Path, vit: Path, **changes: Any) -> ExtractConfig:
    config = load_params(paths.root / "params.yaml", "tiny").extract
    named = {"text_encoders": {"letters": str(bert)}, "image_encoders": {"squares": str(vit)}}
    return ExtractConfig(**{**config.model_dump(), **named, **changes})


def whole(store: FeatureStore, name: str) -> np.ndarray:
    return store[name].slice(0, len(store[name]))


def of_bert(folder: Path, text: str) -> np.ndarray:
    """[CLS] of one text, by the library alone."""
    ids = AutoTokenizer.from_pretrained(folder)(
        text, truncation=True, max_length=20, return_tensors="pt"
    )
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        return model(**ids).last_hidden_state[0, 0].numpy()


def test_a_row_is_the_encoders_own_of_a_records_text_and_of_a_mentions_sentence_alone(
    project: DatasetPaths, bert: Path, vit: Path
):
    made = extract_further(project, config_of(project, bert, vit), "letters")
    assert made.did_work
    store, records = FeatureStore.open(made.store), Records.load(project.records)
    rows = whole(store, "texts/global").astype(np.float32)
    asked = {f"{group}/text": texts for group, texts in texts_of(records).items()}
    for split in SPLITS:
        words, sentences = (records.mentions[split][n].to_pylist() for n in ("words", "sentence"))
        said = [s or w for w, s in zip(words, sentences, strict=True)]
        assert "" in sentences or split != "train"
        asked[f"mentions/{split}/sentence"] = said
    compared = 0
    for name, texts in asked.items():
        for text, row in zip(texts, whole(store, name), strict=True):
            np.testing.assert_allclose(rows[row], of_bert(bert, text), atol=4e-3)
            compared += 1
    assert compared == 24 + 2 * 30
    assert len(rows) == len(np.unique(whole(store, "texts/keys"), axis=0))


def test_a_picture_is_the_encoders_own_and_failed_ones_are_told(
    project: DatasetPaths, bert: Path, vit: Path
):
    from stages.encode.decode import decode, normalised

    made = extract_further(project, config_of(project, bert, vit), "squares")
    store, records = FeatureStore.open(made.store), Records.load(project.records)
    assert set(store.attributes["failed_pictures"]) == {"broken.png", "cut.jpg", "words.jpg"}
    paths = records.pictures["path"].to_pylist()
    model = ViTModel.from_pretrained(vit, add_pooling_layer=False).eval()
    encoder = further_job.open_pictures(
        further_job.Checkpoint("vit", vit), torch.device("cpu"), torch.float32
    )
    compared = 0
    for row, picture in zip(
        whole(store, "entities/image"), records.entities["picture"].to_pylist(), strict=True
    ):
        if row < 0:
            continue
        pixels = decode((project.raw / paths[picture]).read_bytes(), 24, "squash")
        x = normalised(np.array(pixels[None]), encoder.pixels, torch.device("cpu"))
        with torch.no_grad():
            want = model(pixel_values=x).last_hidden_state[0, 0].numpy()
        np.testing.assert_allclose(whole(store, "images/global")[row], want, atol=4e-3)
        compared += 1
    assert compared > 10


def test_adding_an_encoder_encodes_with_it_alone_and_leaves_every_other_store(
    project: DatasetPaths, bert: Path, vit: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config_of(project, bert, vit)
    extract(project, config)
    extract_further(project, config, "squares")
    before, others = tree(project.store), tree(project.further)
    monkeypatch.setattr(feature_job, "encode_texts", None)
    monkeypatch.setattr(feature_job, "encode_pictures", None)
    assert extract_further(project, config, "letters").did_work
    assert not extract(project, config).did_work
    assert tree(project.store) == before
    assert others.items() <= tree(project.further).items()
    assert not extract_further(project, config, "letters").did_work


def test_new_entities_cost_their_own_rows_of_every_store(
    project: DatasetPaths, bert: Path, vit: Path
):
    config = config_of(project, bert, vit)
    for name in ("letters", "squares"):
        extract_further(project, config, name)
    texts = FeatureStore.open(project.further_store("letters"))
    old = by_key(texts)
    add_entities(project)
    list_further(project, ["letters", "squares"])
    with pytest.raises(StoreError, match="made from other records"):
        open_further(project, "letters")
    found = [extract_further(project, config, name) for name in ("letters", "squares")]
    assert found[0].timings["texts"]["rows"] == 2
    assert found[1].timings["pictures"]["rows"] == 5
    assert found[0].reused == texts_reused(texts, len(old))
    list_further(project, ["letters", "squares"])
    new = open_further(project, "letters")
    kept = by_key(new)
    assert all(kept[key].tobytes() == row.tobytes() for key, row in old.items())


def by_key(store: FeatureStore) -> dict[bytes, np.ndarray]:
    keys = [key.tobytes() for key in whole(store, "texts/keys")]
    return dict(zip(keys, whole(store, "texts/global"), strict=True))


def texts_reused(store: FeatureStore, rows: int) -> dict[str, Any]:
    return {"fingerprint": store.fingerprint.digest, "texts": rows}


def test_the_list_names_what_is_in_use_and_moves_with_every_store(
    project: DatasetPaths, bert: Path, vit: Path
):
    config = config_of(project, bert, vit)
    assert further_names(project) == []
    extract_further(project, config, "letters")
    list_further(project, ["letters"])
    one = (project.extract / "further.json").read_bytes()
    list_further(project, ["letters"])
    assert (project.extract / "further.json").read_bytes() == one
    with pytest.raises(MelovError, match=r"has no further encoder 'leters'.*in use: letters"):
        open_further(project, "leters")
    add_entities(project)
    extract_further(project, config, "letters")
    list_further(project, ["letters"])
    assert (project.extract / "further.json").read_bytes() != one
    list_further(project, [])
    with pytest.raises(MelovError, match="none is in use"):
        open_further(project, "letters")


def test_what_nobody_says_is_as_before(project: DatasetPaths, mean_bert: Path, vit: Path):
    config = config_of(project, mean_bert, vit)
    config = config.model_copy(update={"image_encoders": {}})
    own = {"encoder": str(mean_bert), "pooling": "cls"}
    config = ExtractConfig(**{**config.model_dump(), "text_encoders": {"letters": own}})
    extract_further(project, config, "letters")
    list_further(project, ["letters"])
    plain = load_params(project.root / "params.yaml", "tiny").extract
    found = further_as_before(project, plain, said=())
    assert found.text_encoders == config.text_encoders
    assert found.image_encoders == {}
    assert not extract_further(project, found, "letters").did_work
    assert further_as_before(project, plain, said={"text_encoders"}).text_encoders == {}


def test_pooling_is_each_encoders_own(project: DatasetPaths, bert: Path, mean_bert: Path):
    config = load_params(project.root / "params.yaml", "tiny").extract
    both = {"cls": str(bert), "mean": str(mean_bert)}
    config = ExtractConfig(**{**config.model_dump(), "text_encoders": both})
    rows = [
        whole(FeatureStore.open(extract_further(project, config, name).store), "texts/global")
        for name in both
    ]
    assert rows[0].shape == rows[1].shape
    assert np.abs(rows[0] - rows[1]).max() > 0.01  # the same weights, pooled otherwise


def test_another_encoder_under_the_same_name_is_told_and_replaced_on_demand(
    project: DatasetPaths, bert: Path, mean_bert: Path, vit: Path
):
    extract_further(project, config_of(project, bert, vit), "letters")
    other = config_of(project, mean_bert, vit)
    with pytest.raises(StoreError, match="text_encoder"):
        extract_further(project, other, "letters")
    assert extract_further(project, other, "letters", replace=True).did_work
    assert not extract_further(project, other, "letters").did_work


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text_encoders": {"Letters": "x/y"}}, "text_encoders"),
        ({"text_encoders": {"a": ""}}, "encoder"),
        ({"text_encoders": {"a": {"encoder": "x/y", "poling": "cls"}}}, "pooling"),
        ({"text_encoders": {"a": "x/y"}, "image_encoders": {"a": "x/z"}}, "named in text_encoders"),
        ({"text_encoders": {f"e{i}": "x/y" for i in range(17)}}, "16"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, Any], said: str):
    import yaml

    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"extract": changes}))
    with pytest.raises(ConfigError, match=said):
        load_params(tmp_path / "params.yaml")


def test_a_hint_names_the_further_encoders_own_key(project: DatasetPaths, bert: Path, vit: Path):
    config = config_of(project, vit, vit)
    with pytest.raises(CheckpointError) as caught:
        extract_further(project, config, "letters")
    assert "extract.text_encoders.letters=FOLDER" in str(caught.value.hint)
    with pytest.raises(CheckpointError) as caught:
        extract_further(project, config_of(project, bert, bert), "squares")
    assert "extract.image_encoders.squares=FOLDER" in str(caught.value.hint)
    odd = project.root / "odd"
    shutil.copytree(bert, odd)
    (odd / "1_Pooling").mkdir()
    (odd / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(CheckpointError) as caught:
        extract_further(project, config_of(project, odd, vit), "letters")
    assert f"{{encoder: {odd}, pooling: mean}}" in str(caught.value.hint)
