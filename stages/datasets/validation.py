"""The report on a data set: sizes against the published ones, quirks met, what is dropped."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.datasets.entity_columns import aliases_of, prior_of
from stages.datasets.findings import Finding
from stages.datasets.headers import HeaderReport, inspect_headers
from stages.datasets.published import PublishedCounts, published_counts
from stages.datasets.records import Records
from stages.paths import NIL, SPLITS
from stages.shown import one_line


@dataclass(frozen=True)
class Validation:
    """What `pipeline.validate` prints.

    Args:
        counts: rows kept, and the quirks that are published too.
        published: the published counts of the MIMIC release, where the data set is one of its
            three.
        coverage: for `entities`, each split and `nil`, the mentions without an entity: rows, and
            those whose picture's file is there.
        aliases: entities that have some; prior: the kind that they have, None of a source without.
        headers: None if the pictures were not opened.
    """

    dataset: str
    source: str
    text_field: str
    counts: dict[str, int]
    published: PublishedCounts | None
    coverage: dict[str, tuple[int, int]]
    aliases: int
    prior: str | None
    findings: tuple[Finding, ...]
    headers: HeaderReport | None


def validate(records: Records, root: Path, open_pictures: bool = True) -> Validation:
    """Count, compare and, if wanted, open every picture that is there; `root` is the project's."""
    met = {finding.code: finding.count for finding in records.findings}
    statuses = records.pictures["status"].to_pylist()
    tables = {"entities": records.entities, **records.mentions}
    if records.nil.num_rows:
        tables[NIL] = records.nil
    coverage = {
        name: (table.num_rows, sum(row >= 0 and statuses[row] == "ok" for row in
                                   table["picture"].to_pylist()))
        for name, table in tables.items()
    }  # fmt: skip
    headers = None
    if open_pictures:
        paths = records.pictures["path"].to_pylist()
        there = [path for path, status in zip(paths, statuses, strict=True) if status == "ok"]
        headers = inspect_headers(records.image_folder(root), there)
    return Validation(
        records.dataset,
        records.source,
        records.text_field,
        {
            "entities": records.entities.num_rows,
            **{split: records.mentions[split].num_rows for split in SPLITS},
            "blank_images": met.get("mention-image-blank", 0),
            "shared_sentences": met.get("sentence-in-train-and-test", 0),
        },
        published_counts(records.dataset) if records.source == "mimic" else None,
        coverage,
        sum(map(bool, aliases_of(records.entities) or ())),
        prior_of(records.entities),
        records.findings,
        headers,
    )


def render(report: Validation) -> str:
    """The report as text for a terminal."""
    lines = [f"{report.dataset} ({report.source}; text of entities: {report.text_field})", ""]
    lines += render_counts(report.counts, report.published)
    lines += ["", "with a picture file"]
    for name, (rows, there) in report.coverage.items():
        share = f"{there / rows:7.1%}" if rows else ""
        lines.append(f"  {name:<18}{there:>10,} of {rows:>10,} {share}")
    if report.aliases or report.prior:
        lines += ["", "of entities"]
    if report.aliases:
        lines.append(f"  {'with aliases':<18}{report.aliases:>10,}")
    if report.prior:
        lines.append(f"  {'prior':<18}{report.prior:>10}")
    lines += ["", "quirks met", *(render_findings(report.findings) or ["  none"])]
    dropped = [finding for finding in report.findings if finding.dropped]
    lines += ["", "dropped by pipeline.prepare"]
    lines += [f"  {finding.count:>10,}  {finding.what}" for finding in dropped] or ["  nothing"]
    if report.headers is not None:
        lines += ["", *_render_headers(report.headers)]
    return "\n".join(lines)


def render_counts(counts: dict[str, int], published: PublishedCounts | None) -> list[str]:
    """One line a count, with the published one where there is one."""
    lines = [f"{'':<20}{'here':>10}" + (f"{'published':>12}" if published else "")]
    for name, count in counts.items():
        line = f"  {name:<18}{count:>10,}"
        if published:
            expected = getattr(published, name)
            line += f"{expected:>12,}" + ("" if count == expected else f"  {count - expected:+,}")
        lines.append(line)
    if published and published.note:
        lines.append(f"  ({published.note})")
    return lines


def render_findings(findings: Iterable[Finding]) -> list[str]:
    """Count, code and meaning of each finding, with its examples below."""
    lines = []
    for finding in findings:
        dropped = " [dropped]" if finding.dropped else ""
        lines.append(f"  {finding.count:>10,}  {finding.code}: {finding.what}{dropped}")
        lines += [f"{'':14}{one_line(example)}" for example in finding.examples]
        if finding.count > len(finding.examples):
            lines.append(f"{'':14}... {finding.count - len(finding.examples):,} more")
    return lines


def _render_headers(headers: HeaderReport) -> list[str]:
    lines = [f"pictures opened: {headers.pictures:,}"]
    named = {"format": headers.formats, "mode": headers.modes, "longest side": headers.sizes}
    for name, counts in named.items():
        listed = ", ".join(f"{value} {count:,}" for value, count in counts.items())
        lines.append(f"  {name:<14}{listed or 'none'}")
    return lines + render_findings(headers.findings)
