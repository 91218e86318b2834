"""The tables of a report: aligned for a terminal, as Markdown, and tidy as CSV."""

import csv
import io
import textwrap

from stages.ranking.metrics import by_part, shown
from stages.report.answers import answers_note, answers_table
from stages.report.columns import Table, cell
from stages.report.course import COURSE, course_table
from stages.report.rate import Rate
from stages.report.results import Results, part_name
from stages.report.sheet import NOTHING
from stages.shown import cell as safe_cell
from stages.shown import markdown, terminal

FROZEN = (
    "Trained heads on frozen, cached features. Published systems fine-tune their encoders:\n"
    "their figures are other conditions."
)
TEST_BED = "is a test bed made by this project: no number here is a claim about WikiMEL."


def main_table(results: Results) -> Table:
    """One row a variant, all test mentions."""
    return Table(
        ("variant", *(metric.title for metric in shown())),
        [
            (variant, *(cell(results.rate(variant, "test", m)) for m in shown()))
            for variant in results.rows
        ],
        left=1,
    )


def part_table(results: Results) -> Table:
    """One row a part of the test mentions and a variant."""
    return Table(
        ("part", "variant", "mentions", *(metric.title for metric in by_part())),
        [
            (
                part_name(part),
                variant,
                f"{results.mentions(part):,}",
                *(cell(results.rate(variant, part, m)) for m in by_part()),
            )
            for part in results.parts
            for variant in results.rows
        ],
        left=2,
    )


def poor_difference(results: Results) -> list[str]:
    """What melov gains over mimic where the picture is poor, in points, with its sign by seed."""
    poor = "test_poor"
    if not {"melov", "mimic"} <= set(results.variants) or poor not in results.parts:
        return []
    found = []
    pair = ("melov", "mimic")
    seeds = [s for s in results.seeds if all(s in results.seeds_of(v) for v in pair)]
    for metric in by_part():
        ours, theirs = (results.rate(v, poor, metric, seeds) for v in pair)
        if ours is None or theirs is None:
            return []
        gains = Rate(tuple(a - b for a, b in zip(ours.values, theirs.values, strict=True)))
        above = sum(gain > 0 for gain in gains.values)
        found.append(
            f"melov - mimic, poor pictures: {metric.title} "
            f"{'+' if gains.mean > 0 else ''}{gains} points "
            f"(above in {above} of {len(seeds)} seed{'s' * (len(seeds) > 1)})"
        )
    return found


def heading(results: Results) -> str:
    """What the numbers are of."""
    seeds = ", ".join(map(str, results.seeds))
    over = f"seed {seeds}"
    if len(results.seeds) > 1:
        over = f"mean ± standard deviation over seeds {seeds}"
    return (
        f"{results.mentions():,} test mentions against {results.entities:,} entities; "
        f"percent; {over}"
    )


WIDTH = 100
CLEAN = "clean: nothing of the mention stands in training, and its picture is not its entity's."
OTHERS = "Other runs of this data set, each by itself: no mean holds them."


def others_table(results: Results) -> Table:
    """One row a run that no mean holds."""
    return Table(
        ("run", *(metric.title for metric in shown())),
        [
            (
                run.name,
                *(
                    NOTHING if run.metrics is None else f"{m.scale * run.metrics[m.key]:.2f}"
                    for m in shown()
                ),
            )
            for run in results.others
        ],
        left=1,
    )


def reasons(results: Results, width: int | None) -> str:
    """Why no mean holds these runs, a line each, broken at `width`."""
    lines = [f"{run.name}: {run.why}" for run in results.others]
    if width is None:
        return "\n".join(f"- {markdown(line)}" for line in lines)
    return "\n".join(_broken(terminal(line), width) for line in lines)


def _broken(line: str, width: int) -> str:
    """A line as a paragraph; a command at its end stays whole, to be copied."""
    said, found, command = line.partition("python -m ")
    text = textwrap.fill(said.rstrip(), width, subsequent_indent="  ")
    return f"{text}\n  {found}{command}" if found else text


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def partial_notes(results: Results) -> list[str]:
    """Which variants' figures leave seeds out, since their settings are others."""
    notes = []
    for variant in results.variants:
        of = results.seeds_of(variant)
        if of != results.seeds:
            left = ", ".join(str(seed) for seed in results.seeds if seed not in of)
            notes.append(
                f"{variant}: over seed {', '.join(map(str, of))} alone; "
                f"the settings of seed {left} are others."
            )
    return notes


def notes(results: Results) -> list[str]:
    """What must stand wherever a number is shown."""
    notes = [FROZEN]
    notes += partial_notes(results)
    if results.yardsticks:
        notes.append(f"{', '.join(results.yardsticks)}: nothing is trained; beside every run.")
    for variant, command in results.left_out.items():
        notes.append(f"{variant} is left out, it lacks a trained run:\n{command}")
    if "test_clean" in results.parts:
        notes.append(CLEAN)
    if "test_poor" in results.parts:
        notes.append("poor: every kind of picture but good.")
    if results.test_bed:
        notes.append(f"{results.dataset} {TEST_BED}")
    return notes


def text_report(results: Results) -> str:
    """`table.txt`, at most 100 columns wide."""
    answers, note = answers_table(results), answers_note(results)
    course = course_table(results)
    blocks = [
        f"{results.dataset}\n{heading(results)}",
        main_table(results).text(),
        part_table(results).text(),
        "" if course is None else f"{_paragraph(COURSE)}\n\n{course.text()}",
        "" if answers is None else f"{textwrap.fill(note, WIDTH)}\n\n{answers.text()}",
        "\n".join(poor_difference(results)),
        "\n".join(_broken(f"warning: {terminal(line)}", WIDTH) for line in results.warnings),
        f"{OTHERS}\n{others_table(results).text()}" if results.others else "",
        reasons(results, WIDTH),
        "\n".join(notes(results)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_report(results: Results) -> str:
    """`table.md`."""
    answers, note = answers_table(results), answers_note(results)
    course = course_table(results)
    blocks = [
        f"# {results.dataset}",
        heading(results),
        main_table(results).markdown(),
        part_table(results).markdown(),
        "" if course is None else f"{COURSE}\n\n{course.markdown()}",
        "" if answers is None else f"{note}\n\n{answers.markdown()}",
        "\n".join(f"- {line}" for line in poor_difference(results)),
        "\n".join(f"- **Warning**: {markdown(line)}" for line in results.warnings),
        f"{OTHERS}\n\n{others_table(results).markdown()}" if results.others else "",
        reasons(results, None),
        "\n\n".join(note.replace("\n", " ") for note in notes(results)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def csv_report(results: Results) -> str:
    """`table.csv`: one row a part and a variant; no number where a part has no mention, and no seed
    of what learns nothing."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [name for m in shown() for name in (m.title, f"{m.title} std")]
    writer.writerow(["part", "mentions", "variant", "seeds", *names])
    for part in ("test", *results.parts):
        for variant in results.rows:
            numbers: list[str] = []
            for metric in shown():
                rate = results.rate(variant, part, metric)
                std = None if rate is None else rate.std
                numbers.append("" if rate is None else f"{rate.mean:.2f}")
                numbers.append("" if std is None else f"{std:.2f}")
            about = [
                part_name(part),
                results.mentions(part),
                variant,
                0 if variant in results.yardsticks else len(results.seeds_of(variant)),
            ]
            writer.writerow([*map(safe_cell, about), *numbers])
    return file.getvalue()
