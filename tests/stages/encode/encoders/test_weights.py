"""Weights are all there, all read, all numbers, and no code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stages.encode.encoders.checkpoint import CheckpointError, find_checkpoint
from stages.encode.encoders.pretrained import load_frozen
from tests.stages.encode.encoders.conftest import Copy

CPU = torch.device("cpu")
Weights = Callable[..., Path]
QUERY = "encoder.layer.1.attention.self.query.weight"


def loaded(folder: Path, kind: str = "BertModel", **more: Any) -> Any:
    return load_frozen(kind, find_checkpoint(str(folder)), CPU, torch.float32, **more)


def refused(folder: Path, kind: str = "BertModel", **more: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        loaded(folder, kind, **more)
    assert str(folder) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


# What is missing, and what is left over


def test_weights_that_are_missing_are_named(bert: Path, with_weights: Weights):
    gone = with_weights(bert, lambda w: {k: v for k, v in w.items() if ".query." not in k})
    said = refused(gone)
    assert "4 weights of BertModel are missing: encoder.layer.0.attention.self.query.bias" in said
    assert said.endswith("and 1 more")


def test_poolers_may_be_missing_unless_they_are_read(bert: Path, with_weights: Weights):
    folder = with_weights(bert, lambda w: {k: v for k, v in w.items() if "pooler" not in k})
    loaded(folder)
    assert "missing: pooler.dense.bias" in refused(folder, read=("pooler.",))


@pytest.mark.parametrize(
    "name",
    [
        "cls.predictions.transform.dense.weight", "lm_head.bias", "classifier.weight",
        "qa_outputs.bias", "pooler.other.weight", "embeddings.position_ids", "logit_scale",
    ],
)  # fmt: skip
def test_heads_of_other_tasks_are_left_out(bert: Path, with_weights: Weights, name: str):
    before = loaded(bert).state_dict()
    after = loaded(with_weights(bert, lambda w: w.update({name: torch.ones(3)}))).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    "name",
    [
        QUERY.replace("layer.1", "layer.7"), QUERY.replace("weight", "lora_A.weight"),
        "embeddings.scale", "encoder.layer.0.attention.self.query.weight_scale", "x",
        "base_model.x",
        "bert.encoder.layer.7.output.dense.weight",
    ],
)  # fmt: skip
def test_weights_that_the_model_has_no_place_for_are_named(
    bert: Path, with_weights: Weights, name: str
):
    said = refused(with_weights(bert, lambda w: w.update({name: torch.ones(3)})))
    assert f"1 weights have no place in BertModel by config.json: {name}" in said


def test_fewer_layers_than_the_weights_have_are_refused(bert: Path, copy: Copy):
    said = refused(copy(bert, num_hidden_layers=1))
    assert "weights have no place in BertModel by config.json: encoder.layer.1." in said


def test_a_clip_gives_its_vision_tower_without_the_rest(clip: Path, with_weights: Weights):
    loaded(clip, "CLIPVisionModel")
    more = with_weights(clip, lambda w: w.update({"vision_model.extra.weight": torch.ones(1)}))
    assert "no place in CLIPVisionModel" in refused(more, "CLIPVisionModel")
    assert "no place in CLIPModel" in refused(more, "CLIPModel")


def test_a_weight_of_another_shape_is_named_with_both(bert: Path, with_weights: Weights):
    said = refused(with_weights(bert, lambda w: w.update({QUERY: torch.ones(28, 27)})))
    assert said.endswith(f"such as {QUERY} [28, 27] for [28, 28]")


@pytest.mark.parametrize(
    ("key", "value"),
    [("vocab_size", 10_000_000), ("intermediate_size", 1_000_000), ("num_hidden_layers", 256)],
)
def test_a_model_larger_than_its_weights_takes_no_memory(
    bert: Path, copy: Copy, key: str, value: int, monkeypatch: pytest.MonkeyPatch
):
    import transformers

    def built(*_: Any, **__: Any) -> None:
        raise AssertionError("memory was taken for it")

    monkeypatch.setattr(transformers.BertModel, "from_pretrained", built)
    said = refused(copy(bert, **{key: value}))
    assert "config.json: describes a model of" in said


def test_a_configuration_that_the_library_refuses_is_one_error(bert: Path, copy: Copy):
    assert "cannot load BertModel: KeyError 'wavy'" in refused(copy(bert, hidden_act="wavy"))


# What is no number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", [QUERY, "embeddings.LayerNorm.bias", "pooler.dense.weight"])
def test_a_weight_that_is_no_number_is_named(
    bert: Path, with_weights: Weights, number: float, name: str
):
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights[name].view(-1)[-1] = number

    assert f"{name}: 1 of " in refused(with_weights(bert, spoil))


def test_a_weight_that_overflows_the_precision_is_told_apart(bert: Path, with_weights: Weights):
    folder = with_weights(bert, lambda w: w.update({QUERY: w[QUERY].clone().fill_(1e6)}))
    loaded(folder)
    with pytest.raises(CheckpointError, match=r"784 of 784 numbers .* in float16") as caught:
        load_frozen("BertModel", find_checkpoint(str(folder)), CPU, torch.float16)
    assert "--set extract.dtype=float32" in str(caught.value)


def test_quantized_weights_are_refused(bert: Path, with_weights: Weights):
    said = refused(with_weights(bert, lambda w: w.update({QUERY: w[QUERY].to(torch.int8)})))
    assert f"{QUERY} has numbers of type I8, expected floating point" in said


# Files


def as_bin(folder: Path, content: Any = None, old: bool = False) -> Path:
    """The folder's weights in pytorch_model.bin."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(
        weights if content is None else content, folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=not old,
    )  # fmt: skip
    return folder


def cut(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])


@pytest.mark.parametrize("old", [False, True])
def test_weights_of_torch_are_read_in_both_of_its_formats(bert: Path, copy: Copy, old: bool):
    one, other = loaded(bert).state_dict(), loaded(as_bin(copy(bert), old=old)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: cut(path, -100), "incomplete metadata"),
        (lambda path: cut(path, 4), "damaged: "),
        (lambda path: path.write_bytes(b""), "damaged: "),
        (lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]), "header too large"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
        (lambda path: path.write_text("<!DOCTYPE html>"), "a page of HTML"),
    ],
)
def test_a_damaged_file_of_safetensors_is_named(
    bert: Path, copy: Copy, damage: Callable[[Path], Any], said: str
):
    folder = copy(bert)
    damage(folder / "model.safetensors")
    message = refused(folder)
    assert message.startswith(f"{folder}/model.safetensors: ")
    assert said in message


@pytest.mark.parametrize("left", [0, 1, 4, 1000, -1000, -1])
@pytest.mark.parametrize("old", [False, True])
def test_a_bin_that_was_cut_is_named(bert: Path, copy: Copy, left: int, old: bool):
    folder = as_bin(copy(bert), old=old)
    cut(folder / "pytorch_model.bin", left)
    assert refused(folder).startswith(f"{folder}/pytorch_model.bin: damaged")


@pytest.mark.parametrize("content", [[1, 2], 3, {"state_dict": {}, "epoch": 3}, {"a": [1]}])
def test_a_bin_that_holds_something_else_is_named(bert: Path, copy: Copy, content: Any):
    folder = as_bin(copy(bert), content)
    assert "pytorch_model.bin: expected tensors by name, found" in refused(folder)


def test_a_bin_that_holds_code_is_refused_unrun(bert: Path, copy: Copy, tmp_path: Path):
    class Runs:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    folder = as_bin(copy(bert), {"embeddings.word_embeddings.weight": Runs()})
    assert "holds more than tensors, and code of a checkpoint is never run" in refused(folder)
    assert not (tmp_path / "ran").exists()


def shards(folder: Path, suffix: str) -> tuple[Path, dict[str, Any]]:
    """The folder's weights in two files; the index, and what it says."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    places: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"{stem}-{number:05}-of-00002.{suffix}"
        save = save_file if suffix == "safetensors" else torch.save
        save({name: weights[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    said = {"metadata": {"total_size": 1}, "weight_map": places}
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps(said))
    return index, said


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_an_index_and_its_shards_agree(bert: Path, copy: Copy, suffix: str):
    index, said = shards(folder := copy(bert), suffix)
    whole, sharded = loaded(bert).state_dict(), loaded(folder).state_dict()
    assert all(torch.equal(whole[name], sharded[name]) for name in whole)
    first, second = sorted(set(said["weight_map"].values()))
    kept = (folder / second).read_bytes()

    (folder / second).unlink()
    with pytest.raises(CheckpointError, match=rf"names the shard '{second}'"):
        find_checkpoint(str(folder))
    (folder / second).write_bytes((folder / first).read_bytes())
    assert f"{second}: " in (message := refused(folder))
    assert f"stands in {first}, too" in message
    (folder / second).write_bytes(kept)

    moved = dict.fromkeys(said["weight_map"], first)
    index.write_text(json.dumps({"weight_map": {**moved, "a": second}}))
    assert f"is not in {first}" in refused(folder)
    cut(folder / second, -10)
    assert refused(folder).startswith(f"{folder / second}: damaged")


def test_a_distributed_trainings_checkpoint_is_not_loaded_in_place_of_the_weights(
    bert: Path, copy: Copy
):
    folder = copy(bert)
    part = folder / "shard-00000-model-00001-of-00001.safetensors"
    save_file({"x": torch.ones(1)}, part)
    with pytest.raises(CheckpointError, match="a part of a distributed training's checkpoint"):
        find_checkpoint(str(folder))
