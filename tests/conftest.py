"""Shared by all tests. Modules beside a test (such as `reference`) are imported by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "stages" / "heads"))
