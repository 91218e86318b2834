"""Linking from Python, in any folder:

from pipeline import Linker, Mention

linker = Linker.load("runs/wikimel/melov-s0")
for found in linker.link([Mention("Lincoln", "Lincoln is a car brand.", image="photo.jpg")]):
    print(found.entities[0].name, found.entities[0].score)
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import MelovError
from stages.config import EvaluateConfig, ExtractConfig, Params, load_params
from stages.datasets.decoding.picture import Exif
from stages.further import FURTHER
from stages.linking import linker as core
from stages.linking.entities import Entities
from stages.linking.mention import NewMention, new_mention
from stages.linking.result import Linked
from stages.paths import DatasetPaths, run_named

if TYPE_CHECKING:
    from PIL.Image import Image

PARAMS = "params.yaml"


@dataclass(frozen=True)
class Mention:
    """What is to be linked.

    Args:
        text: the words; left out, they are `sentence[start:end]`.
        sentence: where they stand.
        start, end: offsets of the words in the sentence, in characters; `end` is behind the last.
        image: its picture: a file's path, a file's bytes, or a Pillow image.
        id: goes into the result.

    Raises:
        ValueError: no words; a span without a sentence, outside of it, or with other words in it.
    """

    text: str = ""
    sentence: str = ""
    start: int | None = None
    end: int | None = None
    image: str | Path | bytes | Image | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None):
            raise ValueError("Mention: start and end go together")
        if self.start is not None and self.end is not None:
            if not 0 <= self.start < self.end <= len(self.sentence):
                raise ValueError(
                    f"Mention: the span {self.start} to {self.end} lies outside of the sentence, "
                    f"which has {len(self.sentence)} characters"
                )
            words = self.sentence[self.start : self.end]
            if self.text and self.text != words:
                raise ValueError(f"Mention: the text {self.text!r} is not the span's {words!r}")
            object.__setattr__(self, "text", words)
        if not self.text.strip():
            raise ValueError("Mention: no words to link: give text, or start and end")


@dataclass(frozen=True)
class About:
    """What links.

    Args:
        dataset, variant, seed: of the run; weights: the hash of its heads.
        calibration: what its probabilities rest on, or why there are none.
        exif: how pictures are turned before they are encoded, as extraction was told.
    """

    dataset: str
    variant: str
    seed: int
    weights: str
    calibration: str
    is_calibrated: bool
    reads_pictures: bool
    exif: Exif


class Linker:
    """Links mentions with a trained run; get one from `load` or `from_pretrained`. Safe to share
    between threads."""

    def __init__(self, inner: core.Linker) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        names = inner.names
        self.entities = Entities(names.entity_ids, names.entities, names.aliases)

    @classmethod
    def load(
        cls, run: str | Path, *, device: str = "auto", text_encoder: str | Path | None = None,
        index: bool = True,
    ) -> Linker:  # fmt: skip
        """Open a run in place, in a project's `runs/DATASET/VARIANT-sSEED`.

        Args:
            device: auto, cpu, cuda or mps.
            text_encoder: a folder of the encoder's, where it has moved since extraction.
            index: keep the entities' side on the disk, where the next call finds it.

        Raises:
            MelovError: no such run, parts that do not belong together, or an encoder that is not
                the one that made the store.
        """
        folder = Path(run).absolute()
        named = run_named(folder.name)
        if named is None or folder.parent.parent.name != "runs":
            raise MelovError(
                f"{run}: no run's folder, such as runs/wikimel/melov-s0", "name the folder itself"
            )
        root = folder.parents[2]
        paths = DatasetPaths(folder.parent.name, root)
        params = Params()
        if (root / PARAMS).exists():
            params = load_params(root / PARAMS, paths.dataset)
        extract = params.extract.model_copy(update={"device": device})
        if text_encoder is not None:
            own = {"text_encoder": str(Path(text_encoder).absolute()), "revision": None}
            extract = extract.model_copy(update=own)
        evaluate = params.evaluate.model_copy(update={"device": device})
        return cls(core.Linker.open(paths, *named, extract, evaluate, index))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, device: str = "auto",
        text_encoder: str | Path | None = None, image_encoder: str | Path | None = None,
        further: Mapping[str, str | Path] | None = None,
    ) -> Linker:  # fmt: skip
        """Open a bundle, which `python -m pipeline.bundle` wrote, in any folder.

        Args:
            source: its folder, or its name on the hub, such as `org/name`.
            revision: of the hub: a branch, a tag or a commit.
            device: auto, cpu, cuda or mps.
            text_encoder, image_encoder: a folder of the encoder's, where it has moved, or another
                name on the hub.
            further: the same of further encoders, by name.

        Raises:
            MelovError: no bundle, one of another version, no network, or an encoder that is not
                the one that it was made with (the differences are named).
            DamagedError: a file is not as it was written; it is named.
        """
        from stages.linking.bundle.hub import bundle_folder
        from stages.linking.bundle.open import open_bundle

        given = {"text_encoder": text_encoder, "image_encoder": image_encoder}
        given |= {f"{FURTHER}{name}": folder for name, folder in (further or {}).items()}
        encoders = {name: _encoder(value) for name, value in given.items() if value is not None}
        folder = bundle_folder(source, revision)
        extract, evaluate = ExtractConfig(device=device), EvaluateConfig(device=device)
        return cls(open_bundle(folder, extract, evaluate, encoders))

    def with_entities(self, folder: str | Path, *, index: bool = True) -> Linker:
        """The same heads over the entities of another data set, which they need not have seen.

        Args:
            folder: a project's `data/NAME`, prepared, and extracted with the encoder of the heads.
            index: keep the entities' side on the disk, where the next call finds it.

        Raises:
            MelovError: no such data set, or one of another encoder (the differences are named).
        """
        return Linker(self._inner.with_entities(Path(folder), index))

    @property
    def about(self) -> About:
        """Which run this is, and what it knows."""
        inner, info = self._inner, self._inner.run.info
        return About(
            info.dataset, info.heads.variant, info.seed, inner.run.identity, inner.known.words,
            inner.known.calibration is not None, inner.reads_pictures,
            inner.encoder.config.exif,
        )  # fmt: skip

    def link(
        self, mentions: Iterable[Mention], top: int = 5, min_probability: float | None = None
    ) -> Iterator[Linked]:
        """The best entities of each mention, in the order of the mentions.

        Mentions are taken as they are needed, some hundred at a time, so that a stream of any
        length can be linked. A mention's result does not depend on the others.

        Args:
            min_probability: below it a mention's `answer` is None, and its entities are candidates.

        Raises:
            ValueError: it is no probability.
            MelovError: it is asked of a run that knows no probabilities.
        """
        if min_probability is not None and not 0 <= min_probability <= 1:
            raise ValueError(f"min_probability {min_probability:g} is not from 0 to 1")
        batch: list[NewMention] = []
        for number, mention in enumerate(mentions, 1):
            batch.append(_inner(mention, number))
            if len(batch) == core.MENTIONS_AT_ONCE:
                yield from self._linked(batch, top, min_probability)
                batch = []
        if batch:
            yield from self._linked(batch, top, min_probability)

    def _linked(self, batch: list[NewMention], top: int, least: float | None) -> list[Linked]:
        # A tokenizer is no thread's own while another one calls it.
        with self._lock:
            return list(self._inner.link(batch, top, least))


def _encoder(name: str | Path) -> str:
    """A folder by its absolute path; else a name of the hub."""
    folder = Path(name)
    return str(folder.absolute()) if isinstance(name, Path) or folder.is_dir() else name


def _inner(mention: Mention, number: int) -> NewMention:
    """Checked and cut as a line of JSON is."""
    said = {"mention": mention.text, "sentence": mention.sentence, "id": mention.id}
    found = new_mention(said, f"mention {number}", str(number))
    image: Any = mention.image
    if isinstance(image, str):
        image = Path(image)
    elif image is not None and not isinstance(image, (Path, bytes)):
        file = io.BytesIO()
        image.save(file, "PNG")
        image = file.getvalue()
    return replace(found, image=image)
