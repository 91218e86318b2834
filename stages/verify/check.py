"""Reads every output of a data set and compares it with what was written.

for part in parts_of(paths):
    for problem in part.problems(): ...
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cache.build import recover
from cache.check import Damage, damages
from cache.errors import DamagedError, MelovError
from cache.metadata import NODE
from cache.reader import FeatureStore
from cache.sealed import Sealed
from stages.datasets.further import further_index, recover_further
from stages.datasets.records import INDEX as RECORDS_INDEX
from stages.datasets.store import LEDGER, SUMMARY, recover_store
from stages.graph.files import INDEX as GRAPH_INDEX
from stages.linking.bundle.layout import BundleFolder
from stages.paths import REPORT, DatasetPaths, run_named
from stages.problems import Problem
from stages.progress import byte_progress
from stages.ranking.pieces import pieces_in
from stages.report.overall import require_whole
from stages.runs.folder import TABLES, RunFolder
from stages.verify.named import named_by


@dataclass(frozen=True)
class Part:
    """One output of a data set; `problems` reads all of it."""

    name: str
    path: Path
    problems: Callable[[], Iterator[Problem]]


def parts_of(paths: DatasetPaths) -> list[Part]:
    """Every output that is there; a store whose finish was killed half-way is put into place."""
    recover_store(paths)
    recover(paths.joint_partial, paths.joint)
    recover_further(paths)
    dataset = f"--dataset {paths.dataset}"
    prepare = f"python -m pipeline.prepare {dataset}"
    report = f"python -m pipeline.report {dataset}"
    graph, again = f"python -m pipeline.graph {dataset}", f"python -m pipeline.extract {dataset}"
    found = [
        Part("records", paths.records, lambda: sealed(paths.records / RECORDS_INDEX, prepare)),
        Part("store", paths.store, lambda: of_store(paths.store, paths)),
        Part("summary", paths.extract, lambda: of_summary(paths, again)),
        Part("joint vectors", paths.joint, lambda: of_store(paths.joint, paths)),
        *further_of(paths, again),
        Part("graph", paths.graph, lambda: sealed(paths.graph / GRAPH_INDEX, graph)),
        *runs_of(paths),
        *grids_of(paths),
        Part("report", paths.report, lambda: of_report(paths, report)),
        *indexes_of(paths),
    ]
    there = [part for part in found if part.path.exists()]
    return [*there, *figures_of(paths)]


def bundle_part(path: Path) -> Part:
    """A bundle: every file of it.

    Raises:
        MelovError: the folder is none.
    """
    bundle = BundleFolder(path)
    if not bundle.is_there:
        again = "name a folder that python -m pipeline.bundle wrote"
        raise MelovError(f"{path}: no bundle: {bundle.index.name} is missing", again)
    try:
        again = str(bundle.read()[0].hint)
    except MelovError as error:  # what it vouches for is not known
        problem = Problem(bundle.index, said(error, bundle.index), str(error.hint))
        return Part("bundle", path, lambda: iter([problem]))
    return Part("bundle", path, lambda: sealed(bundle.index, again))


def further_of(paths: DatasetPaths, again: str) -> list[Part]:
    """Every further encoder's store, and the list of those that are in use."""
    index = further_index(paths)
    return [
        Part("further encoders", index, lambda: sealed(index, again)),
        *(
            Part(f"encoder {path.stem}", path, partial(of_store, path, paths))
            for path in sorted(paths.further.glob("*.zarr"))
        ),
    ]


def runs_of(paths: DatasetPaths) -> list[Part]:
    """Every trained run, with what it was evaluated to."""
    found = []
    for folder in sorted((paths.root / "runs" / paths.dataset).glob("*-s*")):
        named = run_named(folder.name)
        if named is not None and folder.is_dir():
            run = RunFolder.of(paths, *named)
            if run.is_trained or run.is_evaluated:  # else a kill left it empty
                found.append(Part(f"run {folder.name}", folder, partial(of_run, run)))
    return found


def figures_of(paths: DatasetPaths) -> list[Part]:
    """The copies of runs' metrics that Git may have; every evaluated run has one."""
    stems = {path.stem for path in paths.figures("", 0).parent.glob("*-s*.json")}
    stems |= {
        path.parent.name for path in (paths.root / "runs" / paths.dataset).glob("*-s*/metrics.json")
    }
    found = []
    for stem in sorted(stems):
        named = run_named(stem)
        if named is not None:
            path, run = paths.figures(*named), RunFolder.of(paths, *named)
            found.append(Part(f"figures {stem}", path, partial(of_figures, path, run)))
    return found


def grids_of(paths: DatasetPaths) -> list[Part]:
    """Every run of every grid, and the grids' tables."""
    found = []
    for grid in sorted((paths.root / "ablations" / paths.dataset).glob("*")):
        again = f"python -m pipeline.ablate --dataset {paths.dataset} --grid FILE of {grid.name}"
        for folder in sorted(grid.glob("[!.]*-s*")):
            run = RunFolder(folder, again)
            if run.is_trained or run.is_evaluated:
                found.append(Part(f"run {grid.name}/{folder.name}", folder, partial(of_run, run)))
        if any(grid.glob("table*.*")):
            found.append(
                Part(f"tables of {grid.name}", grid, partial(sealed, grid / TABLES, again))
            )
    return found


def of_report(paths: DatasetPaths, mend: str) -> Iterator[Problem]:
    """Its files, and the figures for DVC that are in Git; those may be of another time."""
    yield from sealed(paths.report / REPORT, mend)
    try:
        require_whole(paths.overall)
    except (OSError, DamagedError) as error:
        yield Problem(paths.overall, said(error, paths.overall), mend)


def of_run(run: RunFolder) -> Iterator[Problem]:
    """A run's files, and whether its metrics are of its weights."""
    damaged = list(sealed(run.config, run.command))
    if run.is_evaluated:
        damaged += sealed(run.metrics, run.evaluation)
    yield from damaged
    if damaged:
        return
    read, mend = run.read_config, run.command
    if run.is_evaluated:
        read, mend = run.read_metrics, run.evaluation
    try:
        read()
    except MelovError as error:
        yield Problem(run.path, said(error, run.path), error.hint or mend)


def of_figures(path: Path, run: RunFolder) -> Iterator[Problem]:
    """Whether it is whole, and of the run that it is named after; it may be of another time."""
    try:
        said_of = Sealed.read(path).content
    except (OSError, DamagedError) as error:
        yield Problem(path, said(error, path), run.evaluation)
        return
    name = f"{said_of.get('variant')}-s{said_of.get('seed')}"
    if name != path.stem:
        yield Problem(path, f"the metrics of {name}", run.evaluation)


def indexes_of(paths: DatasetPaths) -> list[Part]:
    """The entities' sides that `link` keeps, a part a run."""
    folder = paths.root / "indexes" / paths.dataset
    return [
        Part(f"index of {run.name}", run, lambda run=run: of_index(run))  # type: ignore[misc]
        for run in sorted(folder.glob("*"))
        if run.is_dir()
    ]


def sealed(index: Path, mend: str) -> Iterator[Problem]:
    """A sealed file, and every file that it vouches for."""
    try:
        found = Sealed.read(index)
    except (OSError, DamagedError) as error:
        yield Problem(index, said(error, index), mend)
        return
    for name in found.files:
        try:
            found.require(name)
        except DamagedError as error:
            yield Problem(index.parent / name, said(error, index.parent / name), mend)


def of_store(path: Path, paths: DatasetPaths) -> Iterator[Problem]:
    """A store of features or of joint vectors: every file, with the rows and a record of them."""
    mend = paths.repair
    try:
        store = FeatureStore.open(path)
    except MelovError as error:
        yield Problem(path / NODE, said(error, path), mend)
        return
    for damage in damages_of(store):
        where = f"{damage.what}{named_by(store, damage, paths)}"
        yield Problem(damage.path, where, mend)


def damages_of(store: FeatureStore) -> list[Damage]:
    """What of a store is damaged; shows how far it is."""
    with byte_progress(f"verify {Path(store.path).name}") as show:
        return list(damages(store, show))


def of_summary(paths: DatasetPaths, mend: str) -> Iterator[Problem]:
    """Extraction's summary, and whether it is the present store's."""
    problems = list(sealed(paths.extract / SUMMARY, mend))
    yield from problems
    if problems or not paths.store.exists():
        return
    content = Sealed.read(paths.extract / SUMMARY).content
    try:
        store = FeatureStore.open(paths.store)
    except MelovError:
        return  # told by the store's own part
    if content.get("store") != store.identity:
        yield Problem(paths.extract / LEDGER, "of another store than the present one", mend)


def of_index(folder: Path) -> Iterator[Problem]:
    """Pieces of an index; `link` makes damaged ones again by itself."""
    mend = "the next python -m pipeline.link with this run makes it again"
    for piece in pieces_in(folder):
        try:
            store = FeatureStore.open(piece)
        except MelovError as error:
            yield Problem(piece / NODE, said(error, piece), mend)
            continue
        for damage in damages(store):
            yield Problem(damage.path, damage.what, mend)


def said(error: Exception, path: Path) -> str:
    """An error's words without the path that they begin with."""
    text = error.message if isinstance(error, MelovError) else getattr(error, "strerror", "")
    return (text or str(error)).removeprefix(f"{path}: ").removeprefix("damaged: ")
