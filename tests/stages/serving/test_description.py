"""Requests of every kind that the service's own description allows, and does not allow:

SERVICE_EXAMPLES=2000 python -m pytest tests/stages/serving/test_description.py
"""

from __future__ import annotations

import os
import re
from email import message_from_bytes
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from stages.serving.app import make_app
from stages.serving.bounds import Limits
from stages.serving.served import Served
from tests.stages.serving.conftest import ready

ASKED = os.environ.get("SERVICE_EXAMPLES")
EXAMPLES = int(ASKED or "15")
OPERATIONS = (
    "POST /link", "POST /nif", "GET /entities", "GET /pictures/{kind}/{id}", "GET /examples",
    "GET /health",
)  # fmt: skip


@pytest.fixture(scope="module")
def operations(served: Served) -> dict[str, Any]:
    app = make_app(ready(served), Limits(hosts=None))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    return {
        operation.label: operation for operation in (r.ok() for r in schema.get_all_operations())
    }


def test_all_of_them_are_tried(operations):
    assert set(operations) == set(OPERATIONS)


CASES = [
    (label, mode)
    for label in OPERATIONS
    for mode in GenerationMode
    # What takes nothing cannot be given anything wrong.
    if mode.is_positive or label not in ("GET /examples", "GET /health")
]


def is_right_as_sent(request: Any) -> bool:
    """Whether a form is as described once it is sent: all that it holds is text, so what was drawn
    as null or as a list of one is a text or an offset like any other."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return False
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    parts = message_from_bytes(head + request.body).get_payload()
    said: dict[str, list[str]] = {}
    for part in parts if isinstance(parts, list) else []:
        if part.get_filename() is None:
            name = str(part.get_param("name", header="content-disposition"))
            said.setdefault(name, []).append(part.get_payload(decode=True).decode())
    offsets = said.pop("start", []), said.pop("end", [])
    alike = len(offsets[0]) == len(offsets[1]) > 0
    once = all(len(values) == 1 for values in said.values())
    known = {"text"} <= said.keys() <= {"text", "top", "min_probability", "image"}
    whole = [*offsets[0], *offsets[1], *said.get("top", [])]
    return alike and once and known and all(re.fullmatch("0|[1-9][0-9]*", x) for x in whole)


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_every_answer_is_as_described(operations, label, mode):
    strategy = operations[label].as_strategy(generation_mode=mode)

    @given(strategy)
    # Few examples are the same ones every time: what chance finds belongs to the long run.
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=ASKED is None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def answers(case: Any) -> None:
        # No schema says that a span lies in its text, or that a text is Turtle.
        excluded: list[Any] = [positive_data_acceptance] if case.method == "POST" else []
        answer = case.call()
        if answer.status_code == 200 and is_right_as_sent(answer.request):
            excluded.append(negative_data_rejection)
        case.validate_response(answer, excluded_checks=excluded)
        assert answer.status_code < 500

    answers()
