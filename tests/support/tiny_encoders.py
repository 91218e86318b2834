"""Small random models of every family that is supported, saved as transformers saves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import pre_tokenizers

NORMALISATION = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
_LETTERS = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4}
_SIZES = {"hidden_size": 32, "intermediate_size": 64, **_LAYERS}
_BERT = {**_SIZES, "max_position_embeddings": 42}
_IMAGE = {**_SIZES, "image_size": 32, "patch_size": 8}


@dataclass(frozen=True)
class Tiny:
    """A model as it was saved.

    Args:
        model: in memory, never loaded: what its folder should give.
    """

    folder: Path
    model: Any


def grown(model: Any) -> Any:
    """Every weight moved off its start, so that no step is the identity."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.15)
    return model.eval()


# Tokenizers


def word_pieces(special: tuple[str, ...] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")) -> Any:
    words = [*special, "the", "cat", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    return {word: number for number, word in enumerate(words)}


def byte_pairs(special: tuple[str, ...] = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")) -> Any:
    words = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return {word: number for number, word in enumerate(words)}


def unigrams(first: tuple[str, ...], last: tuple[str, ...] = ()) -> list[tuple[str, float]]:
    pieces = [("\u2581", -2.0), *((letter, -3.0) for letter in _LETTERS), ("\u2581cat", -1.0)]
    return [*((word, 0.0) for word in first), *pieces, *((word, 0.0) for word in last)]


_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>")
_ALBERT = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
_DEBERTA = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


def _modernbert_tokenizer() -> Any:
    bert = tf.BertTokenizer(vocab=word_pieces())
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=bert.backend_tokenizer, pad_token="[PAD]", unk_token="[UNK]",
        cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


TOKENIZERS: Mapping[str, Callable[[], Any]] = {
    "albert": lambda: tf.AlbertTokenizer(vocab=unigrams(_ALBERT)),
    "bert": lambda: tf.BertTokenizer(vocab=word_pieces()),
    "camembert": lambda: tf.CamembertTokenizer(vocab=unigrams(_ROBERTA, ("<mask>",))),
    "deberta-v2": lambda: tf.DebertaV2Tokenizer(vocab=unigrams(_DEBERTA)),
    "distilbert": lambda: tf.BertTokenizer(vocab=word_pieces()),
    "electra": lambda: tf.BertTokenizer(vocab=word_pieces()),
    "ernie": lambda: tf.BertTokenizer(vocab=word_pieces()),
    "modernbert": _modernbert_tokenizer,
    "mpnet": lambda: tf.MPNetTokenizer(
        vocab=word_pieces(("<s>", "<pad>", "</s>", "[UNK]", "<mask>"))
    ),
    "roberta": lambda: tf.RobertaTokenizer(vocab=byte_pairs(), merges=[]),
    "xlm-roberta": lambda: tf.XLMRobertaTokenizer(vocab=unigrams(_ROBERTA, ("<mask>",))),
}


# Models of texts: the class and its settings; a class of another task that holds it

TEXTS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "albert": ("Albert", "ForMaskedLM", {**_BERT, "embedding_size": 16}),
    "bert": ("Bert", "ForPreTraining", _BERT),
    "camembert": ("Camembert", "ForMaskedLM", _BERT | {"pad_token_id": 1}),
    "deberta-v2": (
        "DebertaV2",
        "ForMaskedLM",
        {
            **_BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
            "position_biased_input": False,
        },
    ),
    "distilbert": (
        "DistilBert",
        "ForMaskedLM",
        {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 42},
    ),
    "electra": ("Electra", "ForPreTraining", {**_BERT, "embedding_size": 16}),
    "ernie": ("Ernie", "ForMaskedLM", _BERT),
    "modernbert": (
        "ModernBert",
        "ForMaskedLM",
        {
            **_SIZES, "max_position_embeddings": 42, "pad_token_id": 0, "cls_token_id": 2,
            "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 8,
        },
    ),
    "mpnet": ("MPNet", "ForMaskedLM", _BERT),
    "roberta": ("Roberta", "ForSequenceClassification", _BERT | {"pad_token_id": 1}),
    "xlm-roberta": ("XLMRoberta", "ForMaskedLM", _BERT | {"pad_token_id": 1}),
}  # fmt: skip


def build_text(name: str, folder: Path, head: bool = False, **more: Any) -> Tiny:
    """A text encoder; with `head`, the model of another task that holds it.

    Args:
        more: for `save_pretrained`.
    """
    kind, task, sizes = TEXTS[name]
    tokenizer = TOKENIZERS[name]()
    config = getattr(tf, f"{kind}Config")(vocab_size=len(tokenizer), **sizes)
    torch.manual_seed(0)
    model = grown(getattr(tf, f"{kind}{task if head else 'Model'}")(config))
    model.save_pretrained(folder, **more)
    tokenizer.save_pretrained(folder)
    return Tiny(folder, model.base_model)


# Models of pictures

_DINO = {**_LAYERS, "hidden_size": 32, "image_size": 32, "patch_size": 8, "mlp_ratio": 2}
IMAGES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "beit": ("Beit", "ForImageClassification", {**_IMAGE, "use_relative_position_bias": True}),
    "beit of masked pictures": (
        "Beit",
        "ForMaskedImageModeling",
        {**_IMAGE, "use_mean_pooling": False, "use_mask_token": True, "vocab_size": 16},
    ),
    "clip_vision_model": ("CLIPVision", "ModelWithProjection", _IMAGE),
    "deit": ("DeiT", "ForImageClassificationWithTeacher", _IMAGE),
    "deit of masked pictures": ("DeiT", "ForMaskedImageModeling", {**_IMAGE, "encoder_stride": 8}),
    "dinov2": ("Dinov2", "ForImageClassification", _DINO),
    "dinov2, wide": ("Dinov2", "ForImageClassification", {**_DINO, "use_swiglu_ffn": True}),
    "dinov2_with_registers": ("Dinov2WithRegisters", "ForImageClassification", _DINO),
    "siglip_vision_model": ("SiglipVision", "", _IMAGE),
    "vit": ("ViT", "ForImageClassification", _IMAGE),
    "vit of masked pictures": ("ViT", "ForMaskedImageModeling", {**_IMAGE, "encoder_stride": 8}),
}


def build_image(name: str, folder: Path, head: bool = False, **more: Any) -> Tiny:
    """A picture encoder; with `head`, the model of another task that holds it."""
    kind, task, sizes = IMAGES[name]
    config = getattr(tf, f"{kind}Config")(**sizes)
    torch.manual_seed(0)
    model = grown(getattr(tf, f"{kind}{task if head and task else 'Model'}")(config))
    model.save_pretrained(folder, **more)
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION))
    inner = next((m for m in model.modules() if type(m).__name__ == f"{kind}Model"), model)
    return Tiny(folder, inner)


# Models of both


def clip_tokenizer() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ids = {word: number for number, word in enumerate(words)}
    return tf.CLIPTokenizer(vocab=ids, merges=[], model_max_length=77)


def build_clip_of(folder: Path, image_size: int, patch_size: int, **more: Any) -> Tiny:
    """A CLIP with the patches of a real one, such as 336 and 14."""
    tokenizer = clip_tokenizer()
    end = tokenizer.eos_token_id
    special = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    config = tf.CLIPConfig(
        text_config={**_SIZES, **special, "vocab_size": len(tokenizer)},
        vision_config={**_IMAGE, "image_size": image_size, "patch_size": patch_size},
        projection_dim=24,
    )
    torch.manual_seed(0)
    model = grown(tf.CLIPModel(config))
    return _saved(folder, model, tokenizer, image_size, **more)


def build_chinese_clip(folder: Path, **more: Any) -> Tiny:
    tokenizer = tf.BertTokenizer(vocab=word_pieces())
    config = tf.ChineseCLIPConfig(
        text_config={**_BERT, "vocab_size": len(tokenizer)}, vision_config=_IMAGE, projection_dim=24
    )
    torch.manual_seed(0)
    return _saved(folder, grown(tf.ChineseCLIPModel(config)), tokenizer, 32, **more)


def build_siglip(folder: Path, tokenizer: Any = None, **more: Any) -> Tiny:
    """With a tokenizer of Gemma's kind, as SigLIP 2 has, or another one."""
    if tokenizer is None:
        words = byte_pairs(("<pad>", "<eos>", "<bos>", "<unk>"))
        tokenizer = tf.GemmaTokenizer(vocab=words, merges=[])
    config = tf.SiglipConfig(
        text_config={**_BERT, "vocab_size": len(tokenizer)}, vision_config=_IMAGE
    )
    torch.manual_seed(0)
    return _saved(folder, grown(tf.SiglipModel(config)), tokenizer, 32, **more)


BOTH: Mapping[str, Callable[..., Tiny]] = {
    "CLIP ViT-B/32": lambda folder, **more: build_clip_of(folder, 224, 32, **more),
    "CLIP ViT-B/16": lambda folder, **more: build_clip_of(folder, 224, 16, **more),
    "CLIP ViT-L/14": lambda folder, **more: build_clip_of(folder, 224, 14, **more),
    "CLIP ViT-L/14-336": lambda folder, **more: build_clip_of(folder, 336, 14, **more),
    "Chinese-CLIP": build_chinese_clip,
    "SigLIP": build_siglip,
}


def _saved(folder: Path, model: Any, tokenizer: Any, side: int, **more: Any) -> Tiny:
    model.save_pretrained(folder, **more)
    tokenizer.save_pretrained(folder)
    size = {"size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION | size))
    return Tiny(folder, model)
