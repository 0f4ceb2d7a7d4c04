"""The table of reliability names tests that exist, and its page has every row."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from page import PAGE, LongRuns, Outcome, belongs, page, read_report, read_soak, row_line
from rows import ROWS, Row

TESTS = Path(__file__).parents[1]


def functions(path: Path) -> set[str]:
    """Names of the functions of a file."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_names_tests_that_exist_or_what_it_waits_for(row: Row) -> None:
    assert bool(row.waits_for) != bool(row.tests or row.soak)
    for pattern in row.tests:
        file, _, function = pattern.partition("::")
        assert (TESTS / file).exists(), pattern
        assert not function or function in functions(TESTS / file), pattern
    long_runs = [functions(path) for path in (TESTS / "reliability").glob("test_soak*.py")]
    assert {*row.soak} <= set().union(*long_runs)


def test_the_page_has_every_row_of_the_table() -> None:
    lines = PAGE.read_text().splitlines()
    ids = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert [i for i in ids if i != "id"] == [row.id for row in ROWS]


def test_every_id_of_the_shared_table_is_a_row(data_root: Path) -> None:
    text = (data_root.parent / "reliability.md").read_text()
    ids = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert ids - {"id"} <= {row.id for row in ROWS}


def test_a_row_with_a_failed_test_does_not_hold() -> None:
    row = Row("X1", "what", "promise", ("image/test_png.py",), ("test_x1",))
    good = Outcome("image/test_png.py::test_alpha", True, False, ("3 MB",))
    bad = Outcome("image/test_png.py::test_cut", False, False)
    long = Outcome("reliability/test_soak.py::test_x1", True, False, ("9 hours",))
    assert row_line(row, [good], [long]).endswith("| 1 test; 3 MB; 9 hours | yes |")
    assert "**no**: image/test_png.py::test_cut" in row_line(row, [good, bad], [long])
    assert "the long run was not made" in row_line(row, [good], [])
    assert row_line(row, [Outcome("x.py::t", True, False)], []).endswith("| not run |")


def test_a_test_belongs_to_its_file_and_folder_and_no_other() -> None:
    outcome = Outcome("image/test_png.py::test_alpha", True, False)
    assert belongs(outcome, "image/test_png.py") and belongs(outcome, "image")
    assert belongs(outcome, "image/test_png.py::test_alpha")
    assert not belongs(outcome, "image/test_pn") and not belongs(outcome, "im")


def test_reports_of_pytest_are_read(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.image.test_png" name="test_a[1]"><properties>
        <property name="figure" value="5 MB"/></properties></testcase>
        <testcase classname="tests.image.test_png" name="test_b"><failure/></testcase>
        <testcase classname="tests.image.test_png" name="test_c"><skipped/></testcase>
        </testsuite></testsuites>"""
    )
    assert read_report(report) == (
        Outcome("image/test_png.py::test_a", True, False, ("5 MB",)),
        Outcome("image/test_png.py::test_b", False, False),
        Outcome("image/test_png.py::test_c", True, True),
    )


def test_the_kept_long_runs_are_those_of_the_table() -> None:
    runs = read_soak()
    assert isinstance(runs, LongRuns)
    made = {outcome.name.split("::")[1] for outcome in runs.outcomes}
    assert made >= {name for row in ROWS for name in row.soak}
    assert page((), runs, "2026-01-01", "a machine").count("\n| ") >= len(ROWS)
