"""The demo's encoder: a small CLIP in transformers' own format, trained without a hub.

It stands in for web pre-training. It learns from captions whose pictures belong to no entity and no
mention, and from the training mentions' own pairs of text and picture, poor pictures included, as
the web has them. It never sees a mention paired with its gold entity, a picture of the knowledge
base, or anything of the validation and test splits.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from stages.demo.encoders.pairs import Pairs
from stages.demo.encoders.tokenizer import train_tokenizer
from stages.demo.encoders.training import (
    HEADS,
    IMAGE_SIZE,
    PATCH_SIZE,
    WIDTH,
    Objective,
    Recipe,
    info_nce,
    shifted,
    thinned,
    token_ids,
)
from stages.encode.decode import normalised
from stages.encode.encoders.encoder import Pixels, pad_ids

VISION_LAYERS, TEXT_LAYERS = 4, 2
_CPU = torch.device("cpu")
_PIXELS = Pixels(IMAGE_SIZE, tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD))


def unit_texts(model: CLIPModel, ids: list[np.ndarray]) -> Tensor:
    """Unit text_embeds (n, d) of n texts."""
    # No mask: END pads too, attention is causal, and the first END is pooled.
    padded, _ = pad_ids(ids, model.config.text_config.pad_token_id, _CPU)
    pooled = model.text_model(input_ids=padded).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)


def unit_images(
    model: CLIPModel, pictures: np.ndarray, random: np.random.Generator | None = None
) -> Tensor:
    """uint8 (n, size, size, 3) -> unit image_embeds (n, d); with `random`, at varied contrast."""
    x = normalised(pictures, _PIXELS, _CPU)  # (n, 3, size, size)
    if random is not None:
        contrast = random.uniform(0.8, 1.25, (len(x), 1, 1, 1)).astype(np.float32)
        x = x * torch.from_numpy(contrast)
    pooled = model.vision_model(pixel_values=x).pooler_output
    return F.normalize(model.visual_projection(pooled), dim=-1)


def _model(tokenizer: CLIPTokenizer) -> CLIPModel:
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
        "max_position_embeddings": tokenizer.model_max_length,
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
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def _objective(
    model: CLIPModel, tokenizer: CLIPTokenizer, sources: Sequence[Pairs], random: Generator
) -> Objective:
    """Symmetric InfoNCE of texts and pictures.

    A post must also find its own text with a third of its tokens removed: pictures alone require no
    name or occasion of a text, while an encoder that has read the web represents both.
    """
    posts = len(sources) - 1
    ids = [token_ids(source.texts, tokenizer) for source in sources]

    def loss_of(source: int, rows: np.ndarray) -> Tensor:
        own = [ids[source][row] for row in rows]
        texts = unit_texts(model, own)
        images = unit_images(model, shifted(sources[source].pictures[rows], random), random)
        loss = info_nce(texts, images, model.logit_scale)
        if source == posts:
            thin = [thinned(row, random) for row in own]
            loss = loss + info_nce(texts, unit_texts(model, thin), model.logit_scale)
        return loss

    return Objective(list(model.parameters()), model.logit_scale, loss_of)


_SQUARE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
SMALL_CLIP = Recipe(
    title="small CLIP",
    tokenizer=train_tokenizer,
    model=_model,
    objective=_objective,
    query=lambda model, ids, pictures: unit_texts(model, ids),
    own=lambda model, ids, pictures: unit_images(model, pictures),
    finds="picture",
    preprocessor={
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": _SQUARE,
        "resample": 1,  # LANCZOS, straight to the square, as extraction does it
        "do_center_crop": False,
        "crop_size": _SQUARE,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": OPENAI_CLIP_MEAN,
        "image_std": OPENAI_CLIP_STD,
    },
)
