"""Each family's features are those that the plain library gives, whatever files it is saved in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoTokenizer

from stages.encode.decode import normalised
from stages.encode.encoders.checkpoint import CheckpointError, find_checkpoint
from stages.encode.encoders.encoder import Encoder, pad_ids, pixels_of
from stages.encode.encoders.models import IMAGE_MODELS, TEXT_MODELS, picture_side
from stages.encode.tokens import Tokenizer
from tests.support.small_project import build_bert, random_picture
from tests.support.tiny_encoders import (
    BOTH,
    IMAGES,
    NORMALISATION,
    TEXTS,
    TOKENIZERS,
    Tiny,
    build_image,
    build_siglip,
    build_text,
)

Open = Callable[..., Encoder]
CPU = torch.device("cpu")
SENTENCES = ["a cat", "the cat, 42 years old!", "", "long words " * 40, "x"]
MOST = 40
"""Tokens: the small models have 42 positions, of which RoBERTa's kin use 40."""


def all_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=3e-6, rtol=2e-5)


def one_by_one(folder: Path, **padding: Any) -> list[torch.Tensor]:
    """Ids of each sentence alone, shape: (1, n_t)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    more = {"truncation": True, "max_length": MOST, "return_tensors": "pt"} | padding
    return [tokenizer(sentence, **more)["input_ids"] for sentence in SENTENCES]


def encoded_texts(encoder: Encoder, folder: Path) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Global features, and each sentence's real tokens, of one ragged batch."""
    tokenizer = Tokenizer(find_checkpoint(str(folder)), MOST)
    rows = tokenizer(SENTENCES)
    assert [len(row) for row in rows].count(MOST) == 1
    pooled, local = encoder.encode_texts(*pad_ids(rows, tokenizer.pad, CPU))
    return pooled, [tokens[: len(row)] for tokens, row in zip(local, rows, strict=True)]


@torch.inference_mode()
def check_texts(encoder: Encoder, tiny: Tiny, pooling: str) -> None:
    pooled, local = encoded_texts(encoder, tiny.folder)
    for i, ids in enumerate(one_by_one(tiny.folder)):
        states = tiny.model(input_ids=ids).last_hidden_state[0]
        all_close(local[i], states)
        all_close(pooled[i], states[0] if pooling == "cls" else states.mean(0))
    assert encoder.shapes.d_t == pooled.shape[1]


@torch.inference_mode()
def check_pictures(encoder: Encoder, tiny: Tiny, pooled_by: str) -> None:
    assert encoder.pixels is not None
    side = encoder.pixels.size
    pixels = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(2))
    pooled, local = encoder.encode_images(pixels)
    theirs = tiny.model(pixel_values=pixels)
    states = theirs.last_hidden_state
    all_close(local, states)
    all_close(pooled, theirs.pooler_output if pooled_by == "pooler" else states[:, 0])
    shapes = encoder.shapes
    assert (shapes.d_image, shapes.n_p, shapes.d_patch) == (pooled.shape[1], *local.shape[1:])


# Every family


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_encoders_features_are_the_librarys(
    tmp_path: Path, opened: Open, name: str, head: bool
):
    tiny = build_text(name, tmp_path / "text", head)
    for pooling in ("cls", "mean"):
        check_texts(opened(tiny.folder, image_encoder="none", text_pooling=pooling), tiny, pooling)


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("name", IMAGES)
def test_a_picture_encoders_features_are_the_librarys(
    tmp_path: Path, bert: Path, opened: Open, name: str, head: bool
):
    tiny = build_image(name, tmp_path / "image", head)
    by = "pooler" if name in ("beit", "siglip_vision_model") else "cls"
    check_pictures(opened(bert, image_encoder=str(tiny.folder)), tiny, by)


@torch.inference_mode()
def check_both(encoder: Encoder, tiny: Tiny, name: str) -> None:
    model = tiny.model
    whole = {"padding": "max_length", "max_length": 42} if name == "SigLIP" else {}
    pooled, local = encoded_texts(encoder, tiny.folder)
    for i, ids in enumerate(one_by_one(tiny.folder)):
        filled = cut_and_filled(tiny.folder, ids, 42) if whole else ids
        theirs = model.get_text_features(input_ids=filled)
        all_close(pooled[i], theirs.pooler_output[0])
        all_close(local[i], model.text_model(input_ids=filled).last_hidden_state[0, : ids.shape[1]])
    assert encoder.pixels is not None
    side = encoder.pixels.size
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    pooled, local = encoder.encode_images(pixels)
    all_close(pooled, model.get_image_features(pixel_values=pixels).pooler_output)
    all_close(local, model.vision_model(pixel_values=pixels).last_hidden_state)
    assert encoder.shapes.n_p == local.shape[1]


@pytest.mark.parametrize("name", BOTH)
def test_an_encoder_of_both_gives_the_librarys_embeddings(tmp_path: Path, opened: Open, name: str):
    tiny = BOTH[name](tmp_path / "both")
    check_both(opened(tiny.folder), tiny, name)


@pytest.mark.parametrize("name", BOTH)
def test_the_texts_of_an_encoder_of_both_are_read_without_its_pictures(
    tmp_path: Path, opened: Open, name: str
):
    tiny = BOTH[name](tmp_path / "both")
    encoder = opened(tiny.folder, image_encoder="none")
    assert encoder.pixels is None
    ours, theirs = (encoded_texts(e, tiny.folder) for e in (encoder, opened(tiny.folder)))
    assert torch.equal(ours[0], theirs[0])


def cut_and_filled(folder: Path, ids: torch.Tensor, positions: int) -> torch.Tensor:
    """As SigLIP's texts are given to it: padded to all positions, no mask."""
    padding = AutoTokenizer.from_pretrained(folder).pad_token_id
    filled = torch.full((1, positions), padding)
    filled[:, : ids.shape[1]] = ids
    return filled


@pytest.mark.parametrize("name", ["Chinese-CLIP", "SigLIP", "CLIP ViT-B/32"])
def test_the_vision_tower_of_an_encoder_of_both_serves_a_text_encoder(
    tmp_path: Path, bert: Path, opened: Open, name: str
):
    tiny = BOTH[name](tmp_path / "both")
    encoder = opened(bert, image_encoder=str(tiny.folder))
    tower = Tiny(tiny.folder, tiny.model.vision_model)
    check_pictures(encoder, tower, "pooler" if name == "SigLIP" else "cls")


@pytest.mark.parametrize("name", ["dinov2", "dinov2_with_registers"])
def test_a_dinov2_takes_the_preprocessors_size(tmp_path: Path, bert: Path, opened: Open, name: str):
    tiny = build_image(name, tmp_path / "image")
    sizes = {"size": {"shortest_edge": 56}, "crop_size": {"height": 48, "width": 48}}
    for said, side in (({}, 32), (sizes, 48), (sizes | {"do_center_crop": False}, 56)):
        (tiny.folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION | said))
        encoder = opened(bert, image_encoder=str(tiny.folder))
        assert encoder.pixels is not None
        assert encoder.pixels.size == side
        check_pictures(encoder, tiny, "cls")
        found = find_checkpoint(str(tiny.folder))
        assert picture_side(found) == side  # what the fingerprint has


@pytest.mark.parametrize("said", [{}, {"do_normalize": False}, {"image_std": [0.5, 0.25, 0.125]}])
def test_pixels_are_the_librarys_image_processors(tmp_path: Path, said: dict[str, Any]):
    folder = build_image("vit", tmp_path / "vit").folder
    more = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION | more | said))
    picture = random_picture(0, 32, 32)
    theirs = AutoImageProcessor.from_pretrained(folder)(picture, return_tensors="pt")
    pixels = pixels_of(find_checkpoint(str(folder)), 32)
    ours = normalised(np.array(picture)[None], pixels, CPU)
    torch.testing.assert_close(ours, theirs["pixel_values"], atol=2e-6, rtol=1e-5)


def test_every_model_that_is_listed_is_tried_here():
    assert set(TEXTS) == set(TEXT_MODELS) == set(TOKENIZERS)
    tried = {name.partition(" of ")[0].partition(",")[0] for name in IMAGES}
    assert tried | {"clip", "chinese_clip", "siglip"} == set(IMAGE_MODELS)


# Every layout of files

LAYOUTS = ("sharded", "bin", "sharded bin", "half")


def laid_out(tiny: Tiny, layout: str) -> None:
    """The folder's weights in other files."""
    folder = tiny.folder
    if layout == "half":
        buffers = {name: values.clone() for name, values in tiny.model.named_buffers()}
        tiny.model.half().save_pretrained(folder)
        tiny.model.float()
        for name, values in tiny.model.named_buffers():  # which no file holds
            values.copy_(buffers[name])
    if "sharded" in layout:
        (folder / "model.safetensors").unlink()
        tiny.model.save_pretrained(folder, max_shard_size="20KB")
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    if "bin" in layout:
        for file in list(folder.glob("model*.safetensors")):
            other = file.name.replace("model", "pytorch_model").replace(".safetensors", ".bin")
            torch.save(load_file(file), folder / other)
            file.unlink()
        for index in list(folder.glob("model.safetensors.index.json")):
            said = index.read_text().replace('"model-', '"pytorch_model-')
            said = said.replace('.safetensors"', '.bin"')
            (folder / "pytorch_model.bin.index.json").write_text(said)
            index.unlink()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_encoder_is_read_from_every_layout(
    tmp_path: Path, opened: Open, name: str, layout: str
):
    tiny = build_text(name, tmp_path / "text")
    laid_out(tiny, layout)
    check_texts(opened(tiny.folder, image_encoder="none", text_pooling="mean"), tiny, "mean")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", IMAGES)
def test_a_picture_encoder_is_read_from_every_layout(
    tmp_path: Path, bert: Path, opened: Open, name: str, layout: str
):
    tiny = build_image(name, tmp_path / "image")
    laid_out(tiny, layout)
    by = "pooler" if name in ("beit", "siglip_vision_model") else "cls"
    check_pictures(opened(bert, image_encoder=str(tiny.folder)), tiny, by)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", BOTH)
def test_an_encoder_of_both_is_read_from_every_layout(
    tmp_path: Path, opened: Open, name: str, layout: str
):
    tiny = BOTH[name](tmp_path / "both")
    laid_out(tiny, layout)
    check_both(opened(tiny.folder), tiny, name)


@pytest.mark.parametrize("name", ["bert", "roberta", "mpnet"])
def test_a_tokenizer_of_several_files_gives_the_ids_of_the_single_one(tmp_path: Path, name: str):
    folder = build_text(name, tmp_path / "text").folder
    before = Tokenizer(find_checkpoint(str(folder)), MOST)(SENTENCES)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    (folder / "tokenizer.json").unlink()
    if name == "roberta":
        (folder / "vocab.json").write_text(json.dumps(tokenizer.get_vocab()))
        (folder / "merges.txt").write_text("#version: 0.2\n")
    else:
        (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    after = Tokenizer(find_checkpoint(str(folder)), MOST)(SENTENCES)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


# SigLIP's own tokenizer


@torch.inference_mode()
def test_a_siglip_with_a_sentencepiece_model_alone_is_read(tmp_path: Path, opened: Open):
    import sentencepiece
    from transformers import SiglipTokenizer

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_prefix=str(tmp_path / "spiece"),
        vocab_size=30, hard_vocab_limit=False, bos_id=-1, unk_id=2, eos_id=1, pad_id=0,
        minloglevel=2,
    )  # fmt: skip
    tokenizer = SiglipTokenizer(str(tmp_path / "spiece.model"))
    tiny = build_siglip(tmp_path / "siglip", tokenizer)
    assert not list(tiny.folder.glob("tokenizer.json"))
    pooled, _ = encoded_texts(opened(tiny.folder), tiny.folder)
    for i, ids in enumerate(one_by_one(tiny.folder)):
        filled = cut_and_filled(tiny.folder, ids, 42)
        all_close(pooled[i], tiny.model.get_text_features(input_ids=filled).pooler_output[0])


def test_a_tokenizer_that_needs_what_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = build_siglip(tmp_path / "siglip").folder

    def lacks(*_: Any, **__: Any) -> None:
        raise ImportError("\nSiglipTokenizer requires the SentencePiece library but it is not here")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lacks)
    with pytest.raises(CheckpointError, match="requires the SentencePiece library") as caught:
        Tokenizer(find_checkpoint(str(folder)), MOST)
    assert "pip install 'melov-cache[siglip]'" in str(caught.value)


def test_a_tokenizer_that_lacks_its_own_unknown_token_is_one_error(tmp_path: Path):
    folder = build_siglip(tmp_path / "siglip").folder
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(said | {"unk_token": "<other>"}))
    tokenizer = Tokenizer(find_checkpoint(str(folder)), MOST)
    with pytest.raises(CheckpointError, match="cannot load the ids of a text: Unk token"):
        tokenizer(["\u4eac"])


# Positions


@pytest.mark.parametrize("name", TEXTS)
def test_as_many_tokens_as_there_are_positions_are_read_and_no_more(
    tmp_path: Path, opened: Open, name: str
):
    folder = build_text(name, tmp_path / "text").folder
    most = 40 if name in ("camembert", "mpnet", "roberta", "xlm-roberta") else 42
    encoder = opened(folder, image_encoder="none", max_tokens=most)
    (row,) = Tokenizer(find_checkpoint(str(folder)), most)(["long words " * 40])
    assert len(row) == most
    encoder.encode_texts(*pad_ids([row], 0, CPU))
    with pytest.raises(CheckpointError, match=f"reads {most} tokens of a text at most") as caught:
        opened(folder, image_encoder="none", max_tokens=most + 1)
    assert caught.value.hint == f"--set extract.max_tokens={most}"


@pytest.mark.parametrize("name", BOTH)
def test_an_encoder_of_both_reads_as_many_tokens_as_it_has_positions(
    tmp_path: Path, opened: Open, name: str
):
    folder = BOTH[name](tmp_path / "both").folder
    most = 77 if name.startswith("CLIP") else 42
    encoder = opened(folder, max_tokens=most)
    (row,) = Tokenizer(find_checkpoint(str(folder)), most)(["long words " * 40])
    assert len(row) == most
    encoder.encode_texts(*pad_ids([row], 0, CPU))
    with pytest.raises(CheckpointError) as caught:
        opened(folder, max_tokens=most + 1)
    assert caught.value.hint == f"--set extract.max_tokens={most}"


def test_positions_that_config_json_leaves_out_are_the_librarys(tmp_path: Path):
    folder = BOTH["CLIP ViT-B/32"](tmp_path / "clip").folder
    said = json.loads((folder / "config.json").read_text())
    assert said["text_config"].pop("max_position_embeddings") == 77
    (folder / "config.json").write_text(json.dumps(said))
    Tokenizer(find_checkpoint(str(folder)), 77)
    with pytest.raises(CheckpointError, match=r"set extract\.max_tokens=77"):
        Tokenizer(find_checkpoint(str(folder)), 78)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_by_the_token(tmp_path: Path):
    folder = build_bert(tmp_path / "bert")
    words = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(words + "zebra\n")
    tokenizer = Tokenizer(find_checkpoint(str(folder)), MOST)
    tokenizer(["a cat"])
    with pytest.raises(CheckpointError, match=r"the token 143 \('zebra'\), its model has 143"):
        tokenizer(["a cat", "a zebra"])


@pytest.mark.parametrize("number", [143, 2**31, 2**32 - 1])
@pytest.mark.parametrize("word", ["cat", "[PAD]"])
def test_a_token_of_a_number_that_the_model_lacks_is_one_error(
    tmp_path: Path, word: str, number: int
):
    folder = build_bert(tmp_path / "bert")
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    said = json.loads((folder / "tokenizer.json").read_text())
    said["model"]["vocab"][word] = number
    for token in said["added_tokens"]:
        token["id"] = said["model"]["vocab"][token["content"]]
    (folder / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match=f"the token {number} .*its model has 143"):
        Tokenizer(find_checkpoint(str(folder)), MOST)(["a cat"])
