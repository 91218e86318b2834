"""A tiny ViLT of random weights, with a tokenizer of its own."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch


def build_vilt(folder: Path, words: Iterable[str] = ()) -> Path:
    """Width 24, pictures of 24 pixels in 9 patches, 40 tokens; `words` are whole tokens."""
    from transformers import ViltConfig, ViltModel

    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    vocabulary += sorted({word.lower() for word in words} - set(vocabulary))
    config = ViltConfig(
        vocab_size=len(vocabulary), hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, image_size=24, patch_size=8, max_position_embeddings=40,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = ViltModel(config, add_pooling_layer=False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():  # off their start, so that no step is the identity
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.15)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    said = {"image_mean": [0.5, 0.4, 0.6], "image_std": [0.5, 0.4, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder
