"""Code of a checkpoint is never run, and nobody is asked whether it should be."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.config import ExtractConfig
from stages.encode.encoders.checkpoint import CheckpointError, find_checkpoint
from stages.encode.encoders.encoder import Encoder, pad_ids
from stages.encode.encoders.families import find_checkpoints
from stages.encode.tokens import Tokenizer
from tests.stages.encode.encoders.conftest import Copy

OWN = {"AutoConfig": "modeling_x.C", "AutoModel": "modeling_x.M"}
OWN_TOKENIZER = {"AutoTokenizer": ["modeling_x.T", None]}


@pytest.fixture
def own_code(
    bert: Path, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], bool]:
    """A BERT's copy with a modeling_x.py; whether that has run. No question may be asked."""

    def ask(*_: object) -> str:
        raise AssertionError("a question in a batch command")

    monkeypatch.setattr("builtins.input", ask)
    ran = tmp_path / "ran"
    (copy(bert) / "modeling_x.py").write_text(f"open({str(ran)!r}, 'w')\nC = M = T = object\n")
    return ran.exists


def config_of(folder: Path) -> ExtractConfig:
    return ExtractConfig(text_encoder=str(folder), image_encoder="none")


def test_a_model_that_needs_its_own_code_is_refused_by_name(
    bert: Path, copy: Copy, own_code: Callable[[], bool]
):
    folder = copy(bert, model_type="x", auto_map=OWN)
    with pytest.raises(CheckpointError) as caught:
        find_checkpoints(config_of(folder))
    assert (
        "models of type x are not supported as text encoders (code of a checkpoint is never run); "
        "supported: CLIP"
    ) in str(caught.value)
    assert not own_code()


def test_code_without_weights_is_told_that_it_is_never_run(
    bert: Path, copy: Copy, own_code: Callable[[], bool]
):
    folder = copy(bert, model_type="x", auto_map=OWN)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no weights .*; code of a checkpoint is never run"):
        find_checkpoints(config_of(folder))
    assert not own_code()


@pytest.mark.parametrize(("kind", "part"), [("t5", "text"), ("convnext", "image")])
def test_a_model_of_no_listed_family_is_one_error_with_the_list(
    bert: Path, tmp_path: Path, kind: str, part: str
):
    import transformers

    names = {"t5": "T5EncoderModel", "convnext": "ConvNextModel"}
    sizes = {"t5": {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 4,
                    "vocab_size": 64},
             "convnext": {"hidden_sizes": [8] * 4, "depths": [1] * 4}}  # fmt: skip
    model = getattr(transformers, names[kind])
    model(model.config_class(**sizes[kind])).save_pretrained(tmp_path / kind)
    encoders = {"text_encoder": str(bert), f"{part}_encoder": str(tmp_path / kind)}
    with pytest.raises(CheckpointError, match="supported: ") as caught:
        find_checkpoints(ExtractConfig(**{"image_encoder": "none", **encoders}))
    assert f"models of type {kind} are not supported as {part} encoders" in str(caught.value)


def test_a_native_model_with_own_code_besides_has_the_native_models_features(
    bert: Path, copy: Copy, own_code: Callable[[], bool], opened: Callable[..., Encoder]
):
    def features(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
        rows = Tokenizer(find_checkpoint(str(folder)), 16)(["a cat", "the dog"])
        ids, mask = pad_ids(rows, 0, torch.device("cpu"))
        return opened(folder, image_encoder="none").encode_texts(ids, mask)

    plain = features(bert)
    folder = copy(bert, auto_map=OWN)
    copy(bert, "tokenizer_config.json", auto_map=OWN_TOKENIZER)
    assert all(map(torch.equal, features(folder), plain))
    assert not own_code()


def test_a_tokenizer_that_needs_its_own_code_is_refused_not_replaced(
    bert: Path, copy: Copy, own_code: Callable[[], bool]
):
    for name in ("OwnTokenizer", None):
        folder = copy(bert, "tokenizer_config.json", tokenizer_class=name, auto_map=OWN_TOKENIZER)
        with pytest.raises(CheckpointError, match="code of a checkpoint is never run"):
            Tokenizer(find_checkpoint(str(folder)), 16)
    assert not own_code()
