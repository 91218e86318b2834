"""Repaired pictures against the clean ones:  python -m pipeline.nearness --dataset demo --seed 0"""

from pipeline.cli import command, echo, run_options
from stages.config import Params
from stages.demo.nearness.measure import nearness
from stages.demo.nearness.table import as_text
from stages.paths import DatasetPaths
from stages.runs.folder import RunFolder, write_json


@command("Compare a run's picture features with the clean pictures', which only the demo knows.")
@run_options
def main(params: Params, paths: DatasetPaths, variant: str, seed: int) -> None:
    found = nearness(paths, variant, seed, params)
    write_json(RunFolder.of(paths, variant, seed).nearness, found)
    echo(as_text(found), nl=False)


if __name__ == "__main__":
    main()
