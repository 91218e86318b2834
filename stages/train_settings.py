"""The section `train` of the parameters: the heads' settings, how they are trained, and presets."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, model_validator

from stages.extract_settings import FurtherName
from stages.heads.presets import DECIDED, DEFAULT, PRESETS
from stages.heads.settings import HeadsSettings
from stages.heads.variants import VARIANTS
from stages.limits import RECORDS
from stages.section import known


def _preset(name: str) -> str:
    return known(name, PRESETS)


class TrainConfig(HeadsSettings):
    """The heads' settings, and how they are trained (section 4.2).

    What is not said, or said to be null, is the preset's; `model_fields_set` holds what was said.
    """

    preset: Annotated[str, AfterValidator(_preset)] = DEFAULT
    """A name of `stages/heads/presets.py`."""
    neighbor_limit: int = Field(4, ge=0, le=100_000)
    """Nearest neighbors that a GCN layer reads; 0 reads every stored one."""
    filter_quantile: float = Field(0.3, gt=0, lt=1)
    """Variant `filter`: the share of pictures least correlated with their text that is dropped."""
    lambda_g: float = Field(1e-3, ge=0, le=1e6)
    """Weight of the generation loss (eq. 8)."""
    further: Literal["all"] | tuple[FurtherName, ...] = "all"
    """Further encoders that the unit `further` reads, by the names of extraction; `all` that are in
    use."""
    fit_start: bool = False
    """Whether names, shares of names, frozen cosines and priors are weighed by what is likeliest on
    training mentions before the first epoch, not by the settings; see `stages/training/start.py`.
    Not in the paper."""
    rerank: bool = False
    """Whether a mention's 64 best entities are put in another order by what their names say word by
    word; see `stages/rerank`. Not in the paper."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over the batch's entities; not in the paper."""
    epochs: int = Field(20, ge=0, le=100_000)
    """0 keeps the start."""
    batch_size: int = Field(128, ge=2, le=65_536)
    """Mentions of a step."""
    hard_negatives: int = Field(0, ge=0, le=16)
    """Wrong entities near a mention that join the batch's columns, drawn again each epoch."""
    learning_rate: float = Field(1e-3, gt=0, le=10)
    """AdamW's, before `schedule`."""
    schedule: Literal["constant", "linear"] = "constant"
    """Of the learning rate, step by step; `linear` falls to 0 at the end of the last epoch."""
    weight_decay: float = Field(1e-2, ge=0, le=1000)
    """AdamW's."""
    patience: int = Field(4, ge=1, le=100_000)
    """Validations without a better MRR before training stops."""
    valid_mentions: int = Field(1000, ge=0, le=RECORDS)
    """A seeded sample of validation mentions for early stopping, over the full KB; 0 takes all."""
    valid_on: Literal["all", "unseen"] = "all"
    """Those that early stopping goes by: `unseen`, whose entity no training mention has."""
    per_entity: int = Field(0, ge=0, le=RECORDS)
    """Training mentions of one entity that an epoch takes at most, drawn again each epoch; 0 takes
    all."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of the products of a training step; `auto`: bfloat16 where the device multiplies it. Ranking
    is float32."""
    device: str = "auto"
    """`auto` takes CUDA, then the CPU; MPS lacks what the heads need."""

    @model_validator(mode="wrap")
    @classmethod
    def _by_preset(cls, values: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict):
            return make(values)
        said = {k: v for k, v in values.items() if v is not None or k not in DECIDED}
        preset = PRESETS.get(str(said.get("preset", DEFAULT)), {})  # an unknown one is refused next
        made = make({**preset, **said})
        made.__pydantic_fields_set__ = set(said)
        return made

    def settled(self, variant: str) -> TrainConfig:
        """As a run of `variant` uses it: a baseline has its least negatives, no re-ranking, no
        fitted start, and no use for `units`, which stand at the preset's."""
        entry = VARIANTS[variant]
        changed: dict[str, Any] = {"hard_negatives": max(self.hard_negatives, entry.hard_negatives)}
        if not entry.has_units:
            changed |= {
                "units": TrainConfig(preset=self.preset).units,
                "rerank": False,
                "fit_start": False,
            }
        return self.model_copy(update=changed)
