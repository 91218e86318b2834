"""The demo's small ViLT: it learns, it is reproducible, and any transformers code can load it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, ViltModel

from stages.config import DemoEncoderConfig
from stages.demo.encoders.pairs import read_pairs
from stages.demo.encoders.training import IMAGE_SIZE, token_ids, train
from stages.demo.encoders.vilt import SMALL_VILT, unit_joint
from stages.demo.encoders.wordpiece import train_wordpiece
from stages.encode.decode import normalised
from stages.encode.encoders.checkpoint import find_checkpoint
from stages.encode.encoders.encoder import pad_ids
from stages.encode.encoders.vilt import ViltEncoder

LEARNS = DemoEncoderConfig(epochs=8, batch_size=24, learning_rate=2e-3)
ONE_EPOCH = DemoEncoderConfig(epochs=1, batch_size=64, learning_rate=2e-3)
TEXTS = ["Müller [SEP] At the Lisbon regatta, Müller sang.", "a red star on white", ""]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(raw, one_thread):
    return train(SMALL_VILT, raw, LEARNS)


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / "vilt"
    trained.save(folder)
    return folder


def pixels(seed: int) -> np.ndarray:
    shape = (len(TEXTS), IMAGE_SIZE, IMAGE_SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_training_lowers_the_loss_and_a_text_finds_its_own_pair_more_often_than_at_the_start(
    trained, raw
):
    assert trained.losses[-1] < trained.losses[0] - 0.4
    held_out = read_pairs(raw, IMAGE_SIZE).held_out
    assert trained.held_out == len(held_out) == 32
    assert (
        SMALL_VILT.retrieval_accuracy(trained.model, trained.tokenizer, held_out)
        == trained.retrieval
    )
    torch.manual_seed(0)
    fresh = ViltModel(trained.model.config, add_pooling_layer=False).eval()
    before = SMALL_VILT.retrieval_accuracy(fresh, trained.tokenizer, held_out, top=8)
    after = SMALL_VILT.retrieval_accuracy(trained.model, trained.tokenizer, held_out, top=8)
    assert after > before + 0.2  # a quarter by chance


def test_same_seed_same_weights_other_seed_other_weights_global_random_state_untouched(raw):
    before = torch.get_rng_state()
    first = train(SMALL_VILT, raw, ONE_EPOCH).model.state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)  # whatever runs between
    second = train(SMALL_VILT, raw, ONE_EPOCH).model.state_dict()
    other = train(SMALL_VILT, raw, ONE_EPOCH.model_copy(update={"seed": 1})).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layernorm.weight"], other["layernorm.weight"])


def test_the_joint_encoder_opens_the_folder_and_gives_the_state_that_was_trained(trained, folder):
    encoder = ViltEncoder(find_checkpoint(str(folder)), torch.device("cpu"), torch.float32)
    assert (encoder.d, encoder.pixels.size) == (128, IMAGE_SIZE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [np.array(row, np.int32) for row in tokenizer(TEXTS)["input_ids"]]
    ids, mask = pad_ids(rows, tokenizer.pad_token_id, torch.device("cpu"))
    blank = np.array([False, True, False])
    x = normalised(pixels(0), encoder.pixels, torch.device("cpu"))
    x[1] = 0
    found = torch.nn.functional.normalize(encoder.encode_pairs(ids, mask, x), dim=-1)
    ours = token_ids(TEXTS, trained.tokenizer)
    with torch.inference_mode():
        expected = unit_joint(trained.model, ours, pixels(0), blank)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_both_text_and_picture_move_the_joint_vector_and_what_a_blank_covers_does_not(trained):
    ids = token_ids(TEXTS, trained.tokenizer)
    seen, blank = np.zeros(3, bool), np.ones(3, bool)
    with torch.inference_mode():
        one = unit_joint(trained.model, ids, pixels(0), seen)
        picture = unit_joint(trained.model, ids, pixels(1), seen)
        text = unit_joint(trained.model, ids[::-1], pixels(0), seen)
        covered = [unit_joint(trained.model, ids, pixels(seed), blank) for seed in (0, 1)]
    assert ((one * picture).sum(1) < 0.999).all()
    assert ((one * text).sum(1)[[0, 2]] < 0.999).all()  # the middle text is its own mirror
    torch.testing.assert_close(*covered, atol=1e-5, rtol=0)


def test_the_same_texts_give_the_same_word_pieces(raw):
    texts = read_pairs(raw, 16).vocabulary_texts
    first, *others = (train_wordpiece(texts).backend_tokenizer.to_str() for _ in range(8))
    assert all(other == first for other in others)


def test_word_pieces_ignore_case_know_every_letter_and_keep_both_ends_when_cut():
    tokenizer = train_wordpiece(["Keller [SEP] the Lisbon regatta", "Жук, 猫"], 200)
    names = tokenizer.convert_ids_to_tokens(tokenizer("KELLER [SEP] Жук 猫")["input_ids"])
    assert names == ["[CLS]", "keller", "[SEP]", "жук", "猫", "[SEP]"]
    letters = tokenizer.convert_ids_to_tokens(tokenizer("nobles")["input_ids"])
    assert letters[1:-1] != ["[UNK]"]
    assert "".join(piece.removeprefix("##") for piece in letters[1:-1]) == "nobles"
    assert tokenizer("猿")["input_ids"][1] == tokenizer.unk_token_id
    cut = tokenizer("regatta " * 50, truncation=True, max_length=12)["input_ids"]
    assert len(cut) == 12
    assert tokenizer.convert_ids_to_tokens([cut[0], cut[-1]]) == ["[CLS]", "[SEP]"]
