"""The demo's small CLIP: it learns, it is reproducible, and any transformers code can load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from cache.errors import MelovError
from stages.config import DemoEncoderConfig, ExtractConfig
from stages.demo.encoders.clip import SMALL_CLIP, retrieval_accuracy
from stages.demo.encoders.pairs import read_pairs
from stages.demo.encoders.tokenizer import END, START, train_tokenizer
from stages.demo.encoders.training import IMAGE_SIZE, train
from stages.encode.decode import decode, normalised
from stages.encode.encoders.encoder import Pixels
from stages.encode.encoders.families import find_checkpoints, open_encoder

TINY = DemoEncoderConfig(epochs=5, batch_size=24, learning_rate=2e-3)
ONE_EPOCH = DemoEncoderConfig(epochs=1, batch_size=64, learning_rate=2e-3)
CAPTIONS = 320  # of the fixture `raw`


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(raw, one_thread):
    return train(SMALL_CLIP, raw, TINY)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["A red star badge on Keller.", "Keller [SEP] the Lisbon regatta"], 600)


def test_training_lowers_the_loss_and_retrieval_is_above_chance(trained, raw):
    assert trained.losses[-1] < trained.losses[0] - 0.2
    assert trained.held_out == CAPTIONS // 10
    held_out = read_pairs(raw, IMAGE_SIZE).held_out
    found = retrieval_accuracy(trained.model, trained.tokenizer, held_out, top=CAPTIONS // 40)
    assert found > 0.45  # a quarter by chance
    assert retrieval_accuracy(trained.model, trained.tokenizer, held_out) == trained.retrieval


def test_same_seed_same_weights_other_seed_other_weights_global_random_state_untouched(raw):
    before = torch.get_rng_state()
    first, second = (train(SMALL_CLIP, raw, ONE_EPOCH).model.state_dict() for _ in range(2))
    other = train(SMALL_CLIP, raw, ONE_EPOCH.model_copy(update={"seed": 1})).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["text_projection.weight"], other["text_projection.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_saved_folder_reloads_with_identical_outputs(trained, tmp_path):
    trained.save(tmp_path)
    model = CLIPModel.from_pretrained(tmp_path, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    texts = ["Müller [SEP] At the Lisbon regatta, Müller sang.", "田中", ""]
    ours = trained.tokenizer(texts, padding=True, return_tensors="pt")
    loaded = tokenizer(texts, padding=True, return_tensors="pt")
    assert torch.equal(ours["input_ids"], loaded["input_ids"])
    pixels = torch.rand(3, 3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.inference_mode():
        before = trained.model(**ours, pixel_values=pixels)
        after = model(**loaded, pixel_values=pixels)
    assert torch.equal(before.text_embeds, after.text_embeds)
    assert torch.equal(before.image_embeds, after.image_embeds)


def test_the_saved_preprocessing_gives_the_pixels_that_training_saw(trained, raw, tmp_path):
    trained.save(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path, local_files_only=True)
    path = raw / "caption_image" / "000000.jpg"
    with Image.open(path) as picture:
        theirs = processor(picture, return_tensors="pt")["pixel_values"]
    pixels = np.stack([decode(path.read_bytes(), IMAGE_SIZE, "squash")])
    size = Pixels(IMAGE_SIZE, tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD))
    ours = normalised(pixels, size, torch.device("cpu"))
    torch.testing.assert_close(theirs, ours, atol=0.05, rtol=0)  # decoders may round differently


def test_padding_does_not_change_a_texts_embedding(trained):
    short, long = "a red star", "photo of the striker on the grass, in red with white hoops"
    with torch.inference_mode():
        alone = trained.model.text_model(**trained.tokenizer([short], return_tensors="pt"))
        batch = trained.tokenizer([short, long], padding=True, return_tensors="pt")
        padded = trained.model.text_model(**batch)
    torch.testing.assert_close(alone.pooler_output[0], padded.pooler_output[0])


def test_extraction_opens_the_folder_and_pools_as_the_model_does(trained, tmp_path):
    trained.save(tmp_path)
    config = ExtractConfig(text_encoder=str(tmp_path))
    checkpoints = find_checkpoints(config)
    encoder = open_encoder(checkpoints, config, torch.device("cpu"), torch.float32)
    assert encoder.pixels is not None
    assert encoder.pixels.size == IMAGE_SIZE
    batch = trained.tokenizer(["a red star", "Keller"], padding=True, return_tensors="pt")
    pooled, _ = encoder.encode_texts(batch["input_ids"], batch["attention_mask"])
    with torch.inference_mode():
        expected = trained.model.text_projection(trained.model.text_model(**batch).pooler_output)
    torch.testing.assert_close(pooled, expected)


def test_the_same_texts_give_the_same_tokenizer(raw):
    # The library's trainer breaks ties at random; one run in two differed before we numbered them.
    texts = read_pairs(raw, 16).vocabulary_texts
    first, *others = (train_tokenizer(texts).backend_tokenizer.to_str() for _ in range(8))
    assert all(other == first for other in others)


def test_the_tokenizer_appends_the_end_and_keeps_it_when_it_truncates(tokenizer):
    for text in ("a star", "a star " * 100, ""):
        ids = tokenizer(text, truncation=True, max_length=12)["input_ids"]
        assert len(ids) <= 12
        assert ids[0] == tokenizer.convert_tokens_to_ids(START)
        assert ids[-1] == tokenizer.convert_tokens_to_ids(END)
        assert ids.count(ids[-1]) == 1


def test_the_tokenizer_knows_every_byte_ignores_case_and_ends_with_the_end(tokenizer):
    end = tokenizer.convert_tokens_to_ids(END)
    assert end == len(tokenizer) - 1 == tokenizer.pad_token_id
    ids = tokenizer("Жук 猫 حداد é \x00 🙂")["input_ids"]
    assert ids.count(end) == 1  # nothing unknown: the unknown token is the end
    assert tokenizer("KELLER")["input_ids"] == tokenizer("keller")["input_ids"]
    assert len(tokenizer("keller")["input_ids"]) == 3  # a word of the corpus is one token


def test_training_pairs_leave_out_held_out_captions_and_broken_pictures(raw):
    pairs = read_pairs(raw, 16, held_out=20)
    assert len(pairs.held_out) == 20
    assert len(pairs.captions) == CAPTIONS - 20
    seen = {picture.tobytes() for picture in pairs.captions.pictures}
    assert not any(picture.tobytes() in seen for picture in pairs.held_out.pictures)
    assert len(pairs.mentions) + pairs.skipped == 70  # the training split alone
    assert pairs.skipped > 0
    assert pairs.mentions.pictures.dtype == np.uint8


def test_training_reads_neither_validation_nor_test_nor_a_picture_of_the_knowledge_base(
    raw, tmp_path
):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("captions.json", "kb_entity.json", "DEMO_train.json"):
        (folder / name).write_bytes((raw / name).read_bytes())
    for name in ("caption_image", "mention_image"):
        (folder / name).symlink_to(raw / name, target_is_directory=True)
    whole, partial = read_pairs(raw, 16), read_pairs(folder, 16)
    assert partial.vocabulary_texts == whole.vocabulary_texts
    assert np.array_equal(partial.mentions.pictures, whole.mentions.pictures)


def test_a_missing_raw_folder_names_the_command_that_writes_it(tmp_path: Path):
    with pytest.raises(MelovError, match=r"python -m pipeline\.demo"):
        train(SMALL_CLIP, tmp_path, TINY)
