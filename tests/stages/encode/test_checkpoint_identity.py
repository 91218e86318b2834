"""An encoder is known by the files that loading opens, whatever lies beside them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cache.errors import MelovError
from stages.encode.encoders.checkpoint import (
    Checkpoint,
    CheckpointError,
    find_checkpoint,
    weight_files,
)
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.tokens import Tokenizer

FORMS = ("safetensors", "sharded safetensors", "bin", "sharded bin")
OPENED = """
import sys
opened = set()
sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
import torch
from stages.encode.encoders.checkpoint import find_checkpoint
from stages.encode.encoders.pretrained import load_frozen
from stages.encode.tokens import Tokenizer
found = find_checkpoint(sys.argv[1])
model = load_frozen("CLIPModel", found, torch.device("cpu"), torch.float32)
Tokenizer(found, 16)
found.preprocessor
maps = open("/proc/self/maps").read()
opened |= {line.split(maxsplit=5)[5] for line in maps.splitlines() if sys.argv[1] in line}
print("\\n".join(sorted(opened)))
"""


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
    for decoy in ("open_clip_model.safetensors", "tf_model.h5", "pytorch_model_old.bin"):
        (folder / decoy).write_bytes(b"another program's")
    return folder


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip, tmp_path / "clip"))


@pytest.mark.parametrize("form", FORMS)
def test_every_file_that_loading_opens_changes_the_identity_and_no_decoy_does(folder, form):
    rewritten(folder, form)
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(folder)], capture_output=True, text=True, check=True
    )
    opened = {Path(line) for line in done.stdout.splitlines() if line.startswith(f"{folder}/")}
    assert set(weight_files(folder)) <= opened
    before = find_checkpoint(str(folder)).identity()
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        held = file.read_bytes()
        file.write_bytes(held + b" ")
        if file in opened:
            assert Checkpoint("", folder).identity() != before, file
        elif file.suffix != ".json":  # a tokenizer's other files may count
            assert Checkpoint("", folder).identity() == before, file
        file.write_bytes(held)
    assert Checkpoint("", folder).identity() == before


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


def test_code_of_a_checkpoint_is_neither_run_nor_asked_about(folder, monkeypatch):
    def ask(*_: object) -> str:
        raise AssertionError("a question in a batch command")

    monkeypatch.setattr("builtins.input", ask)
    ran = folder / "ran"
    (folder / "modeling_x.py").write_text(f"open({str(ran)!r}, 'w')")
    said = {
        "model_type": "x",
        "auto_map": {"AutoConfig": "modeling_x.C", "AutoModel": "modeling_x.M"},
    }
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="code of a checkpoint is never run"):
        load_frozen("AutoModel", find_checkpoint(str(folder)), torch.device("cpu"), torch.float32)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["modeling_x.T", None]}})
    )
    with pytest.raises(CheckpointError):
        Tokenizer(find_checkpoint(str(folder)), 16)
    assert not ran.exists()


def test_a_bin_that_holds_code_is_refused_unrun(folder, tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Runs()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot load CLIPModel"):
        load_frozen("CLIPModel", find_checkpoint(str(folder)), torch.device("cpu"), torch.float32)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"projection_dim": "wide"},
        {"projection_dim": None},
        {"text_config": {"hidden_size": []}},
        {"vision_config": {"num_hidden_layers": "two"}},
        {"vision_config": {"image_size": 10**400}},
        {"text_config": 3},
    ],
)
def test_a_configuration_of_other_types_is_one_error(folder, change):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(MelovError, match=str(folder)):
        load_frozen("CLIPModel", find_checkpoint(str(folder)), torch.device("cpu"), torch.float32)
