"""Sections of the parameters: frozen, typed, checked, with errors that help."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from cache.errors import DamagedError, MelovError, nearest
from cache.sealed import Sealed
from cache.strict import plain, read_regular, short
from cache.strict_yaml import MOST_CHARACTERS, parse_yaml


class ConfigError(MelovError):
    """A parameter file or `--set` that cannot be used."""


MOST_ERRORS = 10
"""Of one file, that a message names one by one."""
_LONGEST = 200
"""Characters of an assignment in a message."""

MOST_SEED = 2**32 - 1
"""The largest that numpy's and scikit-learn's generators take."""
Seed = Annotated[int, Field(ge=0, le=MOST_SEED, strict=True)]


class Section(BaseModel):
    """A stage's parameters: frozen, typed, unknown keys refused.

    Every number has both a least and a largest value that can work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes` and `on` as true, and Python takes true for 1."""
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool) and field is not None and field.annotation in (int, float):
            raise ValueError("expected a number")
        return value


Checked = TypeVar("Checked", bound=Section)


def read_mapping(path: Path, what: str, hint: str | None = None) -> dict[str, Any]:
    """A YAML file's mapping; an empty file is an empty one.

    Raises:
        ConfigError: there is no such file (`what` names its kind), or it is no YAML mapping.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such {what}", hint)
    try:
        text = read_regular(path, ConfigError, 4 * MOST_CHARACTERS).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    raw = parse_yaml(text, str(path), ConfigError)
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, found {type(raw).__name__}")
    return raw


def mapping_at(value: Any, place: str) -> dict[str, Any]:
    """`value`, which must be a mapping or nothing.

    Raises:
        ConfigError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: expected a mapping, found {type(value).__name__}")
    return value


def assign_all(raw: dict[str, Any], assignments: Sequence[str]) -> None:
    """Each of `--set`'s assignments, as `assign` does.

    Raises:
        ConfigError: as `assign` does; two are of one key.
    """
    first: dict[str, str] = {}
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        if key in first:
            raise ConfigError(
                f"--set {_cut(first[key])} and --set {_cut(assignment)}: one key twice"
            )
        first[key] = assignment
        assign(raw, assignment)


def assign(raw: dict[str, Any], assignment: str) -> None:
    """Put `section.key=value` into `raw`.

    Raises:
        ConfigError: it is no such assignment.
    """
    key, sign, value = assignment.partition("=")
    if not sign:
        raise ConfigError(
            f"--set {_cut(assignment)}: expected key=value, such as train.gcn_layers=1"
        )
    *sections, leaf = key.strip().split(".")
    place = raw
    for name in sections:
        if not isinstance(place.setdefault(name, {}), dict):
            raise ConfigError(f"--set {_cut(assignment)}: '{_cut(name)}' is no section")
        place = place[name]
    place[leaf] = parse_yaml(value, f"--set {_cut(assignment)}: the value", ConfigError)


def _cut(text: str) -> str:
    """An assignment as messages repeat it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def known(name: str, names: Iterable[str]) -> str:
    """`name`, where it is one of `names`.

    Raises:
        ValueError: it is not; the nearest is named. Pydantic shows the message with the key.
    """
    listed = list(names)
    if name not in listed:
        raise ValueError(f"expected one of {', '.join(listed)}{nearest(name, listed)}")
    return name


def validated(model: type[Checked], values: Any, where: str) -> Checked:
    """`values` as a section of the kind `model`.

    Raises:
        ConfigError: an unknown key (the nearest is named), a value of the wrong type or range;
            `where` opens each line.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(model, where, item) for item in error.errors()[:MOST_ERRORS]]
        if error.error_count() > len(lines):
            lines.append(f"{where}: and {error.error_count() - len(lines):,} more")
        raise ConfigError("\n".join(lines)) from None


def checked(model: type[Checked], sealed: Sealed) -> Checked:
    """The content of a sealed file as a section: a right seal says who wrote it last, no more.

    Raises:
        DamagedError: a key is missing or unknown, a value has another type or range; the first
            such is named.
    """
    try:
        return model.model_validate(sealed.content, strict=True)  # a text is no number
    except ValidationError as error:
        first = _explain(model, f"{sealed.path}: damaged", error.errors()[0])
        raise DamagedError(first, sealed.hint) from None


def _explain(model: type[BaseModel], where: str, item: Any) -> str:
    location = ".".join(plain(str(part)) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        choices = item["ctx"]["expected"] if item["type"] == "literal_error" else ""
        meant = nearest(str(item["input"]), re.findall(r"'([^']*)'", choices))
        said = item["msg"].removeprefix("Value error, ")
        return f"{where}: {location}: {said} (found {short(item['input'])}{meant})"
    at = model
    for part in item["loc"][:-1]:
        field = at.model_fields.get(part)  # else a place in a list, or a key of a mapping
        at = at if field is None else _section_in(field.annotation) or at
    return f"{where}: {location}: unknown key{nearest(str(item['loc'][-1]), list(at.model_fields))}"


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section of `tuple[Section, ...]`, `dict[str, Section]`, `Section | None` and such, or
    the section itself; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
