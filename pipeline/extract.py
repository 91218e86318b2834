"""Frozen features into the store:  python -m pipeline.extract --dataset wikimel"""

import json
from contextlib import suppress
from typing import Any

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
def main(params: Params, paths: DatasetPaths, force: bool, replace: bool, together: bool) -> None:
    config = params.extract
    if not replace:  # DVC replaces: a store then is what the parameters say, whatever was before
        said = params.said(paths.dataset, "extract")
        config = further_as_before(paths, as_before(paths, config, said), said)
    extraction = extract(paths, config, force, replace, together)
    timings = paths.extract / "timings.json"
    if extraction.did_work or not timings.exists():
        with atomic_path(timings) as path:
            path.write_text(json.dumps(extraction.timings, indent=1) + "\n")
    summary = summarised(paths)
    if not extraction.did_work:
        echo(f"{paths.store}: finished already, nothing to do")
    show(paths, summary, extraction)
    for name in further_encoders(config):
        show_further(extract_further(paths, config, name, force, replace, together))
    list_further(paths, list(further_encoders(config)))


def show(paths: DatasetPaths, summary: dict[str, Any], extraction: Extraction) -> None:
    """What the first encoder's store holds."""
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


def show_further(made: Extraction) -> None:
    """What a further encoder's store holds."""
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
