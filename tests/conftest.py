"""Shared by all tests. Modules beside a test (such as `reference`) are imported by name."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "stages" / "heads"))

# A busy machine is no defect: hangs are pytest-timeout's business.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
