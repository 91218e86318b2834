"""The pages of docs/reference, out of the code: commands, parameters and the HTTP API.

A page of docs/reference holds an introduction, which stands on GitHub, too, and a line
`<!-- generated: NAME -->`. When the site is built, what `GENERATED[NAME]` gives takes its place.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from textwrap import dedent
from typing import Any

import click

from pipeline.__main__ import STEPS, told
from stages.config import SECTIONS, Params
from stages.datasets.sources import AUTO, SOURCES
from stages.heads.presets import DECIDED, PRESETS
from stages.heads.units.registry import UNITS
from stages.heads.variants import VARIANTS
from stages.section import Section

MARK = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)

NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "variants"): tuple(VARIANTS),
    ("prepare", "source"): (AUTO, *SOURCES),
    ("train", "preset"): tuple(PRESETS),
    ("train", "units"): tuple(UNITS),
}
"""Values that a validator takes, of which the schema knows no more than that they are texts."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls it for each page."""
    return MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)


def commands() -> str:
    """Each command as its `--help` describes it; what all of them take stands once."""
    modules = {step: import_module(f"pipeline.{step}") for step in STEPS}
    options = {step: dict(_options(module.main)) for step, module in modules.items()}
    common = set.intersection(*(set(own.items()) for own in options.values()))
    shared = [item for item in options[STEPS[0]].items() if item in common]
    parts = ["## Options of every command", _options_table(shared)]
    for step, module in modules.items():
        shown = re.findall(rf"python -m pipeline\.{step} [^`:\n]*", module.__doc__ or "")
        own = [item for item in options[step].items() if item not in common]
        example = "\n".join(["```sh", *shown, "```"])
        parts += [f"## {step}", _text(told(step)), example, _options_table(own)]
    return "\n\n".join(parts)


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[0] != "--help":
            yield record


def _options_table(options: list[tuple[str, str]]) -> str:
    rows = [(_code(name), _text(said)) for name, said in options]
    return _table(("option", "what"), rows)


def parameters() -> str:
    """Each section of params.yaml with its keys, their defaults, values and docstrings."""
    schema = Params.model_json_schema()
    top = [name for name in Params.model_fields if name not in SECTIONS]
    parts = ["## At the top", _keys(Params, schema, "", top)]
    for section in SECTIONS:
        model: Any = Params.model_fields[section].annotation
        said = inspect.cleandoc(model.__doc__ or "").split("\n\n")[0]
        parts += [f"## {section}", _text(said)]
        parts.append(_keys(model, schema, section, list(model.model_fields)))
    return "\n\n".join(parts)


def _keys(model: type[Section], schema: dict[str, Any], section: str, names: list[str]) -> str:
    schemas, meanings = Schemas(schema["$defs"]), docstrings(model)
    properties = (schema if model is Params else schema["$defs"][model.__name__])["properties"]
    rows = []
    for name in names:
        field, choices = properties[name], NAMES.get((section, name))
        values = _codes(choices) if choices else schemas.values(field)
        if choices and field["type"] == "array":
            values = f"list: {values}"
        rows.append((_code(name), _default(name, field, section), values, _text(meanings[name])))
    return _table(("key", "default", "values", "meaning"), rows)


def docstrings(model: type[Section]) -> dict[str, str]:
    """What the texts below the fields of a section, and of those that it inherits from, say; empty
    where a field has none."""
    found = dict.fromkeys(model.model_fields, "")
    for cls in reversed(model.__mro__):
        if not (issubclass(cls, Section) and cls is not Section):
            continue
        (node,) = ast.parse(dedent(inspect.getsource(cls))).body
        assert isinstance(node, ast.ClassDef)
        for field, after in zip(node.body, node.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[field.target.id] = inspect.cleandoc(str(after.value.value))
    return found


def _default(name: str, field: Mapping[str, Any], section: str) -> str:
    if section == "train" and name in DECIDED:
        own = {preset: values.get(name, field["default"]) for preset, values in PRESETS.items()}
        return "<br>".join(f"{preset}: {_code(value)}" for preset, value in own.items())
    return _code(field["default"]) if "default" in field else ""


@dataclass(frozen=True)
class Schemas:
    """JSON schemas by name, and what a field of one of them allows, in words.

    linked: whether the page describes them one by one; else their keys stand where they are met.
    """

    models: Mapping[str, Any]
    linked: bool = False

    def values(self, field: Mapping[str, Any]) -> str:
        if "enum" in field or "const" in field:
            return _codes(field.get("enum", [field.get("const")]))
        if "anyOf" in field:
            return " or ".join(self.values(one) for one in field["anyOf"])
        if "$ref" in field:
            name = field["$ref"].rpartition("/")[2]
            if self.linked:
                return f"[{name}](#{name.lower()})"
            return f"mapping of {_codes(self.models[name]['properties'])}"
        match field.get("type"):
            case "array" if "prefixItems" in field:
                return f"list: {', '.join(map(self.values, field['prefixItems']))}"
            case "array":
                return f"list: {self.values(field['items'])}"
            case "object":
                kinds = [*field.get("patternProperties", {}).values()]
                more = field.get("additionalProperties")
                kinds += [more] if isinstance(more, dict) else []
                return "mapping" + "".join(f", name: {self.values(kind)}" for kind in kinds)
            case "integer" | "number" as kind:
                return _range(field, kind)
            case "boolean":
                return _codes([True, False])
            case "string":
                return "file" if field.get("format") == "binary" else "text"
            case "null":
                return _code(None)
        return "anything"

    def table(self, model: Mapping[str, Any]) -> str:
        """The fields of one."""
        required = model.get("required", ())
        rows = []
        for name, field in model.get("properties", {}).items():
            needed = "yes" if name in required else ""
            rows.append((_code(name), needed, self.values(field), _said(field)))
        return _table(("field", "required", "values", "meaning"), rows)


def _range(field: Mapping[str, Any], kind: str) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = {sign: _number(field[key]) for key, sign in signs.items() if key in field}
    if bounds.keys() == {"≥", "≤"}:
        return f"{kind}, {bounds['≥']} to {bounds['≤']}"
    return ", ".join([kind, *(_plain(f"{sign} {bound}") for sign, bound in bounds.items())])


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def http_api() -> str:
    """Each request with what it takes and gives, from the service's own OpenAPI description."""
    from stages.serving.app import make_app

    described = make_app(Future()).openapi()
    schemas = Schemas(described["components"]["schemas"], linked=True)
    parts = []
    for path, methods in described["paths"].items():
        for method, request in methods.items():
            parts += [f"## {method.upper()} {path}", _said(request), *_request(request, schemas)]
    parts.append("## Messages")
    for name, model in schemas.models.items():
        parts += [f"### {name}", _said(model), schemas.table(model)]
    return "\n\n".join(parts)


def _request(request: Mapping[str, Any], schemas: Schemas) -> Iterator[str]:
    rows = [
        (_code(one["name"]), one["in"], schemas.values(one["schema"]), _said(one))
        for one in request.get("parameters", [])
    ]
    if rows:
        yield _table(("parameter", "in", "values", "meaning"), rows)
    for kind, content in request.get("requestBody", {}).get("content", {}).items():
        if "properties" in content["schema"]:
            yield f"Body, {_code(kind)}:"
            yield schemas.table(content["schema"])
        else:
            yield f"Body, {_code(kind)}: {schemas.values(content['schema'])}"
    answers = []
    for status, answer in request["responses"].items():
        bodies = answer.get("content", {}).items()
        shown = [(_code(kind), schemas.values(body.get("schema", FILE))) for kind, body in bodies]
        answers.append((status, _said(answer), "<br>".join(map(": ".join, shown))))
    yield _table(("status", "meaning", "body"), answers)


FILE = {"type": "string", "format": "binary"}
"""What a body without a schema is."""


def _said(described: Mapping[str, Any]) -> str:
    paragraphs = described.get("description", "").split("\n\n")
    return "\n\n".join(_text(paragraph) for paragraph in paragraphs)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Without the columns in which no row says anything; nothing where there is no row."""
    if not rows:
        return ""
    said = [place for place in range(len(head)) if any(row[place] for row in rows)]
    lines = [[line[place] for place in said] for line in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", " ") for line in lines)


def _codes(values: Any) -> str:
    return ", ".join(_code(value) for value in values)


def _code(value: Any) -> str:
    """As YAML would have it."""
    if isinstance(value, list | tuple):
        value = f"[{', '.join(map(str, value))}]"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"<code>{_plain(text)}</code>"


def _plain(text: str) -> str:
    """In one line, without a character that means something in Markdown, HTML or a table."""
    return re.sub(r"[<>&*_|\[\]`]", lambda mark: f"&#{ord(mark[0])};", re.sub(r"\s+", " ", text))


def _text(text: str) -> str:
    """A sentence of the code: as it stands, with its `code`, and links to pages."""
    pieces = re.split(r"`([^`]*)`", text)
    pieces[::2] = map(_plain, pieces[::2])
    pieces[1::2] = map(_code, pieces[1::2])
    return re.sub(r"\bdocs/([a-z]+\.md)", r"[\1](../\1)", "".join(pieces))


GENERATED = {"commands": commands, "parameters": parameters, "http-api": http_api}
