"""The demo's encoder: a small CLIP in transformers' own format, trained without a hub.

It plays the part of web pre-training. It learns from captions whose pictures belong to no entity
and no mention, and from the training mentions' own pairs of text and picture, poor pictures
included, as the web has them. It never sees a mention beside its gold entity, no picture of the
knowledge base, nothing of the validation and test splits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from stages.config import DemoEncoderConfig
from stages.demo.encoders.embeds import (
    IMAGE_SIZE,
    padded,
    token_rows,
    unit_images,
    unit_texts,
)
from stages.demo.encoders.pairs import Pairs, read_pairs
from stages.demo.encoders.tokenizer import train_tokenizer
from stages.demo.encoders.training import (
    Trained,
    fit,
    info_nce,
    log_pairs,
    share_found,
    shifted,
    thinned,
)

PATCH_SIZE = 16  # 16 patches and CLS
WIDTH = 128  # of both towers and of the projection
VISION_LAYERS, TEXT_LAYERS, HEADS = 4, 2, 4
MAX_POSITIONS = 77


def train_demo_clip(raw: Path, config: DemoEncoderConfig) -> Trained:
    """Train on the demo's raw folder; the same files, seed and thread count give the same weights.

    Raises
    ------
    MelovError: the raw files are not there.
    """
    pairs = read_pairs(raw, IMAGE_SIZE)
    tokenizer = train_tokenizer(pairs.vocabulary_texts, max_length=MAX_POSITIONS)
    log_pairs(pairs, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = CLIPModel(_architecture(tokenizer))
    losses = _fit(model, [pairs.captions, pairs.mentions], tokenizer, config)
    model.eval()
    retrieval = retrieval_accuracy(model, tokenizer, pairs.held_out)
    return Trained(model, tokenizer, tuple(losses), retrieval, len(pairs.held_out))


def save_demo_clip(trained: Trained, folder: Path) -> None:
    """Write weights, configuration, tokenizer and preprocessing for `from_pretrained(folder)`."""
    square = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    preprocessor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": square,
        "resample": 1,  # LANCZOS, straight to the square, as extraction does it
        "do_center_crop": False,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": OPENAI_CLIP_MEAN,
        "image_std": OPENAI_CLIP_STD,
    }
    trained.save(folder, preprocessor)


@torch.inference_mode()
def retrieval_accuracy(
    model: CLIPModel, tokenizer: CLIPTokenizer, pairs: Pairs, top: int = 1
) -> float:
    """Share of texts whose own picture is among the `top` nearest of all in `pairs`, 0..1."""
    texts = torch.cat([unit_texts(model, rows) for rows in token_rows(pairs.texts, tokenizer, 64)])
    images = torch.cat(
        [unit_images(model, pairs.pictures[i : i + 64]) for i in range(0, len(pairs), 64)]
    )
    return share_found(texts, images, top)


def _architecture(tokenizer: CLIPTokenizer) -> CLIPConfig:
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "hidden_act": "relu",  # a fifth cheaper than quick_gelu on a CPU
        "num_attention_heads": HEADS,
        "projection_dim": WIDTH,
    }
    text = {
        **tower,
        "num_hidden_layers": TEXT_LAYERS,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_POSITIONS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        **tower,
        "num_hidden_layers": VISION_LAYERS,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)


def _fit(
    model: CLIPModel, sources: list[Pairs], tokenizer: CLIPTokenizer, config: DemoEncoderConfig
) -> list[float]:
    """Symmetric InfoNCE of texts and pictures; returns each epoch's mean loss.

    A batch of one source has texts of like length, and never tells a caption from a post. A post
    must also find its own text with a third of its tokens gone. Pictures alone ask no name or
    occasion of a text; an encoder that has read the web represents both.
    """
    posts = len(sources) - 1
    random = np.random.default_rng(config.seed)
    ids = [[row[0] for row in token_rows(source.texts, tokenizer, 1)] for source in sources]

    def loss_of(source: int, rows: np.ndarray) -> Tensor:
        own = [ids[source][row] for row in rows]
        texts = unit_texts(model, padded(own, tokenizer))
        images = unit_images(model, shifted(sources[source].pictures[rows], random), random)
        loss = info_nce(texts, images, model.logit_scale)
        if source == posts:
            thin = padded([thinned(row, random) for row in own], tokenizer)
            loss = loss + info_nce(texts, unit_texts(model, thin), model.logit_scale)
        return loss

    model.train()
    sizes = [len(source) for source in sources]
    weights = model.parameters()
    return fit(weights, model.logit_scale, sizes, config, random, loss_of, "small CLIP")
