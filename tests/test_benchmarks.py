"""Benchmarks run by hand; they must at least keep up with what they import."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.profile import BACKWARD, REST, SCOPE, SUMMED, attributed

FILES = sorted((Path(__file__).parents[1] / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_a_benchmark_imports(name):
    assert import_module(f"benchmarks.{name}").__doc__


def _event(name, start, microseconds, sequence=-1, children=()):
    event = SimpleNamespace(
        name=name, sequence_nr=sequence, cpu_time_total=microseconds, cpu_parent=None,
        cpu_children=list(children), time_range=SimpleNamespace(start=start),
    )  # fmt: skip
    for child in children:
        child.cpu_parent = event
    return event


def test_a_profile_gives_backward_time_to_the_part_that_went_forward():
    inner = _event("aten::mm", 2, 30, sequence=5)
    first = _event(f"{SCOPE}first", 1, 40, children=[inner])
    unrecorded = _event("aten::empty", 50, 1, sequence=6)  # the number of the next that is recorded
    second = _event(f"{SCOPE}second", 60, 9, children=[_event("aten::add", 61, 5, sequence=6)])
    back = [
        _event(f"{BACKWARD}AddBackward0", 90, 7, sequence=6),
        _event(f"{BACKWARD}MmBackward0", 95, 50, sequence=5),
        _event(f"{BACKWARD}torch::autograd::AccumulateGrad", 99, 2),
    ]
    events = [*reversed(back), inner, first, second, *second.cpu_children, unrecorded]
    assert attributed(events, "cpu") == {
        "first": {"forward": 40, "backward": 50},
        "second": {"forward": 9, "backward": 7},
        REST: {"forward": 1},
        SUMMED: {"backward": 2},
    }


def test_a_profile_of_real_layers_knows_both_ways_of_each():
    torch.manual_seed(0)
    layers = {name: torch.nn.Linear(4, 4) for name in ("first", "second")}
    with profile(activities=[ProfilerActivity.CPU]) as found:
        x = torch.ones(3, 4)
        for name, layer in layers.items():
            with record_function(f"{SCOPE}{name}"):
                x = layer(x).tanh()
        x.sum().backward()
    parts = attributed(found.events(), "cpu")
    for name in layers:
        assert parts[name]["forward"] > 0
        assert parts[name]["backward"] > 0
    assert parts[SUMMED]["backward"] > 0
