"""Put a report's figures into README and docs: ``python benchmarks/readme_table.py REPORT.json``.

README gets a short table, docs/measured.md every column of the compact one. The report is kept as
benchmarks/report.json, so that a test can hold both documents against it.
"""

from __future__ import annotations

from pathlib import Path

from cxr_edge.benchmark.report import Report, parse_report
from cxr_edge.report.benchmark.columns import COMPACT_COLUMNS, SHORT_COLUMNS
from cxr_edge.report.benchmark.markdown import compact_table

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "report.json"
TABLES = {
    ROOT / "README.md": SHORT_COLUMNS,
    ROOT / "docs" / "measured.md": COMPACT_COLUMNS,
}
"""Document -> columns of its table."""
BEGIN, END = "<!-- benchmarks/report.json -->\n", "<!-- end of it -->\n"


def with_table(document: Path, report: Report) -> str:
    """A document with the table of a report between its two marks."""
    before, rest = document.read_text().split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{compact_table(report, TABLES[document])}{END}{after}"


def main(source: Path) -> None:
    """Keep the report, and write both documents anew."""
    data = source.read_bytes()
    report = parse_report(data, str(source))
    for document in TABLES:
        document.write_text(with_table(document, report))
    KEPT.write_bytes(data)


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "REPORT.json"))
