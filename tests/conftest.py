"""Shared by all tests. Modules beside a test (such as `reference`) are imported by name."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "stages" / "heads"))

# Two tests at once on two cores must not wait for each other's threads.
torch.set_num_threads(2)
