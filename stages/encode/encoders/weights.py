"""What the weights' files hold, looked at before a model is built of them and after it.

transformers gives a weight that is missing random values, leaves out one that the model has no
place for, and says so in a log. Here each of these is one error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cache.strict import short
from stages.encode.encoders.checkpoint import Checkpoint, CheckpointError
from stages.encode.encoders.files import read_json, weight_files

AGAIN = "download the folder again, weights included (git lfs pull in a clone)"
_NAMED = 3
"""Weights that a message names."""
# Buffers of older versions, and weights that no feature reads.
_UNREAD = re.compile(
    r"(^|[._])(pooler\.|mask_token$|position_ids$|token_type_ids$|relative_position_index$|inv_freq$)"
)
# What other tasks put upon an encoder, and the tower that is not asked for, by the first part of a
# weight's name. What is neither was meant to change a feature, such as an adapter's weights.
_HEAD = re.compile(
    r"cls|decoder|pooler|logit_\w+|text_model|vision_model|vocab_\w+|qa_outputs|generator\w*|summary"
    r"|\w*(head|heads|classifier|predictions?|projections?|projector|score|itm|mlm)s?(_layer_norm)?"
)
_FLOATS = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Stored:
    """A tensor of a file, not read yet."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


def stored_weights(checkpoint: Checkpoint) -> dict[str, Stored]:
    """Every tensor by its name; the files' headers are read alone.

    Raises:
        CheckpointError: a file is damaged or holds more than tensors; a tensor stands in two files,
            or not in the one that the index names; weights are quantized.
    """
    files = weight_files(checkpoint.folder)
    found: dict[str, Stored] = {}
    for path in files:
        if path.suffix == ".json":
            continue
        for name, tensor in _stored(path).items():
            if name in found:
                first = found[name].file.name
                raise CheckpointError(f"{path}: {name} stands in {first}, too", AGAIN)
            if name.endswith(".weight") and tensor.dtype not in _FLOATS:
                raise CheckpointError(
                    f"{path}: {name} has numbers of type {tensor.dtype}, expected floating point",
                    "take the checkpoint that this one was quantized from",
                )
            found[name] = tensor
    if files[0].suffix == ".json":
        for name, file in read_json(files[0])["weight_map"].items():
            if name not in found or found[name].file.name != file:
                raise CheckpointError(f"{files[0]}: {name} is not in {file}", AGAIN)
    return found


def require_room(checkpoint: Checkpoint, model: nn.Module, stored: Mapping[str, Stored]) -> None:
    """Before memory is taken for it: the model is not far larger than what the files hold.

    Args:
        model: without its weights, on the device `meta`.
    """
    asked = sum(p.numel() for name, p in model.named_parameters() if not _UNREAD.search(name))
    there = sum(prod(tensor.shape) for tensor in stored.values())
    if asked > 2 * there:  # what is missing of a smaller one is named after loading
        raise CheckpointError(
            f"{checkpoint.folder / 'config.json'}: describes a model of {asked:,} numbers, its "
            f"weights' files hold {there:,} (layers, widths and vocabulary)",
            "take both from one checkpoint",
        )


def require_all(
    checkpoint: Checkpoint, model: Any, info: Mapping[str, Any], read: Iterable[str] = ()
) -> None:
    """Every weight that a feature reads came from the files, and none was left over.

    Args:
        info: what `from_pretrained` says of its loading.
        read: beginnings of weights that are read here, though many checkpoints lack them.
    """
    folder, kind = checkpoint.folder, type(model).__name__
    wrong = sorted(info["mismatched_keys"])
    if wrong:
        shown = [f"{name} {list(came)} for {list(asked)}" for name, came, asked in wrong[:_NAMED]]
        raise CheckpointError(
            f"{folder}: {len(wrong)} weights have another shape than {kind} by config.json, such "
            f"as {'; '.join(shown)}",
            "take configuration and weights from one checkpoint",
        )
    missing = [
        name
        for name in sorted(info["missing_keys"])
        if not _UNREAD.search(name) or name.startswith(tuple(read))
    ]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} weights of {kind} are missing: {_some(missing)}",
            "expected a checkpoint of this very model",
        )
    own = {name for name, _ in model.named_children()}
    more = [n for n in sorted(info["unexpected_keys"]) if not _belongs_elsewhere(n, model, own)]
    if more:
        raise CheckpointError(
            f"{folder}: {len(more)} weights have no place in {kind} by config.json: {_some(more)}",
            "take configuration and weights from one checkpoint, adapters merged",
        )


def require_finite(checkpoint: Checkpoint, model: nn.Module, dtype: torch.dtype) -> None:
    """No weight is NaN or infinite, in the precision that the model has now."""
    for name, weight in model.state_dict().items():
        # A sum is NaN or infinite where any of its terms is; it takes one pass and no memory.
        if not weight.is_floating_point() or torch.isfinite(weight.sum(dtype=torch.float32)):
            continue
        bad = int((~torch.isfinite(weight)).sum())
        if bad:
            raise CheckpointError(
                f"{checkpoint.folder}: {name}: {bad:,} of {weight.numel():,} numbers are NaN or "
                f"infinite in {str(dtype).removeprefix('torch.')}",
                f"--set extract.dtype=float32, or: {AGAIN}"
                if dtype != torch.float32
                else AGAIN,
            )  # fmt: skip


def _belongs_elsewhere(name: str, model: Any, own: set[str]) -> bool:
    if _UNREAD.search(name):
        return True
    first, _, rest = name.partition(".")
    if first == model.base_model_prefix:
        first = rest.partition(".")[0]
    return first not in own and _HEAD.fullmatch(first) is not None


def _stored(path: Path) -> dict[str, Stored]:
    try:
        if path.suffix == ".safetensors":
            return _of_safetensors(path)
        loaded = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything
        raise CheckpointError(f"{path}: {_what_is_wrong(path, error)}", AGAIN) from None
    if not isinstance(loaded, Mapping):
        loaded = {type(loaded).__name__: loaded}
    for name, value in loaded.items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path}: expected tensors by name, found {short(name)}: {type(value).__name__}",
                "save the model's state_dict alone: model.save_pretrained(FOLDER)",
            )
    return {
        name: Stored(path, tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name, value in loaded.items()
    }


def _of_safetensors(path: Path) -> dict[str, Stored]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {n: Stored(path, tuple(s.get_shape()), s.get_dtype()) for n, s in slices.items()}


def _what_is_wrong(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights"
    if start.lstrip()[:1] == b"<":
        return "a page of HTML or XML, not the weights"
    said = str(error).splitlines() or [type(error).__name__]
    if "Unsupported global" in str(error) or "Unsupported class" in str(error):
        return "holds more than tensors, and code of a checkpoint is never run"
    if said[0].startswith("Weights only load failed"):
        return "damaged: no file of tensors"
    return f"damaged: {said[0].partition('. This is')[0]}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
