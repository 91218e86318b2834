"""An encoder is known by the files that loading opens, whatever lies beside them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from stages.config import ExtractConfig
from stages.encode.encoders.bert_vit import BertVitEncoder
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError, find_checkpoint
from stages.encode.encoders.families import find_checkpoints, open_encoder
from stages.encode.encoders.files import weight_files
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.encoders.vilt import ViltEncoder
from stages.encode.tokens import Tokenizer
from tests.support.opens import opens_below
from tests.support.tiny_vilt import build_vilt

FORMS = ("safetensors", "sharded safetensors", "bin", "sharded bin")
DECOYS = ("open_clip_model.safetensors", "tf_model.h5", "pytorch_model_old.bin", "README.md")
CPU = torch.device("cpu")
PREPROCESSOR = "preprocessor_config.json"


def rewritten(folder: Path, form: str) -> Path:
    """The folder's weights in one of the four forms, other programs' weights beside them."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    suffix = "bin" if "bin" in form else "safetensors"
    stem = "pytorch_model" if suffix == "bin" else "model"
    names = sorted(weights)
    parts = [names[::2], names[1::2]] if "sharded" in form else [names]
    files = [
        f"{stem}.{suffix}" if len(parts) == 1 else f"{stem}-{i:05}-of-00002.{suffix}"
        for i in (1, 2)
    ]
    for part, file in zip(parts, files, strict=False):
        kept = {name: weights[name] for name in part}
        if suffix == "bin":
            torch.save(kept, folder / file)
        else:
            save_file(kept, folder / file, {"format": "pt"})
    if len(parts) == 2:
        places = {name: file for part, file in zip(parts, files, strict=True) for name in part}
        said = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(said))
    for decoy in DECOYS:
        (folder / decoy).write_bytes(b"another program's")
    return folder


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip, tmp_path / "clip"))


def require_opened_files_to_count(folder: Path, opened: set[Path]) -> None:
    """A changed byte in any of them changes the identity, and one in a decoy does not."""
    before = Checkpoint("", folder).identity()
    assert opened == {path for path in opened if path.is_file()}
    assert set(weight_files(folder)) <= opened
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        held = file.read_bytes()
        file.write_bytes(bytes([held[0] ^ 1]) + held[1:])
        if file in opened:
            assert changed_identity(folder) != before, file
        elif file.name in DECOYS:  # a tokenizer's other files may count
            assert changed_identity(folder) == before, file
        file.write_bytes(held)
    assert Checkpoint("", folder).identity() == before
    assert not opened.intersection(folder / name for name in DECOYS)


def changed_identity(folder: Path) -> str:
    try:
        return Checkpoint("", folder).identity()
    except CheckpointError:  # an index or a list of modules that is no JSON now
        return "refused"


@pytest.mark.parametrize("form", FORMS)
def test_every_file_that_a_clip_is_loaded_from_changes_its_identity_and_no_decoy_does(
    folder: Path, form: str
):
    rewritten(folder, form)
    with opens_below(folder) as opened:
        config = ExtractConfig(text_encoder=str(folder))
        found = find_checkpoints(config)
        open_encoder(found, config, CPU, torch.float32)
        Tokenizer(found.text, 16)(["a cat"])
    assert {file.name for file in opened} >= {"config.json", "tokenizer.json", PREPROCESSOR}
    require_opened_files_to_count(folder, opened)


def as_sentence_encoder(folder: Path) -> None:
    """Pools in a folder of another name than usual."""
    steps = [{"type": f"models.{kind}", "path": path} for kind, path in STEPS.items()]
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "1_Pooling").rename(folder / "pooled")


STEPS = {"Transformer": "", "Pooling": "pooled", "Normalize": "2_Normalize"}


def as_older_tokenizer(folder: Path) -> None:
    """One of files that newer versions put into others, with what they hold of chats."""
    (folder / "special_tokens_map.json").write_text(json.dumps({"unk_token": "[UNK]"}))
    (folder / "added_tokens.json").write_text(json.dumps({"[NEW]": 75}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "chat_templates").mkdir()
    (folder / "chat_templates" / "tool.jinja").write_text("{{ tools }}")


def as_newer_tokenizer(folder: Path) -> None:
    """One that transformers saved, by the version of its file."""
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "tokenizer.json").rename(folder / "tokenizer.4.0.0.json")
    said = json.loads((folder / "tokenizer_config.json").read_text())
    said["fast_tokenizer_files"] = ["tokenizer.4.0.0.json"]
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    shutil.copy(folder / "tokenizer.4.0.0.json", folder / "tokenizer.json")


@pytest.mark.parametrize("change", [as_sentence_encoder, as_older_tokenizer, as_newer_tokenizer])
@pytest.mark.parametrize("form", ["safetensors", "sharded bin"])
def test_every_file_that_a_bert_is_loaded_from_changes_its_identity(
    mean_bert: Path, tmp_path: Path, form: str, change: Callable[[Path], None]
):
    folder = Path(shutil.copytree(mean_bert, tmp_path / "bert"))
    change(rewritten(folder, form))
    with opens_below(folder) as opened:
        config = ExtractConfig(text_encoder=str(folder), image_encoder="none")
        found = find_checkpoints(config)
        encoder = open_encoder(found, config, CPU, torch.float32)
        Tokenizer(found.text, 16)(["a cat"])
    assert isinstance(encoder, BertVitEncoder)
    assert encoder.pooling == "mean"
    assert folder / "tokenizer_config.json" in opened
    require_opened_files_to_count(folder, opened)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("form", ["safetensors", "sharded bin"])
def test_every_file_that_a_vit_is_loaded_from_changes_its_identity(
    bert: Path, vit: Path, tmp_path: Path, form: str, nested: bool
):
    folder = rewritten(Path(shutil.copytree(vit, tmp_path / "vit")), form)
    if nested:
        said = {"image_processor": json.loads((folder / PREPROCESSOR).read_text())}
        (folder / "processor_config.json").write_text(json.dumps(said))
    with opens_below(folder) as opened:
        config = ExtractConfig(text_encoder=str(bert), image_encoder=str(folder))
        open_encoder(find_checkpoints(config), config, CPU, torch.float32)
    names = {"config.json", PREPROCESSOR, *(["processor_config.json"] if nested else [])}
    assert {file.name for file in opened} >= names
    require_opened_files_to_count(folder, opened)


@pytest.mark.parametrize("form", ["safetensors", "sharded bin"])
def test_every_file_that_a_vilt_is_loaded_from_changes_its_identity(tmp_path: Path, form: str):
    folder = rewritten(build_vilt(tmp_path / "vilt"), form)
    with opens_below(folder) as opened:
        found = find_checkpoint(str(folder))
        ViltEncoder(found, CPU, torch.float32)
        Tokenizer(found, 16)(["a cat"])
    assert {file.name for file in opened} >= {"config.json", "vocab.txt", PREPROCESSOR}
    require_opened_files_to_count(folder, opened)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_weights(clip, folder, form):
    one, other = (
        load_frozen(
            "CLIPModel", find_checkpoint(str(path)), torch.device("cpu"), torch.float32
        ).state_dict()
        for path in (clip, rewritten(folder, form))
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_bin_beside_the_safetensors_is_not_opened_and_does_not_count(folder):
    before = find_checkpoint(str(folder)).identity()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert find_checkpoint(str(folder)).identity() == before


@pytest.mark.parametrize("named", ["model-9.safetensors", "../model.safetensors", "", 3])
def test_an_index_names_shards_of_its_own_folder(folder, named):
    rewritten(folder, "sharded safetensors")
    said = {"weight_map": {"a": named}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="names the shard"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("said", ["{}", '{"weight_map": 3}', '{"weight_map": {}}', "[" * 100_000])
def test_an_index_without_shards_is_an_error(folder, said):
    rewritten(folder, "sharded safetensors")
    (folder / "model.safetensors.index.json").write_text(said)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        find_checkpoint(str(folder))


def test_an_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="merge it"):
        find_checkpoint(str(folder))
