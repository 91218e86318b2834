"""One look at an encoder when it is opened: does it give what extraction takes for granted?

The longest text that is read, beside a short one, and two pictures are encoded twice. What comes
must have the shapes that the encoder says, be finite and the same both times (a model that drops
patches at random is none for a cache), and what stands for a whole text or picture must depend on
it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stages.encode.encoders.checkpoint import CheckpointError
from stages.encode.encoders.encoder import Encoder, pad_ids
from stages.encode.tokens import Tokenizer


def probe(encoder: Encoder, tokenizer: Tokenizer, text: str, image: str | None) -> None:
    """Encode texts, and pictures where the encoder takes some.

    Args:
        text, image: the checkpoints' names, for messages.

    Raises:
        CheckpointError: the encoder fails at it, or gives what cannot be features.
    """
    shapes = encoder.shapes
    ids, mask = probing_ids(tokenizer, encoder.device)
    n_t = ids.shape[1]
    look(
        f"{text}: a text of {n_t} tokens",
        lambda: encoder.encode_texts(ids, mask),
        [(2, shapes.d_t), (2, n_t, shapes.d_local)],
    )
    if encoder.pixels is not None:
        squares = probing_squares(encoder.pixels.size, encoder.device)
        look(
            f"{image or text}: a picture of {encoder.pixels.size} pixels",
            lambda: encoder.encode_images(squares),
            [(2, shapes.d_image), (2, shapes.n_p, shapes.d_patch)],
        )


def probing_ids(tokenizer: Tokenizer, device: torch.device) -> tuple[Tensor, Tensor]:
    """A text that is cut at the most tokens, and one of a letter; ids and mask as of `pad_ids`."""
    long = " ".join(map(str, range(tokenizer.max_tokens)))
    return pad_ids(tokenizer([long, "a"]), tokenizer.pad, device)


def probing_squares(size: int, device: torch.device) -> Tensor:
    """One of a single color and one of slowly changing ones, shape: (2, 3, size, size)."""
    values = torch.linspace(-2, 2, 3 * size * size).view(3, size, size)
    return torch.stack([torch.zeros_like(values), values]).to(device)


def look(what: str, forward: Callable[[], Sequence[Tensor]], shapes: list[tuple[int, ...]]) -> None:
    """Call `forward` twice and compare.

    Args:
        what: is encoded, with the name of the encoder.
        forward: gives tensors, of which the first has a row for each of two unlike inputs.
        shapes: that they should have.

    Raises:
        CheckpointError: they are not as the module says.
    """
    first, again = (attempted(what, forward) for _ in range(2))
    found = [tuple(part.shape) for part in first]
    if found != shapes:
        raise _unfit(f"{what} gives features of shapes {found}, expected {shapes}")
    if not all(bool(torch.isfinite(part).all()) for part in first):
        raise CheckpointError(
            f"{what} gives features that are NaN or infinite",
            "another precision: --set extract.dtype=float32, or another checkpoint",
        )
    if not all(map(_same, first, again)):
        raise _unfit(f"{what} gives other features each time")
    if _same(first[0][0], first[0][1]):
        raise _unfit(f"{what} gives the global feature of any other, so it stands for nothing")


def attempted(what: str, forward: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
    """What `forward` gives.

    Raises:
        CheckpointError: it raises.
    """
    try:
        return forward()
    except MemoryError:
        raise
    except Exception as error:  # a model whose parts do not fit together raises anything
        said = (str(error).splitlines() or [""])[0]
        raise _unfit(f"{what} cannot be encoded: {type(error).__name__}: {said}") from None


def _same(one: Tensor, other: Tensor) -> bool:
    if one.device.type == "cpu":
        return torch.equal(one, other)
    return torch.allclose(one, other, rtol=1e-3, atol=1e-5)  # a GPU may sum in another order


def _unfit(message: str) -> CheckpointError:
    return CheckpointError(message, "take the model's checkpoint as it was published, unchanged")
