"""Nothing is built from a checkpoint's settings before they were held against the tables."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stages.encode.encoders import rules
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, find_checkpoint
from stages.encode.encoders.models import picture_side
from tests.stages.encode.encoders.conftest import Copy

PIXELS = "preprocessor_config.json"


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("config.json", "projection_dim", "wide", "a whole number from 1 to 65,536"),
        ("config.json", "projection_dim", True, "a whole number"),
        ("config.json", "projection_dim", 24.0, "a whole number"),
        ("config.json", "text_config", 3, "a mapping"),
        ("config.json", "text_config__hidden_size", [], "a whole number from 1"),
        ("config.json", "text_config__hidden_size", -32, "a whole number from 1"),
        ("config.json", "text_config__num_hidden_layers", 100_000, "a whole number from 1 to 256"),
        ("config.json", "text_config__vocab_size", 10**12, "a whole number from 1 to 10,000,000"),
        ("config.json", "text_config__max_position_embeddings", 0, "a whole number from 1"),
        ("config.json", "text_config__layer_norm_eps", -1.0, "a number from 0 to 1"),
        ("config.json", "text_config__hidden_act", 7, "a text"),
        ("config.json", "text_config__is_decoder", True, "False"),
        ("config.json", "vision_config__num_hidden_layers", "two", "a whole number from 1 to 256"),
        ("config.json", "vision_config__image_size", 0, "the side of a square, from 1 to 4,096"),
        ("config.json", "vision_config__image_size", 10**6, "the side of a square, from 1"),
        ("config.json", "vision_config__image_size", [32, 24], "the side of a square, from 1"),
        ("config.json", "vision_config__patch_size", 0, "the side of a square, from 1"),
        ("config.json", "vision_config__num_channels", 4, "3"),
        ("config.json", "return_dict", False, "True"),
        ("config.json", "dtype", "int8", "'float32' or 'float16'"),
        ("config.json", "position_embedding_type", "relative_key", "'absolute'"),
        ("config.json", "transformers_weights", "other.safetensors", "no such key"),
        ("config.json", "configuration_files", ["config.4.0.0.json"], "no such key"),
        ("config.json", "quantization_config", {"quant_method": "x"}, "no such key: quantized"),
        ("config.json", "attn_implementation", "someones/kernel", "'eager' or 'sdpa'"),
        (PIXELS, "image_mean", [0.5, 0.5], "three numbers from 0 to 1"),
        (PIXELS, "image_mean", 0.5, "three numbers from 0 to 1"),
        (PIXELS, "image_mean", [0.5, 0.5, None], "three numbers from 0 to 1"),
        (PIXELS, "image_std", [0.5, 0.0, 0.5], "three numbers from 0.001 to 10"),
        (PIXELS, "image_std", [0.5, -0.5, 0.5], "three numbers from 0.001 to 10"),
        (PIXELS, "resample", 9, "a whole number from 0 to 5"),
        (PIXELS, "size", -32, "sides of a square, from 1 to 16,384"),
        (PIXELS, "size", {"height": 32, "width": 24}, "sides of a square, from 1 to 16,384"),
        (PIXELS, "size", {"shortest_edge": "x"}, "sides of a square, from 1 to 16,384"),
        (PIXELS, "crop_size", [32, 24], "sides of a square, from 1 to 16,384"),
        (PIXELS, "do_rescale", False, "True"),
        (PIXELS, "rescale_factor", 1.0, "1/255"),
        (PIXELS, "do_normalize", "yes", "true or false"),
        ("tokenizer_config.json", "model_max_length", 0, "a number from 1 to inf"),
        ("tokenizer_config.json", "model_max_length", "many", "a number from 1 to inf"),
        ("tokenizer_config.json", "truncation_side", "left", "'right'"),
        ("tokenizer_config.json", "pad_token", 3, "a token"),
        ("tokenizer_config.json", "fast_tokenizer_files", ["../a.json"], "names of files"),
        ("1_Pooling/config.json", "pooling_mode_cls_token", "yes", "true or false"),
        ("1_Pooling/config.json", "pooling_mode", 3, "a text or a list of texts"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_one_error_that_names_file_key_value_and_what_was_expected(
    clip: Path, copy: Copy, name: str, key: str, value: Any, expected: str
):
    folder = copy(clip, name, **{key: value})
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(str(folder))
    said, hint = str(caught.value).split("\n")
    place = key.replace("__", ".")
    assert said.startswith(f"{folder / name}: {place}: found {value!r}, expected {expected}")
    assert hint == "  correct it, or download the file again"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("text_config__hidden_size", 33, "33, expected a multiple of num_attention_heads, 4"),
        ("vision_config__image_size", 4096, "8, expected 1 to 128 patches to a side of image_size"),
        ("vision_config__patch_size", 64, "64, expected 1 to 128 patches to a side of image_size"),
    ],
)
def test_values_that_do_not_fit_together_are_one_error(
    clip: Path, copy: Copy, key: str, value: int, said: str
):
    with pytest.raises(CheckpointError, match=rf"config\.json: \w+_config\.\w+: found {said}"):
        find_checkpoint(str(copy(clip, **{key: value})))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" * 400])
def test_a_number_that_is_none_is_refused(clip: Path, copy: Copy, number: str):
    folder = copy(clip, PIXELS, image_std=["HERE", 0.5, 0.5])
    path = folder / PIXELS
    path.write_text(path.read_text().replace('"HERE"', number))
    with pytest.raises(CheckpointError, match=PIXELS):
        find_checkpoint(str(folder))


def test_a_key_that_stands_twice_is_refused(clip: Path, copy: Copy):
    folder = copy(clip)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", '{"projection_dim": 8,', 1))
    with pytest.raises(CheckpointError, match="duplicate key 'projection_dim'"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("said", ["[]", "3", "null", "[" * 100_000, "\ud800", "", "{"])
@pytest.mark.parametrize("name", ["config.json", PIXELS, "tokenizer_config.json"])
def test_a_file_that_is_no_mapping_is_one_error(clip: Path, copy: Copy, name: str, said: str):
    folder = copy(clip)
    (folder / name).write_bytes(said.encode(errors="surrogatepass"))
    with pytest.raises(CheckpointError, match=name):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pipe_is_never_waited_for(clip: Path, copy: Copy, name: str):
    folder = copy(clip)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError, match="a pipe"):
        find_checkpoint(str(folder)).identity()


def test_a_configuration_without_a_model_type_is_refused(clip: Path, copy: Copy):
    with pytest.raises(CheckpointError, match="says no model_type"):
        find_checkpoint(str(copy(clip, model_type=...)))


def test_absent_and_null_values_are_the_librarys(clip: Path, copy: Copy):
    keys = (*rules.CONFIG, *(f"text_config__{key}" for key in rules.CONFIG))
    nulls = {key: None for key in keys if key not in ("model_type", "text_config")}
    find_checkpoint(str(copy(clip, **nulls)))
    find_checkpoint(str(copy(clip, **dict.fromkeys(nulls, ...))))
    find_checkpoint(str(copy(clip, PIXELS, **dict.fromkeys(rules.PREPROCESSOR))))


def test_what_real_checkpoints_say_is_accepted():
    clip = {
        "model_type": "clip", "projection_dim": 768, "torch_dtype": "float32",
        "text_config": {"hidden_size": 768, "num_attention_heads": 12, "dropout": 0.0},
        "vision_config": {"image_size": 336, "patch_size": 14, "hidden_size": 1024},
    }  # fmt: skip
    large = {"model_type": "xlm-roberta", "vocab_size": 250_002, "max_position_embeddings": 8194}
    giant = {"model_type": "dinov2", "image_size": 518, "patch_size": 14, "mlp_ratio": 4}
    small = {"model_type": "distilbert", "dim": 768, "n_heads": 12, "hidden_dim": 3072}
    assert [rules.broken_config(c) for c in (clip, large, giant, small)] == [None] * 4
    for said in (
        {"size": 224, "crop_size": 224, "resample": 3},
        {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
        {"size": {"height": 224, "width": 224}, "crop_size": None, "do_rescale": True},
        {"rescale_factor": 0.00392156862745098, "image_std": [0.26862954, 0.26130258, 0.27577711]},
    ):
        assert rules.broken(said, rules.PREPROCESSOR) is None
    assert rules.broken({"model_max_length": 10**30, "pad_token": {}}, rules.TOKENIZER) is None


def test_the_check_takes_no_time_and_builds_nothing(clip: Path, copy: Copy):
    folder = copy(clip, text_config__num_hidden_layers=100_000, projection_dim=60_000)
    begun = time.perf_counter()
    with pytest.raises(CheckpointError, match="num_hidden_layers"):
        find_checkpoint(str(folder))
    assert time.perf_counter() - begun < 0.5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)
TABLES = {
    "config.json": rules.CONFIG,
    PIXELS: rules.PREPROCESSOR,
    "tokenizer_config.json": rules.TOKENIZER,
    "1_Pooling/config.json": rules.POOLING,
    "modules.json": rules.MODULE,
}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(sorted(TABLES)), JSON)
@example(None, "config.json", {"model_type": "clip", "vision_config": {"image_size": [1]}})
def test_no_value_of_any_key_ends_in_anything_but_an_answer_or_the_one_error(
    clip: Path, copy: Copy, data: st.DataObject | None, name: str, value: Any
):
    folder = copy(clip)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    before = path.read_bytes() if path.exists() else None
    said = json.loads(before) if before else {}
    if data is None:
        said = value
    else:
        place = said if name != "config.json" else data.draw(
            st.sampled_from([said, said["text_config"], said["vision_config"]])
        )  # fmt: skip
        place[data.draw(st.sampled_from(sorted(TABLES[name])))] = value
    path.write_text(json.dumps([said] if name == "modules.json" else said))
    try:
        picture_side(find_checkpoint(str(folder)))
    except CheckpointError as error:
        told = str(error)
    else:
        told = str(folder)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
    assert str(folder) in told


# Which settings count


def test_a_processors_own_part_goes_before_the_older_file_as_in_transformers(
    clip: Path, copy: Copy
):
    from transformers import AutoImageProcessor

    mean = [0.1, 0.2, 0.3]
    part = {"image_processor_type": "CLIPImageProcessor", "image_mean": mean}
    folder = copy(clip, "processor_config.json", image_processor=part)
    assert list(AutoImageProcessor.from_pretrained(folder).image_mean) == mean
    assert find_checkpoint(str(folder)).preprocessor["image_mean"] == mean
    folder = copy(clip, "processor_config.json", image_processor=..., processor_class="X")
    assert find_checkpoint(str(folder)).preprocessor["image_mean"] == [0.48, 0.46, 0.41]


def test_a_preprocessor_of_another_size_than_the_models_is_refused(clip: Path, copy: Copy):
    for size in (32, {"shortest_edge": 32}, {"height": 32, "width": 32}, [32, 32]):
        folder = copy(clip, PIXELS, size=size)
        assert picture_side(Checkpoint("", folder)) == 32
    folder = copy(clip, PIXELS, size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    assert picture_side(Checkpoint("", folder)) == 32
    folder = copy(clip, PIXELS, size=48, crop_size=...)
    with pytest.raises(CheckpointError, match=r"takes pictures of 32 pixels .* makes them 48"):
        picture_side(Checkpoint("", folder))


def test_a_folder_whose_model_is_in_a_folder_of_its_own_says_which(clip: Path, copy: Copy):
    folder = copy(clip)
    steps = [{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=f"{folder}/0_Transformer"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("path", ["/etc", "../other", 3])
def test_a_module_outside_the_folder_is_refused(clip: Path, copy: Copy, path: Any):
    folder = copy(clip)
    (folder / "modules.json").write_text(json.dumps([{"type": "x.Pooling", "path": path}]))
    with pytest.raises(CheckpointError, match=r"0\.path: found .*, expected a folder beside it"):
        find_checkpoint(str(folder))
