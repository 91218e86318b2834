"""What is right and what a run answers, in two files a split, for other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cache.files import replacing_files
from stages.datasets.records import Records
from stages.paths import DatasetPaths
from stages.runs.predictions import Predicted
from stages.standards import neleval
from stages.standards.addresses import default_iri
from stages.standards.answered import Answered, answered


def export(
    form: str, paths: DatasetPaths, name: str, records: Records, predicted: Mapping[str, Predicted]
) -> list[Path]:
    """Write `exports/DATASET/NAME/FORM/`: SPLIT.gold and SPLIT.system, with the form's ending.

    Args:
        form: neleval or nif.
        name: of the run's folder.

    Raises:
        MelovError: rdflib is not installed, which writes NIF.
    """
    ending, gold, system = _writers(form, records)
    folder = paths.root / "exports" / paths.dataset / name / form
    files = {}
    for split, of in predicted.items():
        mentions = [*answered(records, split, of)]
        files[f"{split}.gold.{ending}"] = gold(mentions)
        files[f"{split}.system.{ending}"] = system(mentions)
    with replacing_files(folder, last=[*files][-1]) as scratch:
        for file, text in files.items():
            (scratch / file).write_text(text, encoding="utf-8", newline="")
    return [folder / file for file in files]


Writer = Callable[[Iterable[Answered]], str]


def _writers(form: str, records: Records) -> tuple[str, Writer, Writer]:
    if form == "neleval":
        return neleval.ENDING, neleval.gold, neleval.system
    from stages.lazy import require

    require("rdflib", "serve", "NIF")
    from stages.standards.nif_export import NifExport

    iri = default_iri(records.entities["id"].to_pylist(), records.dataset)
    made = NifExport(records.dataset, iri)
    return "ttl", made.gold, made.system
