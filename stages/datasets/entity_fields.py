"""What a source may say of an entity: its pictures, other names, and its prior."""

import math
from collections.abc import Callable
from typing import Any

from cache.strict import short
from stages import limits
from stages.datasets.entity_columns import COUNT, PROBABILITY
from stages.datasets.fields import kind_of, well_formed
from stages.datasets.findings import Findings
from stages.datasets.records import RecordsError
from stages.unicode import folded

ALIASES = ("aliases", "alias", "also_known_as", "labels")
PRIOR = ("prior", "popularity", "count")
"""Names of a field, of which a record has one."""

RENAME = "rename the field if it says something else"

BETWEEN = "|"
"""What stands between the values of a CSV cell."""


def said_aliases(
    record: dict[str, Any], where: str, findings: Findings, csv: bool = False,
    decoded: Callable[[str, str, Findings], str] = well_formed,
) -> list[str]:  # fmt: skip
    """The aliases as the record has them: none, one, a list, or a CSV cell with `|` between them.

    Args:
        decoded: what makes a text of a value.

    Raises:
        RecordsError: the field holds something else, or has two of its names.
    """
    name, value = _said(record, ALIASES, where, findings)
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(BETWEEN) if csv else [value]
    if not isinstance(value, list) or not all(isinstance(alias, str) for alias in value):
        raise RecordsError(
            f"{where}: field '{name}' is {kind_of(value)}, expected a list of names", RENAME
        )
    return [decoded(alias, where, findings) for alias in value]


def said_images(
    record: dict[str, Any], where: str, findings: Findings, csv: bool = False
) -> list[str]:
    """The paths in `image`: none, one, a list, or a CSV cell with `|` between them.

    Raises:
        RecordsError: the field holds something else.
    """
    value = record.get("image")
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(BETWEEN) if csv else [value]
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise RecordsError(f"{where}: field 'image' is {kind_of(value)}, expected a path or paths")
    return [well_formed(path, where, findings) for path in value if path.strip()]


def said_prior(
    record: dict[str, Any], where: str, findings: Findings, csv: bool = False
) -> float | None:
    """The entity's prior, a count or a probability; None where the record says none.

    Raises:
        RecordsError: it is no number, or one that is neither; the field has two of its names.
    """
    name, value = _said(record, PRIOR, where, findings)
    if value is None:
        return None
    try:
        number = float(value) if csv and isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError
    except ValueError:
        raise RecordsError(
            f"{where}: field '{name}' is {kind_of(value)} ({short(value)}), expected a number",
            RENAME,
        ) from None
    if not 0 <= number <= limits.PRIOR_COUNT or (number > 1 and number != int(number)):
        raise RecordsError(
            f"{where}: field '{name}' is {short(value)}, expected a count (a whole number from 0 "
            f"to {limits.PRIOR_COUNT:,}) or a probability (from 0 to 1)", RENAME,
        )  # fmt: skip
    return number


def kept_aliases(name: str, aliases: list[str], where: str, findings: Findings) -> list[str]:
    """Those that say something: not blank, and no two alike, the entity's name included.

    Names are alike that differ in case or in their Unicode form alone: their n-grams and words are
    the same. What is left out is counted.
    """
    kept: list[str] = []
    met = {folded(name.strip())}
    for alias in aliases:
        alias = alias.strip()
        if not alias:
            findings.add("alias-blank", "aliases that are blank, left out", where)
        elif (form := folded(alias)) in met:
            what = "aliases that repeat the name or another alias, left out"
            findings.add("alias-repeated", what, f"{where}: {short(alias)}")
        elif len(kept) == limits.ALIASES:
            what = f"aliases of an entity beyond the first {limits.ALIASES:,}, left out"
            findings.add("aliases-beyond-limit", what, where)
        else:
            met.add(form)
            kept.append(alias)
    return kept


def prior_column(
    priors: list[float | None], places: list[str], findings: Findings
) -> dict[str, list[Any]]:
    """The column of the records that all entities' priors make: counts where every one is a whole
    number, else probabilities. None where no entity has one; entities without one have 0, counted.

    Args:
        places: where each entity stands.

    Raises:
        RecordsError: a count among probabilities.
    """
    said = [
        (prior, where) for prior, where in zip(priors, places, strict=True) if prior is not None
    ]
    if not said:
        return {}
    for prior, where in zip(priors, places, strict=True):
        if prior is None:
            findings.add("prior-missing", "entities without a prior, read as 0", where)
    fractions = [(prior, where) for prior, where in said if prior != int(prior)]
    if not fractions:
        return {COUNT: [int(prior or 0) for prior in priors]}
    beyond = next(((prior, where) for prior, where in said if prior > 1), None)
    if beyond is not None:
        raise RecordsError(
            f"{beyond[1]}: the prior {beyond[0]:g} is a count, but {fractions[0][1]} has the "
            f"probability {fractions[0][0]:g}",
            "give all entities a count, or all a probability",
        )
    return {PROBABILITY: [float(prior or 0) for prior in priors]}


def _said(
    record: dict[str, Any], names: tuple[str, ...], where: str, findings: Findings
) -> tuple[str, Any]:
    """The name that the record has the field by, and its value; NaN, as pandas writes, is none. A
    name that is not the first is counted, since it may be meant otherwise."""
    there = [name for name in names if not _nothing(record.get(name))]
    if len(there) > 1:
        raise RecordsError(f"{where}: fields '{there[0]}' and '{there[1]}' are one", "keep one")
    if not there:
        return names[0], None
    if there[0] != names[0]:
        what = "fields that are read by another name; rename those that say something else"
        findings.add("field-read-as", what, f"{where}: '{there[0]}' as '{names[0]}'")
    return there[0], record[there[0]]


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
