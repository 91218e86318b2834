"""Requests and answers of the service, as its OpenAPI description shows them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stages.serving.contexts import Context

if TYPE_CHECKING:  # which would import torch
    from stages.linking.result import Linked

TEXT = 100_000
"""Characters of a text: fifty pages."""
WORDS = 1000
"""Characters of a mention."""
SPANS = 1000
"""Mentions of a request."""
TOP = 100

_EXAMPLE: dict[str, Any] = {
    "text": "Lincoln was sworn in as president in Washington.",
    "mentions": [{"start": 0, "end": 7, "id": "m1"}],
    "top": 5,
}


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Span(_Asked):
    """A mention in the text, by offsets in Unicode characters; `end` is behind the last one."""

    start: Annotated[int, Field(ge=0, le=TEXT)]
    end: Annotated[int, Field(ge=1, le=TEXT)]
    id: Annotated[str | None, Field(max_length=WORDS, description="Comes back as it is.")] = None


class Asked(_Asked):
    """What is to be linked, in all that asks for it."""

    text: Annotated[str, Field(min_length=1, max_length=TEXT)]
    mentions: Annotated[list[Span], Field(min_length=1, max_length=SPANS)]
    top: Annotated[int, Field(ge=1, le=TOP, description="Entities of a mention.")] = 5
    min_probability: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="`answer` is null where the best entity is less probable.",
        ),
    ] = None

    @field_validator("text")
    @classmethod
    def _is_text(cls, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("it holds a lone surrogate, which is no text") from None
        return text

    @model_validator(mode="after")
    def _spans_fit(self) -> Self:
        for number, span in enumerate(self.mentions):
            where = f"mentions.{number}: {span.start} to {span.end}"
            if span.end > len(self.text):
                raise ValueError(
                    f"{where} leads out of the text, which has {len(self.text):,} characters"
                )
            if span.start >= span.end:
                raise ValueError(f"{where} holds nothing")
            if span.end - span.start > WORDS:
                raise ValueError(f"{where} is longer than {WORDS:,} characters")
            if not self.text[span.start : span.end].strip():
                raise ValueError(f"{where} holds no words")
        return self


class LinkRequest(Asked):
    """A text, its mentions, and the picture that belongs to it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    image: Annotated[
        str | None,
        Field(
            description="A picture's file in base64, also as a data URI.",
            json_schema_extra={"format": "byte"},
        ),
    ] = None

    def picture(self) -> bytes | None:
        """The file's bytes.

        Raises:
            ValueError: it is no base64.
        """
        if self.image is None:
            return None
        said = self.image
        if said.startswith("data:"):
            said = said.partition(",")[2]
        try:
            return base64.b64decode(said, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("image: not in base64") from None


class LinkedEntity(BaseModel):
    """A candidate. `score` is S, the mean of the units' scores in `units`; where the run re-ranks,
    with what that adds."""

    rank: int
    id: str
    name: str
    score: float
    probability: float | None = Field(description="null where the run knows none.")
    units: dict[str, float] = Field(description="S_T, S_V, S_C, S_L by unit, and rerank.")
    has_picture: bool = Field(description="Whether /pictures/entities has one.")


class Neighbour(BaseModel):
    """A training mention whose picture helped to repair this one's."""

    id: str
    words: str
    weight: float


class LinkedMention(BaseModel):
    """A mention's entities, best first."""

    start: int
    end: int
    id: str | None
    text: str
    context_start: int = Field(description="What the encoder was given begins here.")
    context_end: int
    answer: str | None = Field(description="Id of the best entity, or null: none of them.")
    nil_probability: float | None = Field(description="Of none of the entities.")
    calibration: str = Field(description="What the probabilities rest on.")
    has_image: bool = Field(description="Whether the picture took part.")
    entities: list[LinkedEntity]
    alpha: dict[str, float] | None = Field(description="Weights of the fusion, by source.")
    neighbours: list[Neighbour]
    warnings: list[str]

    @classmethod
    def of(
        cls, span: Span, context: Context, linked: Linked, has_picture: Callable[[str], bool]
    ) -> Self:
        return cls(
            start=span.start,
            end=span.end,
            id=span.id,
            text=linked.mention,
            context_start=context.start,
            context_end=context.end,
            answer=linked.answer,
            nil_probability=linked.nil_probability,
            calibration=linked.calibration,
            has_image=linked.has_image,
            entities=[
                LinkedEntity(
                    rank=e.rank, id=e.id, name=e.name, score=e.score, probability=e.probability,
                    units=e.units, has_picture=has_picture(e.id),
                )
                for e in linked.entities
            ],
            alpha=linked.alpha,
            neighbours=[
                Neighbour(id=n.id, words=n.words, weight=n.weight) for n in linked.neighbours
            ],
            warnings=linked.warnings,
        )  # fmt: skip


class LinkResponse(BaseModel):
    """In the order of the request's mentions."""

    mentions: list[LinkedMention]


class EntityFound(BaseModel):
    """An entity of the knowledge base."""

    id: str
    name: str
    aliases: list[str]
    has_picture: bool


class EntitiesFound(BaseModel):
    """Some entities; `total` are known."""

    total: int
    entities: list[EntityFound]


class Health(BaseModel):
    """What is served; while it is being opened, no more than how long that has taken."""

    status: Literal["opening", "ok"]
    seconds: float = Field(description="Since it started.")
    source: str | None = None
    dataset: str | None = None
    variant: str | None = None
    seed: int | None = None
    weights: str | None = Field(None, description="Hash of the trained heads.")
    entities: int | None = None
    calibration: str | None = None
    reads_pictures: bool | None = None


class Example(BaseModel):
    """A test mention of the data set, to start from."""

    text: str
    start: int
    end: int
    picture: str | None = Field(description="Where its picture is, if it has one.")
    answer: str
    answer_name: str


class Examples(BaseModel):
    """None of a bundle, which carries no mentions."""

    examples: list[Example]
