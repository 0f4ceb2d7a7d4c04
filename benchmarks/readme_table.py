"""Put a report's table into README: ``python benchmarks/readme_table.py REPORT.json``.

The report is kept as benchmarks/report.json, so that a test can hold README against it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cxr_edge.benchmark.report import parse_report
from cxr_edge.report.benchmark.markdown import readme_table

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "report.json"
BEGIN, END = "<!-- benchmarks/report.json -->\n", "<!-- end of it -->\n"


def with_table(readme: str, report: bytes) -> str:
    """README with the table of a report between its two marks."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{readme_table(parse_report(report, 'report.json'))}{END}{after}"


def main(source: Path) -> None:
    """Keep the report, and write README anew."""
    report = source.read_bytes()
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(), report))
    KEPT.write_bytes(report)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
