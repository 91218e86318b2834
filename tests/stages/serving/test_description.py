"""Requests of every kind that the service's own description allows, and does not allow:

SERVICE_EXAMPLES=2000 python -m pytest tests/stages/serving/test_description.py
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

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
        excluded = [positive_data_acceptance] if case.method == "POST" else []
        answer = case.call_and_validate(excluded_checks=excluded)
        assert answer.status_code < 500

    answers()
