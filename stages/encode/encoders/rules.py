"""What a checkpoint's JSON files may say: type and range, key by key.

transformers builds what a configuration asks for before it looks at a weight: a hundred thousand
layers, for instance. So nothing is built from values that were not held against these tables. A key
that is absent or null has the library's default; one that stands in no table is the library's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cache.strict import short


@dataclass(frozen=True)
class Rule:
    """Of one key.

    Args:
        expected: in the words of a message.
        holds: whether a value, never None, is so.
    """

    expected: str
    holds: Callable[[Any], bool]


def whole(least: int, most: int) -> Rule:
    return Rule(
        f"a whole number from {least:,} to {most:,}",
        lambda x: type(x) is int and least <= x <= most,
    )


def number(least: float, most: float) -> Rule:
    return Rule(
        f"a number from {least:g} to {most:g}", lambda x: _is_number(x) and least <= x <= most
    )


def one_of(*values: Any) -> Rule:
    """Each as itself: True is not 1."""
    listed = [(type(value), value) for value in values]
    return Rule(" or ".join(map(repr, values)), lambda x: (type(x), x) in listed)


def three(least: float, most: float) -> Rule:
    """A color's channels."""
    each = number(least, most)
    return Rule(
        f"three numbers from {least:g} to {most:g}",
        lambda x: isinstance(x, list) and len(x) == 3 and all(map(each.holds, x)),
    )


def side(most: int) -> Rule:
    """Of a square, which some write twice."""
    each = whole(1, most)
    return Rule(
        f"the side of a square, from 1 to {most:,}",
        lambda x: each.holds(x) or (_is_pair(x) and each.holds(x[0]) and x[0] == x[1]),
    )


def named_sides(most: int) -> Rule:
    """Of an image processor: a square's side, once or twice, or sides by name (`shortest_edge`)."""
    each = whole(1, most)

    def holds(x: Any) -> bool:
        found = list(x.values()) if isinstance(x, dict) else x if isinstance(x, list) else [x]
        square = not isinstance(x, dict) or x.get("height") == x.get("width")
        alike = not isinstance(x, list) or (_is_pair(x) and x[0] == x[1])
        return square and alike and all(v is None or each.holds(v) for v in found)

    return Rule(f"sides of a square, from 1 to {most:,}", holds)


def refused(why: str) -> Rule:
    """A key that must not be there, since it changes what is loaded."""
    return Rule(f"no such key: {why}", lambda x: False)


FLAG = Rule("true or false", lambda x: isinstance(x, bool))
TEXT = Rule("a text", lambda x: isinstance(x, str))
TEXTS = Rule("a list of texts", lambda x: isinstance(x, list) and all(map(TEXT.holds, x)))
MAPPING = Rule("a mapping", lambda x: isinstance(x, dict))
TOKEN = Rule("a token", lambda x: isinstance(x, str | dict))

MOST_LAYERS, MOST_WIDTH, MOST_SIDE, MOST_PATCHES = 256, 65_536, 4096, 128
"""Far beyond any encoder that is known: 48 layers, 8,192 columns, 1,024 pixels, 74 patches a
side."""

_WIDTH, _LAYERS, _HEADS = whole(1, MOST_WIDTH), whole(1, MOST_LAYERS), whole(1, 1024)
_INNER, _SHARE, _SIDE = whole(1, 1_000_000), number(0, 1), side(MOST_SIDE)

CONFIG: Mapping[str, Rule] = {
    "model_type": TEXT,
    "architectures": TEXTS,
    "text_config": MAPPING,
    "vision_config": MAPPING,
    **dict.fromkeys(("hidden_size", "dim", "embedding_size", "projection_dim"), _WIDTH),
    "projection_size": _WIDTH,
    **dict.fromkeys(("intermediate_size", "hidden_dim"), _INNER),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "num_hidden_groups"), _LAYERS),
    "inner_group_num": _LAYERS,
    **dict.fromkeys(("num_attention_heads", "n_heads"), _HEADS),
    "vocab_size": whole(1, 10_000_000),
    "max_position_embeddings": whole(1, 1_000_000),
    "type_vocab_size": whole(0, 1000),
    "pad_token_id": whole(0, 10_000_000),
    "num_channels": one_of(3),
    "image_size": _SIDE,
    "patch_size": _SIDE,
    "num_register_tokens": whole(0, 1000),
    "mlp_ratio": number(0.1, 64),
    **dict.fromkeys(("layer_norm_eps", "norm_eps"), _SHARE),
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout"), _SHARE),
    **dict.fromkeys(("attention_dropout", "drop_path_rate"), _SHARE),
    **dict.fromkeys(("hidden_act", "activation", "hidden_activation"), TEXT),
    **dict.fromkeys(("is_decoder", "add_cross_attention"), one_of(False)),
    "return_dict": one_of(True),
    # transformers 5 has no other, and takes a checkpoint that needs one all the same.
    "position_embedding_type": one_of("absolute"),
    **dict.fromkeys(("dtype", "torch_dtype"), one_of("float32", "float16", "bfloat16", "float64")),
    "tokenizer_class": TEXT,
    "transformers_weights": refused("it names another file of weights"),
    "configuration_files": refused("it names other configurations, by the library's version"),
    "quantization_config": refused("quantized weights are not read"),
    "attn_implementation": one_of("eager", "sdpa"),
}
"""Of config.json, and of its `text_config` and `vision_config`."""

PREPROCESSOR: Mapping[str, Rule] = {
    "image_mean": three(0, 1),
    "image_std": three(0.001, 10),
    "resample": whole(0, 5),
    "do_rescale": one_of(True),
    "rescale_factor": Rule("1/255", lambda x: _is_number(x) and abs(255 * x - 1) < 1e-6),
    "size": named_sides(16_384),
    "crop_size": named_sides(16_384),
    **dict.fromkeys(("do_resize", "do_center_crop", "do_normalize", "do_convert_rgb"), FLAG),
}
"""Of preprocessor_config.json, or of the image processor in processor_config.json."""

TOKENIZER: Mapping[str, Rule] = {
    "tokenizer_class": TEXT,
    "model_max_length": number(1, float("inf")),  # 10^30 stands for none
    **dict.fromkeys(("do_lower_case", "add_prefix_space", "strip_accents"), FLAG),
    "truncation_side": one_of("right"),  # a long text's beginning is what is read
    **dict.fromkeys(("bos_token", "eos_token", "unk_token", "sep_token", "pad_token"), TOKEN),
    **dict.fromkeys(("cls_token", "mask_token"), TOKEN),
    "added_tokens_decoder": MAPPING,
    "fast_tokenizer_files": Rule(
        "names of files beside it",
        lambda x: TEXTS.holds(x) and all(n.startswith("tokenizer") and "/" not in n for n in x),
    ),
}
"""Of tokenizer_config.json."""

POOLING: Mapping[str, Rule] = {
    "pooling_mode": Rule("a text or a list of texts", lambda x: TEXT.holds(x) or TEXTS.holds(x)),
    **{
        f"pooling_mode_{mode}": FLAG
        for mode in (
            "cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens",
            "lasttoken",
        )
    },
}  # fmt: skip
"""Of a sentence encoder's 1_Pooling/config.json."""

MODULE: Mapping[str, Rule] = {
    "type": TEXT,
    "path": Rule(
        "a folder beside it",
        lambda x: isinstance(x, str) and not x.startswith("/") and ".." not in x.split("/"),
    ),
}
"""Of each entry of a sentence encoder's modules.json."""


def broken(values: Mapping[str, Any], rules: Mapping[str, Rule], place: str = "") -> str | None:
    """`key: found this, expected that`, of the first key that breaks its rule.

    Args:
        place: goes before the key, such as `text_config.`.
    """
    for key, rule in rules.items():
        value = values.get(key)
        if value is not None and not rule.holds(value):
            return f"{place}{key}: found {short(value)}, expected {rule.expected}"
    return None


def broken_config(config: Mapping[str, Any]) -> str | None:
    """The same of a whole configuration: each tower's keys, and what must fit together."""
    towers = {"": config}
    for name in ("text_config", "vision_config"):
        if isinstance(config.get(name), dict):
            towers[f"{name}."] = config[name]
    for place, tower in towers.items():
        found = broken(tower, CONFIG, place) or _unfit(tower, place)
        if found:
            return found
    return None


def side_of(value: Any) -> Any:
    """A side, or None, that may be written twice."""
    return value[0] if isinstance(value, list | tuple) else value


def _unfit(tower: Mapping[str, Any], place: str) -> str | None:
    for wide, many in (("hidden_size", "num_attention_heads"), ("dim", "n_heads")):
        width, heads = tower.get(wide), tower.get(many)
        if width and heads and width % heads:
            return f"{place}{wide}: found {width}, expected a multiple of {many}, {heads}"
    image, patch = side_of(tower.get("image_size")), side_of(tower.get("patch_size"))
    if image and patch and not 1 <= image // patch <= MOST_PATCHES:
        return (
            f"{place}patch_size: found {patch}, expected 1 to {MOST_PATCHES} patches to a side of "
            f"image_size, {image}"
        )
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2
