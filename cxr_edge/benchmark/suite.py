"""What ``make bench`` measured: pytest-benchmark's JSON."""

from __future__ import annotations

import json
from pathlib import Path

from cxr_edge.benchmark.report import SuiteRow
from cxr_edge.errors import BenchmarkError
from cxr_edge.files import printable, read_file

_MAX_BYTES = 2**26


def read_suite(path: Path) -> tuple[SuiteRow, ...]:
    """Read the medians of a file that ``pytest --benchmark-json`` wrote, by group.

    Raises:
        BenchmarkError: it cannot be read, or is no such file.
    """
    data = read_file(path, max_bytes=_MAX_BYTES, error=BenchmarkError)
    try:
        rows = [
            SuiteRow(
                group=str(each["group"] or "other"),
                name=str(each["name"]).removeprefix("test_"),
                median_ms=1e3 * float(each["stats"]["median"]),
                iqr_ms=1e3 * float(each["stats"]["iqr"]),
                rounds=int(each["stats"]["rounds"]),
            )
            for each in json.loads(data)["benchmarks"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise BenchmarkError(
            f"{printable(path)}: not what pytest --benchmark-json writes; see 'make bench'"
        ) from err
    return tuple(sorted(rows, key=lambda row: row.group))
