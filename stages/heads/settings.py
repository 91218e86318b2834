"""The heads' settings: what stands under `train` in the parameters and decides their shapes.

Each has its default here alone. A new one costs two places: its field, and where it is used.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from stages.further import FURTHER
from stages.heads.units.registry import UNITS
from stages.heads.variants import VARIANTS, Variant
from stages.section import Section, known


def _unit(name: str) -> str:
    return known(name, UNITS)


def _variant(name: str) -> str:
    return known(name, VARIANTS)


Width = Annotated[int, Field(ge=0, le=2**20)]
TextWidth = Annotated[int, Field(ge=1, le=2**20)]
UnitName = Annotated[str, AfterValidator(_unit)]
VariantName = Annotated[str, AfterValidator(_variant)]


class FurtherShape(Section):
    """A further encoder as the heads read it.

    Args:
        width: of its global features.
        pictures: whether it reads pictures; else texts, and a mention's sentence by itself.
    """

    width: TextWidth
    pictures: bool


class HeadsSettings(Section):
    """VAE, GCN, fusion and matcher (sections 3.2 and 3.3)."""

    units: tuple[UnitName, ...] = Field(("text", "vision", "cross"), min_length=1)
    """Of the matcher; their mean is the score."""
    d_v: int = Field(96, ge=1, le=8192)
    """Width of the projected visual features."""
    d_h: int = Field(96, ge=1, le=8192)
    """Width inside the matcher."""
    d_z: int = Field(64, ge=1, le=8192)
    """Latent width of the VAE."""
    gcn_layers: int = Field(2, ge=1, le=16)
    """Of the aggregation."""
    normalization: Literal["none", "row", "sym"] = "row"
    """Of the thresholded similarity matrix; eq. 5 writes none."""
    tau_init: float = Field(0.3, ge=1e-4, le=0.9999)
    """Where τ starts, as a similarity; must lie above `graph.floor`."""
    spmm: Literal["torch", "torch-sparse"] = "torch"
    """What multiplies by that matrix: torch's CSR product, or the package torch-sparse."""
    adapter: Literal["none", "mlp"] = "none"
    """A residual two-layer adapter on the cached text features; not in the paper."""
    adapter_width: int = Field(256, ge=1, le=65_536)
    """Of the adapter's hidden layer."""
    logit_scale: float = Field(20.0, gt=0, le=1e6)
    """The largest G2G, vision and cross score at the start. Layer norm alone would start with d_t
    and d_h: a softmax so sharp that frozen features hardly recover from it."""
    lexical_scale: float = Field(20.0, gt=0, le=1e6)
    """Scale exp(s) that the lexical unit starts from."""
    contained_scale: float = Field(0.0, ge=0, le=1e6)
    """Scale exp(c) that the share of an entity's name found in the sentence starts from, a term of
    the lexical unit; 0 leaves it out."""
    prior_weight: float = Field(0.1, ge=0, le=1e6)
    """Weight w_p that the logarithm of an entity's prior starts from, a term of the lexical unit
    where the knowledge base has priors; 0 leaves it out."""
    further_scale: float = Field(5.0, gt=0, le=1e6)
    """Scales that the cosines of further encoders' features start from, terms of the unit
    `further`."""
    frozen_scale: float = Field(0.0, ge=0, le=1e6)
    """Scale exp(f) that the cosine of the frozen global texts starts from, a term of the text unit
    beside the adapted one; 0 leaves it out, as in the paper."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of text features in training."""


class HeadsConfig(HeadsSettings):
    """The settings of one variant's heads over one store and graph; saved beside the weights.

    Args:
        units: of the matcher; none for a baseline, which has a matcher of its own.
        d_t, d_local, d_image, d_patch, n_p: widths of the store's features and patches of a
            picture.
        joint_space: whether global texts and pictures share one space (CLIP's).
        floor: of the graph, below which no similarity is stored.
        further: shapes of the encoders that the unit `further` reads, by name.
        prior: whether the knowledge base that they were made for says priors of its entities, and
            the heads weigh them.
    """

    units: tuple[UnitName, ...] = ()
    variant: VariantName
    d_t: TextWidth
    d_local: TextWidth
    d_image: Width = 0
    d_patch: Width = 0
    n_p: Width = 0
    joint_space: bool
    floor: float = Field(0.0, ge=0, lt=1)
    prior: bool = False
    further: dict[str, FurtherShape] = Field(default_factory=dict)

    @classmethod
    def of(
        cls, settings: HeadsSettings, variant: str, shapes: dict[str, int], joint_space: bool,
        floor: float, has_prior: bool = False, further: Mapping[str, FurtherShape] | None = None,
    ) -> Self:  # fmt: skip
        """The settings as heads of `variant` use them.

        Args:
            has_prior: whether the knowledge base says priors.
            further: what the unit `further` reads.
        """
        own = {name: getattr(settings, name) for name in HeadsSettings.model_fields}
        own["units"] = VARIANTS[variant].units_of(settings.units)
        weighs = any(UNITS[unit].weighs_prior for unit in own["units"]) and own["prior_weight"] > 0
        own["prior"] = has_prior and weighs
        own["further"] = dict(further or {}) if "further" in own["units"] else {}
        return cls(**own, **shapes, variant=variant, joint_space=joint_space, floor=floor)

    @property
    def entry(self) -> Variant:
        return VARIANTS[self.variant]

    @property
    def reads(self) -> frozenset[str]:
        """What the heads read besides global texts; see `Variant.reads_of`."""
        further = {f"{FURTHER}{name}" for name in self.further}
        return self.entry.reads_of(self.units) | further | ({"prior"} if self.prior else set())

    @property
    def uses_images(self) -> bool:
        return "pictures" in self.reads

    @property
    def filters_pictures(self) -> bool:
        """Whether pictures that agree too little with their text are left out."""
        return self.entry.filters and self.uses_images

    @property
    def sources(self) -> tuple[str, ...]:
        """Of a mention's visual features (eq. 6)."""
        return self.entry.sources if self.uses_images else ("original",)

    @property
    def uses_graph(self) -> bool:
        return "aggregated" in self.sources
