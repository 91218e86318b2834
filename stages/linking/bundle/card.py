"""The model card of a bundle, filled with what is known of its run and nothing else."""

from __future__ import annotations

from typing import Any

import jinja2
import yaml

from stages.datasets.records import Records
from stages.linking.bundle.layout import BundleInfo
from stages.paths import SPLITS
from stages.ranking.metrics import METRICS, Metric
from stages.runs.folder import MADE_FROM
from stages.runs.run import Run
from stages.shown import markdown

NO_LICENSE = "unknown"
"""What the hub calls a licence that nobody has stated."""

PARTS = {
    "test": "test",
    "test_clean": "test, without mentions that a leak makes easier",
    "test_seen": "test, entity seen in training",
    "test_unseen": "test, entity not seen in training",
    "test_poor": "test, poor or missing pictures",
    "valid": "validation, by which the epoch was chosen",
}
"""By key of `metrics.json`; of other parts the key is shown."""


def model_card(
    info: BundleInfo, run: Run, metrics: dict[str, Any] | None, records: Records,
    license: str | None,
) -> str:  # fmt: skip
    """README.md: YAML that the hub reads, then Markdown.

    Args:
        metrics: the `metrics.json` that is in the bundle; None where the run was not evaluated.
        records: the data set that the entities are of.
        license: an identifier of the hub's, such as `mit`; None states none.
    """
    made_from = {} if metrics is None else metrics[MADE_FROM]
    # A plain text file: nothing is escaped but what Markdown would read.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.linking.bundle"),
        autoescape=False, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["markdown"] = lambda value: markdown(str(value))
    counts = {"entities": records.entities.num_rows}
    counts |= {split: records.mentions[split].num_rows for split in SPLITS}
    return environment.get_template("card.md").render(
        front=_front(info, license),
        licensed=license is not None,
        info=info,
        source=records.source,
        test_bed=records.test_bed,
        counts=counts,
        titles=[metric.title for metric in METRICS.values()],
        rows=[] if metrics is None else _rows(metrics),
        measured_elsewhere=made_from.get("records", info.records) != info.records,
        trained_elsewhere=run.info.provenance.get("records") != info.records,
        trained=run.info.heads.entry.trained,
        units=run.info.heads.units,
        settings=_changed(run),
        uses_images=run.info.heads.uses_images,
        hidden={
            "text": info.made_from.get("text_encoder"),
            "image": info.made_from.get("image_encoder"),
        },
    )


def _front(info: BundleInfo, license: str | None) -> str:
    said: dict[str, Any] = {
        "license": license or NO_LICENSE,
        "library_name": "melov-cache",
        "tags": ["entity-linking", "multimodal", info.variant],
    }
    if not (info.text_encoder.is_inside or info.text_encoder.name.startswith("/")):
        said["base_model"] = info.text_encoder.name
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
    return text.rstrip()


def _rows(metrics: dict[str, Any]) -> list[list[str]]:
    """A row of the table for each part that was measured."""
    found = []
    needed = {"mentions", *METRICS}
    parts = [p for p, said in metrics.items() if isinstance(said, dict) and needed <= said.keys()]
    for part in sorted(parts, key=lambda p: ([*PARTS, p].index(p), p)):
        said = metrics[part]
        values = [_shown(metric, said[key]) for key, metric in METRICS.items()]
        found.append([PARTS.get(part, part), f"{said['mentions']:,}", *values])
    return found


def _shown(metric: Metric, value: float) -> str:
    return f"{metric.scale * value:.2f}"


def _changed(run: Run) -> dict[str, Any]:
    """Settings of training that are not the defaults."""
    settings = run.info.train
    return {
        name: getattr(settings, name)
        for name, field in type(settings).model_fields.items()
        if getattr(settings, name) != field.default and name != "device"
    }
