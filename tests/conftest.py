"""Shared by all tests; what several of them build or compare with is in `tests/support`."""

from hypothesis import settings

# A busy machine is no defect: hangs are pytest-timeout's business.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
