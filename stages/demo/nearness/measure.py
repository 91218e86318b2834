"""How near a run's repaired pictures come to the clean ones, which the demo alone can draw.

Global features, test split, in the latent space where a run's sources live (W_v of M1): original,
generated, aggregated and fused, each against the feature of the mention's clean picture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from cache.errors import MelovError
from stages.config import Params
from stages.demo.nearness.cosines import Near, against_clean, another
from stages.demo.world.clean import CleanPicture, clean_pictures
from stages.demo.world.mentions import IMAGE_KINDS
from stages.device import heads_device
from stages.encode.decode import Loaded, decode
from stages.encode.features import encode_pictures
from stages.features.batches import MentionInputs
from stages.heads.model import Melov
from stages.heads.projection import project
from stages.linking.encoding import MentionEncoder, open_mention_encoder
from stages.paths import DatasetPaths
from stages.progress import progress
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run

SPLIT = "test"


@dataclass(frozen=True)
class Repaired:
    """Mentions' global visual features in the latent space.

    sources: name -> (n, d_v), in the order of the fusion; `fused` comes last where there is one.
    has_image: (n,), False where `original` is nobody's.
    weights: source -> (n,), the fusion's (eq. 6); empty without a fusion.
    """

    sources: dict[str, np.ndarray]
    has_image: np.ndarray
    weights: dict[str, np.ndarray]


@torch.inference_mode()
def nearness(paths: DatasetPaths, variant: str, seed: int, params: Params) -> dict[str, Any]:
    """What `nearness.json` holds, by `image_kind` and for all mentions.

    Raises:
        MelovError: not the demo; no such run, or one without pictures; another encoder than the one
            that made the store.
    """
    opened = Dataset.open(paths)
    pictures = clean_pictures(opened.records, SPLIT, params.demo)
    device = heads_device(params.evaluate.device)
    run = Run.open(RunFolder.of(paths, variant, seed), device)
    data, heads = run.data(opened), run.info.heads
    if not heads.entry.has_units or not heads.uses_images:
        raise MelovError(
            f"{paths.run(variant, seed)}: has no picture features of MELOV's heads to compare",
            "choose melov or a part of it, with the unit vision or cross",
        )
    model = cast(Melov, run.model)  # what builds every variant with units
    again = f"python -m pipeline.extract --dataset {paths.dataset} --force"
    encoder = open_mention_encoder(
        opened.store, params.extract, paths.root, images=True, arrays=(), hint=again
    )
    kinds_of_entity, encoded = encode_clean(encoder, pictures)
    clean = project(torch.from_numpy(encoded).to(device), model.w_v).cpu().numpy()
    repaired = repaired_features(model, data.inputs, len(clean), params.evaluate.mention_rows)
    gold = opened.records.gold(SPLIT)
    features = {
        **repaired.sources,
        "another": another(clean, gold, seed, None),
        "another_of_kind": another(clean, gold, seed, kinds_of_entity),
    }
    near = {
        name: against_clean(values, clean, gold, kinds_of_entity)
        for name, values in features.items()
    }
    kinds = np.array(opened.records.mentions[SPLIT]["image_kind"].to_pylist())
    masks = {"all": np.ones(len(kinds), bool), **{k: kinds == k for k in IMAGE_KINDS}}
    return {
        "dataset": paths.dataset,
        "variant": variant,
        "seed": seed,
        "split": SPLIT,
        "kinds": {kind: _of_kind(mask, near, repaired) for kind, mask in masks.items()},
    }


def encode_clean(
    encoder: MentionEncoder, pictures: Iterable[CleanPicture]
) -> tuple[np.ndarray, np.ndarray]:
    """Kinds of entity (n,), and global features (n, d_image) as a store would hold them."""
    own = encoder.encoder
    assert own.pixels is not None
    kinds, loaded = [], []
    with progress(None, "pictures", "clean pictures") as bar:
        for picture in pictures:
            kinds.append(picture.entity.kind.label)
            loaded.append(Loaded(decode(picture.data, own.pixels.size, encoder.config.resize)))
            bar.update()
    return np.array(kinds), encode_pictures(own, loaded, encoder.config.batch_images).pooled


@torch.inference_mode()
def repaired_features(model: Melov, inputs: MentionInputs, n: int, rows: int) -> Repaired:
    """The first `n` mentions of the test split, `rows` at a time."""
    sources: dict[str, list[np.ndarray]] = {}
    has_image, weights = [], []
    for start in range(0, n, rows):
        batch = inputs.batch(SPLIT, np.arange(start, min(start + rows, n)))
        _, optimized = model.optimize(batch)
        found = dict(optimized.sources)
        if optimized.alpha is not None and optimized.fused is not None:
            found["fused"] = optimized.fused
            weights.append(optimized.alpha.cpu().numpy())
        for name, values in found.items():
            sources.setdefault(name, []).append(values.cpu().numpy())
        has_image.append(batch.features.has_image.cpu().numpy())
    alpha = np.concatenate(weights).T if weights else ()
    return Repaired(
        {name: np.concatenate(parts) for name, parts in sources.items()},
        np.concatenate(has_image),
        dict(zip(model.config.sources, alpha, strict=True)) if weights else {},
    )


def _of_kind(mask: np.ndarray, near: dict[str, Near], repaired: Repaired) -> dict[str, Any]:
    features = {}
    for name, values in near.items():
        counted = mask & repaired.has_image if name == "original" else mask
        features[name] = _means(values, counted)
    weights = {s: _mean(w[mask]) for s, w in repaired.weights.items()}
    return {"mentions": int(mask.sum()), "features": features, "weights": weights}


def _means(near: Near, counted: np.ndarray) -> dict[str, Any]:
    parts = {name: _mean(values[counted]) for name, values in vars(near).items()}
    return {"mentions": int(counted.sum()), **parts}


def _mean(values: np.ndarray) -> float | None:
    """None where there is nothing to average: no picture has no nearness, not one of 0."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
