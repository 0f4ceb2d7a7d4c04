"""Results of ``make bench``, from pytest-benchmark's JSON."""

from __future__ import annotations

import json
from pathlib import Path

from cxr_edge.benchmark.report import SuiteRow
from cxr_edge.errors import BenchmarkError
from cxr_edge.files import printable, read_file

_MAX_BYTES = 2**26


def read_suite(path: Path) -> tuple[SuiteRow, ...]:
    """Read a file written by ``pytest --benchmark-json``, sorted by group.

    Raises:
        BenchmarkError: it cannot be read, or is another kind of file.
    """
    data = read_file(path, max_bytes=_MAX_BYTES, error=BenchmarkError)
    try:
        rows = [
            SuiteRow(
                group=str(benchmark["group"] or "other"),
                name=str(benchmark["name"]).removeprefix("test_"),
                median_ms=1e3 * float(benchmark["stats"]["median"]),
                iqr_ms=1e3 * float(benchmark["stats"]["iqr"]),
                rounds=int(benchmark["stats"]["rounds"]),
            )
            for benchmark in json.loads(data)["benchmarks"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise BenchmarkError(
            f"{printable(path)}: not a result of pytest --benchmark-json; "
            "'make bench' writes build/bench.json"
        ) from err
    return tuple(sorted(rows, key=lambda row: row.group))
