"""Shared by all tests; what several of them build or compare with is in `tests/support`."""

import os

from hypothesis import settings

# A busy machine is no defect: hangs are pytest-timeout's business. The examples of a test are the
# same ones each time, so that a test which fails is the change's doing; `make test-faults` and
# `make test-service` search at random. MELOV_SEARCH=1 makes every test do so.
settings.register_profile("project", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if os.environ.get("MELOV_SEARCH") else "project")
