"""The section `extract` of the parameters: frozen encoders, and how they are run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, field_validator, model_validator

from stages.further import FIRST
from stages.limits import PATH_CHARACTERS
from stages.section import Section

EncoderName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=PATH_CHARACTERS)]
"""Not empty: an empty path is the project's folder."""


FurtherName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""Of an encoder beside the first one: it names a store, a term of the scores and a parameter."""


class FurtherEncoder(Section):
    """An encoder beside the first one; in the parameters its name alone will do."""

    encoder: EncoderName
    """A hub name or a local folder."""
    revision: EncoderName | None = None
    """Of a hub name."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"encoder": value} if isinstance(value, str) else value


class FurtherTextEncoder(FurtherEncoder):
    """One of texts."""

    pooling: Literal["auto", "cls", "mean"] = "auto"
    """As `text_pooling` of the first one."""


class ExtractConfig(Section):
    """Frozen encoders, run once."""

    text_encoder: EncoderName = "openai/clip-vit-base-patch32"
    """A hub name or a local folder, of a family that docs/encoders.md lists."""
    image_encoder: EncoderName = "same"
    """`same` (CLIP and its like), `none` (text only), or a hub name or a folder of a ViT."""
    revision: EncoderName | None = None
    """Of a hub name; a local folder is its own revision."""
    max_tokens: int = Field(40, ge=4, le=8192)
    """Of a text, special tokens included (section 4.2)."""
    text_pooling: Literal["auto", "cls", "mean"] = "auto"
    """Of a BERT-like model: what its folder says, else [CLS] (section 3.1). CLIP has its own."""
    resize: Literal["squash", "crop"] = "squash"
    """`squash`: straight to the encoder's square, as the peers do; `crop`: its centre square."""
    exif: Literal["ignore", "apply"] = "ignore"
    """Whether pictures are turned as their EXIF orientation says; the peers do not."""
    text_encoders: dict[FurtherName, FurtherTextEncoder] = Field({}, max_length=16)
    """Beside the first one, by names of one's own; each has a store of its own of global
    features. Not in the paper."""
    image_encoders: dict[FurtherName, FurtherEncoder] = Field({}, max_length=16)
    """The same of pictures."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Of the forward pass; the store is float16 always."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`, as for all stages; `auto` takes CUDA, then MPS."""
    batch_texts: int = Field(128, ge=1, le=65_536)
    """Texts of a forward pass."""
    batch_images: int = Field(64, ge=1, le=65_536)
    """Pictures of a forward pass."""
    decode_threads: int = Field(2, ge=1, le=256)
    """Threads that decode pictures."""
    lexical_ngrams: tuple[StrictInt, StrictInt] = (2, 4)
    """Character n-grams of the lexical unit's TF-IDF, bounded by words: shortest and longest."""

    @field_validator("lexical_ngrams")
    @classmethod
    def _ascending(cls, span: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= span[0] <= span[1] <= 16:
            raise ValueError(f"found {list(span)}, expected [shortest, longest] from 1 to 16")
        return span

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        twice = sorted(self.text_encoders.keys() & self.image_encoders)
        if twice:
            raise ValueError(f"{', '.join(twice)}: named in text_encoders and in image_encoders")
        if FIRST in self.text_encoders.keys() | self.image_encoders:
            raise ValueError(f"'{FIRST}' is what the first encoder is called: take another name")
        return self
