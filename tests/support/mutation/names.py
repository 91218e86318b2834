"""The readers that are tried, so that a test knows them without importing all that they need."""

READERS = (
    "jsonl", "csv", "mimic", "melbench", "link lines", "params.yaml", "grid", "records", "store",
    "work folder", "graph", "results", "grid results", "run", "index", "bundle", "hdf5", "summary",
    "picture keys", "training state", "encoders", "pictures",
)  # fmt: skip
SHARES = {"training state": 10, "bundle": 3}
"""Of readers whose trial trains or opens a model: one in so many trials of the others."""
