"""From token ids and pictures to features. Pure functions, which extraction, linking and the demo's
nearness share: they know no store, no row of one and no unit of work.

Features are float16 whatever the precision of the forward pass. What is given is encoded in batches
of consecutive items; a row's last bits depend on its batch, on nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cache.errors import MelovError
from stages.encode.decode import Loaded, normalised
from stages.encode.encoders.encoder import ImageEncoder, Pixels, TextEncoder, pad_ids
from stages.encode.encoders.vilt import ViltEncoder


@dataclass(frozen=True)
class PictureFeatures:
    """Features of n pictures; those of a picture that did not decode are zero.

    Args:
        pooled: global features, float16, shape: (n, d_image).
        local: patches, float16, shape: (n, n_p, d_patch).
        reasons: why a picture did not decode, None where it did; length n.
    """

    pooled: np.ndarray
    local: np.ndarray
    reasons: list[str | None]


def encode_texts(
    encoder: TextEncoder, ids: Sequence[np.ndarray], batch: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Global features (n, d_t), and those of all real tokens, text after text (tokens, d_local).

    Args:
        ids: token ids of each text, int32, shape: (n_t,).
        batch: texts that are encoded together, padded to the longest with `pad`.

    Raises:
        MelovError: a feature overflows float16.
    """
    whole = np.empty((len(ids), encoder.shapes.d_t), np.float16)
    tokens = np.empty((sum(map(len, ids)), encoder.shapes.d_local), np.float16)
    done = 0
    for lo in range(0, len(ids), batch):
        padded, mask = pad_ids(ids[lo : lo + batch], pad, encoder.device)
        pooled, local = encoder.encode_texts(padded, mask)
        whole[lo : lo + batch] = _half(pooled, "a text")
        real = _half(local[mask.bool()], "a text")
        tokens[done : done + len(real)] = real
        done += len(real)
    return whole, tokens


def encode_pictures(
    encoder: ImageEncoder, pictures: Sequence[Loaded], batch: int
) -> PictureFeatures:
    """Features of the pictures of an encoder that takes some.

    Args:
        pictures: asked for once, by slices of `batch`, so that they may be decoded meanwhile.

    Raises:
        MelovError: a feature overflows float16.
    """
    assert encoder.pixels is not None
    shapes, n = encoder.shapes, len(pictures)
    whole = np.zeros((n, shapes.d_image), np.float16)
    patches = np.zeros((n, shapes.n_p, shapes.d_patch), np.float16)
    reasons: list[str | None] = []
    for lo in range(0, n, batch):
        part = pictures[lo : lo + batch]
        reasons += [picture.reason for picture in part]
        squares = {lo + i: p.pixels for i, p in enumerate(part) if p.pixels is not None}
        if not squares:
            continue
        rows = list(squares)
        x = normalised(np.stack(list(squares.values())), encoder.pixels, encoder.device)
        pooled, local = encoder.encode_images(x)
        whole[rows], patches[rows] = _half(pooled, "a picture"), _half(local, "a picture")
    return PictureFeatures(whole, patches, reasons)


def encode_pairs(
    encoder: ViltEncoder,
    ids: Sequence[np.ndarray],
    pictures: Sequence[Loaded | None],
    batch: int,
    pad: int,
) -> tuple[np.ndarray, list[str | None]]:
    """Joint vectors of n texts each with its picture, float16, shape: (n, d), and why a picture did
    not decode. A blank stands in for it, and where there is none.

    Raises:
        MelovError: a feature overflows float16.
    """
    found = np.empty((len(ids), encoder.d), np.float16)
    reasons: list[str | None] = []
    for lo in range(0, len(ids), batch):
        part = pictures[lo : lo + batch]
        reasons += [None if picture is None else picture.reason for picture in part]
        padded, mask = pad_ids(ids[lo : lo + batch], pad, encoder.device)
        squares = _squares_or_blanks(part, encoder.pixels, encoder.device)
        joint = encoder.encode_pairs(padded, mask, squares)
        found[lo : lo + batch] = _half(joint, "a pair")
    return found, reasons


def _squares_or_blanks(
    part: Sequence[Loaded | None], pixels: Pixels, device: torch.device
) -> torch.Tensor:
    """Normalised squares, all zero (the mean colour) where there is no picture."""
    squares = torch.zeros(len(part), 3, pixels.size, pixels.size, device=device)
    there = {i: x.pixels for i, x in enumerate(part) if x is not None and x.pixels is not None}
    if there:
        stacked = np.stack(list(there.values()))
        squares[list(there)] = normalised(stacked, pixels, device).to(squares)
    return squares


def _half(x: torch.Tensor, what: str) -> np.ndarray:
    half: np.ndarray = x.to(torch.float16).cpu().numpy()
    if not np.isfinite(half).all():
        raise MelovError(
            f"features of {what} are not finite in float16",
            "the encoder overflows: --set extract.dtype=float32, or another checkpoint",
        )
    return half
