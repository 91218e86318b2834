"""Frozen features into the store:  python -m pipeline.extract --dataset wikimel"""

import json
import re
from contextlib import suppress
from typing import Any, Literal

import click

from cache.errors import DamagedError
from cache.files import atomic_path
from cache.reader import FeatureStore
from pipeline.cli import command, echo
from stages.config import Params
from stages.datasets.further import list_further
from stages.datasets.records import Records
from stages.datasets.store import read_summary
from stages.encode.as_before import as_before
from stages.encode.extract import Extraction, extract
from stages.encode.extract_further import extract_further
from stages.encode.further import further_as_before, further_encoders
from stages.encode.summary import write_summary
from stages.encode.ways import Doers, Part, Workers
from stages.paths import DatasetPaths


@command(
    "Run the frozen encoders once; write global and local features to the store.", resumes=True
)
@click.option("--force", is_flag=True, help="Encode everything again, whatever store is there.")
@click.option(
    "--replace",
    is_flag=True,
    help="Encode everything again where the store at hand was made by another encoder or with "
    "other settings, or is damaged; without it that is an error.",
)
@click.option(
    "--together",
    is_flag=True,
    help="Share the work with other processes, on this machine or others that share the folder, "
    "that were started with --together and the same settings.",
)
@click.option(
    "--workers",
    callback=lambda _, __, said: None if said is None else workers_of(said),
    metavar="N|cuda|ray",
    help="Lead workers that do the units: N processes of this machine, one process a GPU (cuda), "
    "or actors of a Ray cluster (ray).",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="With --workers ray: the cluster's.  [default: the one that Ray finds, else one started "
    "here]",
)
@click.option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0),
    metavar="X",
    help="With --workers ray: GPUs of each actor, such as 1, 0.5 or 0.  [default: 1 where the "
    "cluster has some]",
)
@click.option(
    "--part",
    callback=lambda _, __, said: None if said is None else part_of(said),
    metavar="I/N",
    help="Do the I-th of N shares of the units, as in an array of jobs; the last part that ends "
    "finishes the store, or an extract without --part does.",
)  # fmt: skip
def main(
    params: Params, paths: DatasetPaths, force: bool, replace: bool, together: bool,
    workers: int | Literal["cuda", "ray"] | None, address: str | None,
    gpus_per_worker: float | None, part: Part | None,
) -> None:  # fmt: skip
    config = params.extract
    if sum((together, workers is not None, part is not None)) > 1:
        raise click.UsageError("--together, --workers and --part exclude each other: give one")
    if workers != "ray" and (address, gpus_per_worker) != (None, None):
        raise click.UsageError("--address and --gpus-per-worker go with --workers ray")
    if part is not None and force:
        raise click.UsageError(
            "--part with --force: a part that begins when others have finished the store would "
            "begin another one; remove the store instead"
        )
    led = None if workers is None else Workers(workers, address, gpus_per_worker)
    doers = Doers(together, part, led)
    if not replace:  # DVC replaces: a store then is what the parameters say, whatever was before
        said = params.said(paths.dataset, "extract")
        config = further_as_before(paths, as_before(paths, config, said), said)
    extraction = extract(paths, config, force, replace, doers)
    timings = paths.extract / "timings.json"
    if not extraction.left and (extraction.did_work or not timings.exists()):
        with atomic_path(timings) as path:
            path.write_text(json.dumps(extraction.timings, indent=1) + "\n")
    show(paths, extraction)
    whole = not extraction.left
    for name in further_encoders(config):
        made = extract_further(paths, config, name, force, replace, doers)
        show_further(made)
        whole = whole and not made.left
    if whole:
        list_further(paths, list(further_encoders(config)))


def workers_of(said: str) -> int | Literal["cuda", "ray"]:
    """What --workers says."""
    if said == "cuda":
        return "cuda"
    if said == "ray":
        return "ray"
    if re.fullmatch(r"[1-9][0-9]{0,3}", said):
        return int(said)
    raise click.BadParameter(f"{said!r}: expected a number from 1 to 9999, cuda or ray")


def part_of(said: str) -> Part:
    """What --part says."""
    number, _, of = said.partition("/")
    wrong = f"{said!r}: expected I/N with I from 1 to N, such as 2/8"
    if not all(re.fullmatch("[0-9]{1,6}", figure) for figure in (number, of)):
        raise click.BadParameter(wrong)
    try:
        return Part(int(number), int(of))
    except ValueError:
        raise click.BadParameter(wrong) from None


def show(paths: DatasetPaths, extraction: Extraction) -> None:
    """What the first encoder's store holds; a summary of it is written where there is none."""
    if extraction.left:
        show_left(extraction)
        return
    summary = summarised(paths)
    if not extraction.did_work:
        echo(f"{paths.store}: finished already, nothing to do")
    texts, pictures = summary["texts"], summary["pictures"]
    if extraction.reused is not None:
        echo(
            f"{paths.store}: updated; reused {extraction.reused['texts']:,} of "
            f"{texts['distinct']:,} texts, {extraction.reused['pictures']:,} of "
            f"{pictures['distinct']:,} pictures"
        )
    echo(
        f"texts: {texts['records']} records, {texts['distinct']} distinct, {texts['tokens']} tokens"
        f" ({summary['texts_at_max_tokens']} at the limit of tokens)"
    )
    echo(f"pictures: {pictures['distinct']} distinct, {pictures['failed']} failed")
    for reason, count in pictures["failed_by_reason"].items():
        echo(f"  {count} x {reason}")
    if pictures["failed"]:
        echo(f"  each with its reason: {paths.extract / 'failed_pictures.csv'}")
    if summary["fallen_back"]:
        echo(f"another picture than their first, which fails: {summary['fallen_back']} of entities")
    for group, count in summary["without_picture"].items():
        echo(f"without a picture: {count} of {group}")


def show_left(made: Extraction) -> None:
    """What this part leaves to others."""
    echo(f"{made.store}: this part is done; {made.left:,} units are left to other parts")


def show_further(made: Extraction) -> None:
    """What a further encoder's store holds."""
    if made.left:
        show_left(made)
        return
    store = FeatureStore.open(made.store)
    kind, state = store.attribute("reads"), "written"
    if not made.did_work:
        state = "finished already, nothing to do"
    elif made.reused is not None:
        state = f"updated; reused {made.reused[kind]:,}"
    array = "texts/global" if kind == "texts" else "images/global"
    echo(
        f"{made.store}: {state}; {kind}: {len(store[array]):,} distinct, of width "
        f"{store.attribute('width')}"
    )


def summarised(paths: DatasetPaths) -> dict[str, Any]:
    """The store's summary, written where there is none of it that is whole."""
    store = FeatureStore.open(paths.store)
    summary = None
    with suppress(DamagedError):
        summary = read_summary(paths.extract, store, "")
    if summary is None:
        records = Records.load(paths.records, store.fingerprint.fields["records"])
        summary = write_summary(paths.extract, store, records)
    return summary


if __name__ == "__main__":
    main()
