"""Processes that tests start and kill: forks of one server, so that ten of them cost seconds.

A test process has one such server for all of its tests, and what the server has imported is what it
was told before its first fork. So there is one list, here.
"""

import multiprocessing
from multiprocessing.context import ForkServerContext

PRELOADED = [
    "tests.support.small_stores", "stages.encode.feature_job",
    "transformers.models.clip.modeling_clip", "transformers.models.clip.tokenization_clip", "click",
    "pyarrow.dataset", "sklearn.feature_extraction.text",
]  # fmt: skip


def server() -> ForkServerContext:
    """The context that starts processes by the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
