"""The table of answers that may be none, and what its numbers are of."""

from stages.ranking.answers import ANSWER_METRICS
from stages.report.columns import Table, cell
from stages.report.results import Results

ANSWERS = (
    "Answers that may be none: the best entity where its probability reaches the threshold of "
    "{:.0%} precision on validation, else none. Test, {nil_mentions:,} of {mentions:,} mentions "
    "without an entity."
)


def answers_table(results: Results) -> Table | None:
    """One row a variant, all test mentions and those without an entity; None where no probability
    is known."""
    known = [variant for variant in results.variants if variant not in results.uncalibrated]
    if not known:
        return None
    rows = [(v, *(cell(results.answer_rate(v, key)) for key in ANSWER_METRICS)) for v in known]
    return Table(("variant", *(metric.title for metric in ANSWER_METRICS.values())), rows, left=1)


def answers_note(results: Results) -> str:
    """What the numbers of answers that may be none are of; empty where there are none."""
    for variant in results.variants:
        if variant not in results.uncalibrated:
            said = results.runs[variant, results.seeds[0]].probability
            return ANSWERS.format(said["precision"], **said["test"])
    return ""
