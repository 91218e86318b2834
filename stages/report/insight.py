"""What a report shows from inside the runs, where their heads and the store can be read."""

from dataclasses import dataclass

from cache.errors import DamagedError, MelovError
from stages.config import EvaluateConfig
from stages.datasets.decoding.picture import Exif
from stages.datasets.records import Records
from stages.datasets.store import open_store
from stages.paths import DatasetPaths
from stages.report.cases import Cases, Explain, find_cases
from stages.report.fusion import FusionFacts, fusion_facts
from stages.report.results import Results


@dataclass(frozen=True)
class Insight:
    """Cases and fusion weights; `problem` says why partial scores and weights are not there."""

    cases: Cases | None
    fusion: FusionFacts | None
    problem: str


def look_inside(
    paths: DatasetPaths, results: Results, records: Records, most: int, config: EvaluateConfig
) -> Insight:
    """Explain the first seed's runs; what is missing or does not fit costs only its part.

    Args:
        most: cases to show.

    Raises:
        DamagedError: a file of the store, the graph or a run is not as it was written.
    """
    fusion, explain, problem = None, None, ""
    exif: Exif = "ignore"
    if not paths.store.exists():
        problem = f"there is no feature store (data/{paths.dataset}/{paths.store.name})"
    else:
        try:
            exif = open_store(paths, records.digest).fingerprint.fields.get("exif") or exif
            fusion, explain = _open(paths, results, records, config)
        except (MelovError, OSError) as error:
            problem = _why_not(error)
    try:
        cases = find_cases(results, records, paths.root, most, explain, exif)
    except (MelovError, OSError) as error:
        problem = _why_not(error)
        cases = find_cases(results, records, paths.root, most, exif=exif)
    return Insight(cases, fusion, problem)


def _open(
    paths: DatasetPaths, results: Results, records: Records, config: EvaluateConfig
) -> tuple[FusionFacts | None, Explain]:
    from stages.report.explain import Explainer  # torch takes seconds to load

    explainer, seed = Explainer(paths, config, records), results.seeds[0]
    for variant in results.variants:
        weights = explainer.fusion(variant, seed)
        if weights is not None:
            return fusion_facts(f"{variant}, seed {seed}", weights, records), explainer.explain
    return None, explainer.explain


def _why_not(error: MelovError | OSError) -> str:
    """On one line, the command that mends it in brackets; damage is raised."""
    if isinstance(error, DamagedError):
        raise error
    if isinstance(error, MelovError):
        return error.message + (f" ({error.hint})" if error.hint else "")
    return str(error)
