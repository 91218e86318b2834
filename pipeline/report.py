"""Tables and one HTML page from a data set's runs:  python -m pipeline.report --dataset wikimel"""

from cache.locks import working
from pipeline.cli import command, echo
from stages.config import Params
from stages.paths import DatasetPaths
from stages.report.report import report_folder, write_report


@command("Report every run of the parameters' variants and seeds, in reports/NAME.")
def main(params: Params, paths: DatasetPaths) -> None:
    paths.require_records()  # before a lock makes the data set's folder
    with working(paths.lock("report"), "reports"):
        table = write_report(paths, params.variants, params.seeds, params.report, params.evaluate)
    echo(f"written: {report_folder(paths) / 'report.html'}\n\n{table}", nl=False)


if __name__ == "__main__":
    main()
