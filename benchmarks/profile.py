"""Where a training step's time goes, part by part, forward and backward.

Each part of the heads is a scope of torch's profiler. What autograd computes backward counts for
the part whose forward operation it belongs to: both carry one sequence number.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pkgutil import resolve_name
from typing import Any
from unittest import mock

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.compare import Result, Timing, seconds_of
from benchmarks.training import Steps
from stages.device import resolve_device

SCOPE = "part: "
BACKWARD = "autograd::engine::evaluate_function: "
REST = "all else, Python included"
SUMMED = "gradients, summed"

MODULES = {
    "vae_global": "VAE", "vae_local": "VAE", "patches": "VAE: attention to tokens",
    "gcn_global": "GCN", "gcn_local": "GCN", "threshold": "GCN",
    "fusion_global": "fusion", "fusion_local": "fusion",
    "adapter_global": "adapter", "adapter_local": "adapter",
    "matcher.ln_t": "layer norms", "matcher.ln_T": "layer norms", "matcher.ln_v": "layer norms",
    "matcher.ln_V": "layer norms",
}  # fmt: skip
"""Of the model, by the parts that they belong to."""
FUNCTIONS = {
    "stages.heads.model.project": "pictures and patches, projected",
    "stages.heads.units.text.mean_attention": "text unit: attention",
    "stages.training.step.contrastive_loss": "losses",
    "stages.heads.model.generation_loss": "losses",
}
"""As they are called from there."""
SIDES = ("mention_side", "entity_side", "pairs", "terms")
"""Methods of a unit."""


def run(full: bool, rounds: int) -> Result:
    """On the device that training would use."""
    device = resolve_device("auto")
    steps = Steps(full, device)
    count = 12 if full else 6
    rows = steps.rows(count)
    steps.streamed(count)  # what is set up once
    plain = min(seconds_of(lambda: _synchronous(steps, rows)) for _ in range(rounds)) / count
    events = profiled(steps, rows)
    parts = attributed(events, device.type)
    whole = sum(parts.values(), Counter()).total() / 1e6 / count
    lines, values = [], {}
    for part in sorted(parts, key=lambda name: -parts[name].total()):
        forward, backward = (parts[part][way] / 1e6 / count for way in ("forward", "backward"))
        share = (forward + backward) / whole
        values[part] = {"forward": forward, "backward": backward, "share": share}
        lines.append(
            f"{part:34} {1e3 * forward:8.1f} ms forward {1e3 * backward:8.1f} backward {share:6.1%}"
        )
    return Result(
        "profile",
        f"a step of melov, batch {steps.config.batch_size}, {len(steps.gold)} mentions, {device}",
        [Timing("step, not profiled, ours", plain, 1.0, 1.0, 1.0)],
        [],
        [*lines, f"profiled, a step takes {whole / plain:.2f} times as long"],
        {"step_seconds": plain, "parts": values},
    )


def profiled(steps: Steps, rows: Iterable[Any]) -> list[FunctionEvent]:
    """Events of some steps, one after the other in one thread, with a scope around each part."""
    activities = [ProfilerActivity.CPU]
    if steps.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with scopes(steps), profile(activities=activities) as found:
        _synchronous(steps, rows)
    return list(found.events())


def _synchronous(steps: Steps, rows: Iterable[Any]) -> None:
    """Without reading ahead, so that gathering is seen."""
    for batch in rows:
        with record_function(f"{SCOPE}gather"):
            loaded = steps.load(batch)
        steps.step(loaded)


@contextmanager
def scopes(steps: Steps) -> Iterator[None]:
    """A scope of the profiler around every part of a step."""
    model, optimizer = steps.model, steps.optimizer
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name in MODULES:
                own = _scoped(MODULES[name], module.forward)
                stack.enter_context(mock.patch.object(module, "forward", own))
        for name in model.matcher.units:
            unit, part = model.matcher.unit(name), f"{name} unit"
            for method in SIDES:
                if hasattr(unit, method):
                    own = _scoped(part, getattr(unit, method))
                    stack.enter_context(mock.patch.object(unit, method, own))
        for path, part in FUNCTIONS.items():
            stack.enter_context(mock.patch(path, _scoped(part, resolve_name(path))))
        stack.enter_context(
            mock.patch.object(optimizer, "step", _scoped("optimizer", optimizer.step))
        )
        yield


def _scoped(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with record_function(SCOPE + part):
            return call(*args, **kwargs)

    return wrapped


def attributed(events: Iterable[FunctionEvent], device: str) -> dict[str, Counter[str]]:
    """Microseconds of each part, `forward` and `backward`.

    Args:
        device: `cuda` counts the time on it, which the host does not wait for; else the host's.
    """
    taken = _on_device if device == "cuda" else _on_host
    found: dict[str, Counter[str]] = {}
    part_of: dict[int, str] = {}

    def add(part: str, way: str, microseconds: float) -> None:
        found.setdefault(part, Counter())[way] += max(0, round(microseconds))

    def visit(event: FunctionEvent, part: str) -> None:
        if event.name.startswith(BACKWARD):
            summed = event.name.endswith("AccumulateGrad")
            owner = SUMMED if summed else part_of.get(event.sequence_nr, REST)
            return add(owner, "backward", taken(event))
        if event.name.startswith(SCOPE):
            part = event.name.removeprefix(SCOPE)
        if event.sequence_nr >= 0:
            # Operations that autograd does not record carry the number of the next one that it
            # does: the last one of a number is its own.
            part_of[event.sequence_nr] = part
        add(part, "forward", taken(event) - sum(map(taken, event.cpu_children)))
        for child in sorted(event.cpu_children, key=_begun):
            visit(child, part)

    for event in sorted((e for e in events if e.cpu_parent is None), key=_begun):
        visit(event, REST)
    return found


def _begun(event: FunctionEvent) -> float:
    return float(event.time_range.start)


def _on_host(event: FunctionEvent) -> float:
    return float(event.cpu_time_total)


def _on_device(event: FunctionEvent) -> float:
    return float(event.device_time_total)
