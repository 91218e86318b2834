"""The demo's joint encoder: a small ViLT in transformers' own format, trained without a hub.

For the baseline `vilt`, as the small CLIP is for the others, and from the same pairs: captions, and
the training mentions' own texts and pictures (`demo_pairs`).

A published ViLT learns to tell pairs that match from pairs that do not and to fill in masked words,
on millions of pairs. In the minutes that the demo has, neither brings anything into [CLS]. So
[CLS] is trained for what the baseline asks of it: two disturbed views of a pair find each other
among the views of a batch's other pairs.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertTokenizer, ViltConfig, ViltModel

from stages.config import DemoEncoderConfig
from stages.demo.encoders.pairs import Pairs, read_pairs
from stages.demo.encoders.training import (
    Trained,
    fit,
    info_nce,
    log_pairs,
    share_found,
    shifted,
    thinned,
)
from stages.demo.encoders.wordpiece import train_wordpiece
from stages.encode.decode import normalised
from stages.encode.encoders.encoder import Pixels, pad_ids

IMAGE_SIZE = 64
PATCH_SIZE = 16  # 16 patches, and a [CLS] of the picture beside that of the text
WIDTH, LAYERS, HEADS = 128, 4, 4
MAX_TOKENS = 40  # what extraction reads of a text
_GREY = (0.5, 0.5, 0.5)  # ViLT's mean and deviation
_PIXELS = Pixels(IMAGE_SIZE, _GREY, _GREY)
_BLANK, _SILENT = 0.5, 0.25  # share of first views without the picture, and without the text
_LOGIT_SCALE = 10.0  # at the start


def train_demo_vilt(raw: Path, config: DemoEncoderConfig) -> Trained:
    """Train on the demo's raw folder; the same files, seed and thread count give the same weights.

    Raises
    ------
    MelovError: the raw files are not there.
    """
    pairs = read_pairs(raw, IMAGE_SIZE)
    tokenizer = train_wordpiece(pairs.vocabulary_texts, max_length=MAX_TOKENS)
    log_pairs(pairs, tokenizer)
    # transformers draws the order of the patches from torch's generator at every step.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = ViltModel(_architecture(tokenizer), add_pooling_layer=False)
        losses = _fit(model, [pairs.captions, pairs.mentions], tokenizer, config)
        model.eval()
        retrieval = retrieval_accuracy(model, tokenizer, pairs.held_out)
    return Trained(model, tokenizer, tuple(losses), retrieval, len(pairs.held_out))


def save_demo_vilt(trained: Trained, folder: Path) -> None:
    """Write weights, configuration, tokenizer and preprocessing for `from_pretrained(folder)`."""
    preprocessor = {
        "image_processor_type": "ViltImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": IMAGE_SIZE},
        "size_divisor": PATCH_SIZE,
        "resample": 1,  # LANCZOS, as extraction does it
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _GREY,
        "image_std": _GREY,
        "do_pad": True,
    }
    trained.save(folder, preprocessor)


@torch.inference_mode()
def retrieval_accuracy(
    model: ViltModel, tokenizer: BertTokenizer, pairs: Pairs, top: int = 1
) -> float:
    """Share of texts, with a blank for a picture, whose own pair is among the `top` nearest, 0..1.

    Blanks are what a record without a picture is read with.
    """
    ids = _token_ids(pairs.texts, tokenizer)
    blank = np.ones(len(pairs), bool)
    parts = [slice(i, i + 64) for i in range(0, len(pairs), 64)]
    texts = [unit_joint(model, ids[p], pairs.pictures[p], blank[p]) for p in parts]
    whole = [unit_joint(model, ids[p], pairs.pictures[p], ~blank[p]) for p in parts]
    return share_found(torch.cat(texts), torch.cat(whole), top)


def unit_joint(
    model: ViltModel, ids: list[Tensor], pictures: np.ndarray, blank: np.ndarray
) -> Tensor:
    """Unit [CLS] states of n pairs.

    Parameters
    ----------
    ids: n texts.
    pictures: uint8 (n, size, size, 3).
    blank: bool (n,), where the mean colour stands for the picture.

    Returns
    -------
    (n, d)
    """
    x = normalised(pictures, _PIXELS, torch.device("cpu"))  # (n, 3, size, size)
    x[torch.from_numpy(blank)] = 0
    padded, mask = pad_ids([row.numpy() for row in ids], model.config.pad_token_id, x.device)
    out = model(input_ids=padded, attention_mask=mask, pixel_values=x)
    return F.normalize(out.last_hidden_state[:, 0], dim=-1)


def _architecture(tokenizer: BertTokenizer) -> ViltConfig:
    return ViltConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
        hidden_act="relu",  # as in the small CLIP
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
    )


def _fit(
    model: ViltModel, sources: list[Pairs], tokenizer: BertTokenizer, config: DemoEncoderConfig
) -> list[float]:
    """InfoNCE of two views of each pair; returns each epoch's mean loss.

    A view lacks a third of the text's tokens and has its picture moved. Half of the first views
    have a blank for the picture and a quarter have no text, so [CLS] has to hold both.
    """
    random = np.random.default_rng(config.seed)
    ids = [_token_ids(source.texts, tokenizer) for source in sources]
    logit_scale = nn.Parameter(torch.tensor(math.log(_LOGIT_SCALE)))

    def view(source: int, rows: np.ndarray, blank: np.ndarray, silent: np.ndarray) -> Tensor:
        texts = [
            ids[source][row][[0, -1]] if empty else thinned(ids[source][row], random)
            for row, empty in zip(rows, silent, strict=True)
        ]
        return unit_joint(model, texts, shifted(sources[source].pictures[rows], random), blank)

    def loss_of(source: int, rows: np.ndarray) -> Tensor:
        chance = random.random(len(rows))
        blank, silent = chance < _BLANK, chance >= 1 - _SILENT
        nothing = np.zeros(len(rows), bool)
        first = view(source, rows, blank, silent)
        return info_nce(first, view(source, rows, nothing, nothing), logit_scale)

    model.train()
    sizes = [len(source) for source in sources]
    weights = [*model.parameters(), logit_scale]
    return fit(weights, logit_scale, sizes, config, random, loss_of, "small ViLT")


def _token_ids(texts: list[str], tokenizer: BertTokenizer) -> list[Tensor]:
    """int64 (n_t,) of each text, [CLS] and [SEP] included."""
    rows = tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return [torch.tensor(row) for row in rows]
