"""The demo's joint encoder: a small ViLT in transformers' own format, trained without a hub.

The baseline `vilt` reads it, as the other heads read the small CLIP, and both learn from the same
pairs (`pairs.py`).

A published ViLT learns from millions of pairs to tell those that match from those that do not and
to fill in masked words. In the demo's few minutes, neither teaches [CLS] anything. So [CLS] is
trained for what the baseline asks of it: two disturbed views of a pair must find each other among
the views of the other pairs in the batch.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor, nn
from transformers import BertTokenizer, ViltConfig, ViltModel

from stages.demo.encoders.pairs import Pairs
from stages.demo.encoders.training import (
    HEADS,
    IMAGE_SIZE,
    MAX_TOKENS,
    PATCH_SIZE,
    WIDTH,
    Objective,
    Recipe,
    info_nce,
    shifted,
    thinned,
    token_ids,
)
from stages.demo.encoders.wordpiece import train_wordpiece
from stages.encode.decode import normalised
from stages.encode.encoders.encoder import Pixels, pad_ids

LAYERS = 4
_GREY = (0.5, 0.5, 0.5)  # ViLT's mean and deviation
_PIXELS = Pixels(IMAGE_SIZE, _GREY, _GREY)
_BLANK, _SILENT = 0.5, 0.25  # share of first views without the picture, and without the text
_LOGIT_SCALE = 10.0  # at the start


def unit_joint(
    model: ViltModel, ids: list[np.ndarray], pictures: np.ndarray, blank: np.ndarray
) -> Tensor:
    """Unit [CLS] states (n, d) of n pairs.

    Args:
        ids: n texts.
        pictures: uint8 (n, size, size, 3).
        blank: bool (n,), where the mean colour replaces the picture.
    """
    x = normalised(pictures, _PIXELS, torch.device("cpu"))  # (n, 3, size, size)
    x[torch.from_numpy(blank)] = 0
    padded, mask = pad_ids(ids, model.config.pad_token_id, x.device)
    out = model(input_ids=padded, attention_mask=mask, pixel_values=x)
    return F.normalize(out.last_hidden_state[:, 0], dim=-1)


def _model(tokenizer: BertTokenizer) -> ViltModel:
    # In training it draws the order of the patches from torch's generator at every step.
    config = ViltConfig(
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
    return ViltModel(config, add_pooling_layer=False)


def _objective(
    model: ViltModel, tokenizer: BertTokenizer, sources: Sequence[Pairs], random: Generator
) -> Objective:
    """InfoNCE of two views of each pair.

    A view lacks a third of the text's tokens and has its picture moved. Half of the first views
    have a blank picture and a quarter have no text, so [CLS] must represent both.
    """
    ids = [token_ids(source.texts, tokenizer) for source in sources]
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

    return Objective([*model.parameters(), logit_scale], logit_scale, loss_of)


SMALL_VILT = Recipe(
    title="small ViLT",
    tokenizer=train_wordpiece,
    model=_model,
    objective=_objective,
    # A text with a blank picture, as a record without one is encoded, finds the whole pair.
    query=lambda model, ids, pictures: unit_joint(model, ids, pictures, np.ones(len(ids), bool)),
    own=lambda model, ids, pictures: unit_joint(model, ids, pictures, np.zeros(len(ids), bool)),
    finds="pair",
    preprocessor={
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
    },
)
