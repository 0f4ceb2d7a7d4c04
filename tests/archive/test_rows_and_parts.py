"""Rows, their files, the folder of the results, and which images it settles."""

from __future__ import annotations

import dataclasses
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow.parquet
import pytest
from drawn_archive import BUNDLE, a_row

from cxr_edge.archive.folder import ResultsFolder, Settings, open_results
from cxr_edge.archive.formats import FormatName, JsonLines, Standing, part_format, to_table
from cxr_edge.archive.listing import ImageFile
from cxr_edge.archive.rows import COLUMNS, SCHEMA, Row, make_row, row_id
from cxr_edge.archive.settled import Settled
from cxr_edge.errors import OutputError, UsageError
from cxr_edge.results import Failure

IMAGE = ImageFile("a/b.png", "/x/a/b.png", 10, 20)
SETTINGS = Settings(
    SCHEMA, "/a", "local", "jsonl", "fast", "any", 1, 2, False, {BUNDLE: "onnx-int8"}
)


def failed_row(name: str, *, attempt: int = 1, error: str = "ImageError") -> Row:
    image = dataclasses.replace(IMAGE, name=name)
    failure = Failure(None, error, f"{name}: cut")
    return make_row(image, failure, bundle_sha256=BUNDLE, attempt=attempt, sha256="d" * 64)


def standing(row: Row) -> Standing:
    return Standing(
        **{field.name: getattr(row, field.name) for field in dataclasses.fields(Standing)}
    )


@pytest.mark.parametrize("name", ["parquet", "jsonl"])
def test_a_part_gives_back_what_was_written(tmp_path: Path, name: FormatName) -> None:
    rows = [a_row("a.png"), failed_row("b\\\\ü.png"), a_row("c", scores={"é": 1.0})]
    part = tmp_path / f"part{part_format(name).suffix}"
    part_format(name).write(rows, part)
    assert [*part_format(name).standings(part)] == [standing(row) for row in rows]
    if name == "parquet":
        table = pyarrow.parquet.read_table(part)
        assert tuple(table.column_names) == COLUMNS
        documents = [
            {**row, "scores": row["scores"] and dict(row["scores"])} for row in table.to_pylist()
        ]
    else:
        documents = [json.loads(line) for line in part.read_text().splitlines()]
        assert {document.pop("schema") for document in documents} == {SCHEMA}
    assert documents == [dataclasses.asdict(row) for row in rows]


@pytest.mark.parametrize("name", ["parquet", "jsonl"])
def test_a_damaged_part_is_named(tmp_path: Path, name: FormatName) -> None:
    part = tmp_path / f"part{part_format(name).suffix}"
    part_format(name).write([a_row(str(number)) for number in range(9)], part)
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(OutputError, match="is no part of these results"):
        list(part_format(name).standings(part))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("id", 5), ("id", "zz"), ("id", "abcd"), ("ok", 1), ("path", None)),
        *(("attempt", "x"), ("attempt", 0), ("attempt", 10**20), ("attempt", True)),
        *(("path", "\ud800"), ("sha256", "\udcff"), ("path", "x" * 70_000)),
    ],
)
def test_a_value_that_is_none_of_ours_is_named(tmp_path: Path, key: str, value: object) -> None:
    document = {**dataclasses.asdict(a_row("a.png")), key: value}
    (tmp_path / "part-000001.jsonl").write_text(json.dumps(document) + "\n")
    with pytest.raises(OutputError, match=r"part-000001\.jsonl: is no part of these results"):
        list(JsonLines().standings(tmp_path / "part-000001.jsonl"))
    (tmp_path / "part-000001.jsonl").write_text("[" * 100_000)
    with pytest.raises(OutputError, match=r"part-000001\.jsonl: is no part of these results"):
        list(JsonLines().standings(tmp_path / "part-000001.jsonl"))


@pytest.mark.parametrize("name", ["parquet", "jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, name: FormatName, kind: str) -> None:
    part = tmp_path / f"part-000001{part_format(name).suffix}"
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "device":
        part.symlink_to("/dev/zero")
    else:
        part.mkdir()
    with pytest.raises(OutputError, match="is no part of these results"):
        list(part_format(name).standings(part))


def test_a_row_of_the_most_labels_is_read_again(tmp_path: Path) -> None:
    row = a_row("a.png", scores={f"{number:05}" + "樹" * 195: 1e-4 / 3 for number in range(10_000)})
    part = tmp_path / "part-000001.jsonl"
    JsonLines().write([row, a_row("b.png")], part)
    assert part.stat().st_size > 10e6
    assert [*JsonLines().standings(part)] == [standing(row), standing(a_row("b.png"))]


def test_a_small_part_does_not_unpack_to_gigabytes(tmp_path: Path) -> None:
    part = tmp_path / "part-000001.parquet"
    table = to_table([a_row("x" * 60_000)] * 30_000)
    pyarrow.parquet.write_table(table, part, compression="zstd")  # as a dictionary of one
    assert part.stat().st_size < 200_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in part_format("parquet").standings(part)) == 30_000
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    pyarrow.parquet.write_table(
        table.slice(0, 9_000), part, compression="zstd", use_dictionary=False
    )
    with pytest.raises(OutputError, match="its columns unpack to"):
        list(part_format("parquet").standings(part))


def test_an_id_changes_with_whatever_makes_another_result_possible() -> None:
    ids = [row_id(IMAGE, BUNDLE)]
    for field, value in (("name", "a/c.png"), ("bytes", 11), ("modified_ns", 21)):
        ids.append(row_id(dataclasses.replace(IMAGE, **{field: value}), BUNDLE))
    ids += [row_id(IMAGE, "e" * 64), row_id(IMAGE, BUNDLE, 2)]
    assert len(set(ids)) == len(ids)
    assert row_id(IMAGE, BUNDLE, 2) == f"{ids[0]}-2"
    assert row_id(dataclasses.replace(IMAGE, path="/moved/a/b.png"), BUNDLE) == ids[0]


@pytest.mark.parametrize("retry_failed", [False, True])
def test_which_images_are_settled(retry_failed: bool) -> None:
    def image(name: str) -> ImageFile:
        return dataclasses.replace(IMAGE, name=name)

    good = dataclasses.replace(a_row("good"), id=row_id(image("good"), BUNDLE))
    mended = [
        failed_row("mended"),
        dataclasses.replace(good, path="mended", attempt=2, id=row_id(image("mended"), BUNDLE, 2)),
    ]
    rows = [
        *mended,
        good,
        failed_row("bad"),
        failed_row("worse"),
        failed_row("worse", attempt=2),
        failed_row("left out", error="LeftOut"),
    ]
    settled = Settled(map(standing, rows), BUNDLE, retry_failed=retry_failed)
    attempts = {
        name: settled.next_attempt(image(name))
        for name in ("good", "mended", "left out", "bad", "worse", "new")
    }
    again = {"bad": 2, "worse": 3} if retry_failed else {"bad": 0, "worse": 0}
    assert attempts == {"good": 0, "mended": 0, "left out": 0, **again, "new": 1}
    failed = {name for name in attempts if settled.has_failed(image(name))}
    assert failed == {"bad", "worse"}
    # A file that was changed is settled no more, and its next row is about the same path.
    changed = dataclasses.replace(image("mended"), bytes=99)
    assert settled.next_attempt(changed) == 3
    assert not settled.has_failed(changed)
    of_another = Settled(map(standing, rows), "f" * 64, retry_failed=retry_failed)
    assert of_another.next_attempt(image("good")) == 1
    assert not of_another.has_failed(image("bad"))


def test_content_counts_of_the_row_before_and_under_one_path_only() -> None:
    row = a_row("a.png")
    settled = Settled([standing(row)], BUNDLE, retry_failed=False)
    touched = dataclasses.replace(row, modified_ns=99, id="9" * 32 + "-2", attempt=2)
    assert settled.has_content_of(touched)
    assert not settled.has_content_of(dataclasses.replace(touched, path="b.png"))
    assert not settled.has_content_of(dataclasses.replace(touched, sha256="e" * 64))
    assert not settled.has_content_of(dataclasses.replace(touched, sha256=None))
    # Changed to something else and back again: the row between stood for the other content.
    between = dataclasses.replace(touched, sha256="e" * 64)
    settled = Settled(map(standing, [row, between]), BUNDLE, retry_failed=False)
    assert not settled.has_content_of(dataclasses.replace(row, attempt=3))


def test_a_file_that_becomes_what_it_was_is_read_again() -> None:
    """The last row stands for what it was in between, and readers keep the last row."""
    first = dataclasses.replace(a_row("a/b.png"), id=row_id(IMAGE, BUNDLE))
    other = dataclasses.replace(IMAGE, modified_ns=99)
    between = failed_row("a/b.png", attempt=2)
    between = dataclasses.replace(between, sha256="e" * 64, id=row_id(other, BUNDLE, 2))
    settled = Settled(map(standing, [first, between]), BUNDLE, retry_failed=False)
    assert settled.next_attempt(IMAGE) == 3 and not settled.has_failed(IMAGE)
    assert settled.next_attempt(other) == 0 and settled.has_failed(other)
    assert not settled.has_content_of(dataclasses.replace(first, attempt=3))


def test_a_touched_file_that_fails_no_more_has_a_new_row() -> None:
    failed = dataclasses.replace(failed_row("a.png"), sha256="d" * 64)
    settled = Settled([standing(failed)], BUNDLE, retry_failed=False)
    touched = dataclasses.replace(failed, modified_ns=99, attempt=2)
    assert settled.has_content_of(touched)
    mended = dataclasses.replace(touched, ok=True, error=None, message=None)
    assert not settled.has_content_of(mended)


def test_many_digests_are_told_apart() -> None:
    images = [dataclasses.replace(IMAGE, name=str(number)) for number in range(2000)]
    rows = [dataclasses.replace(a_row("x"), id=row_id(image, BUNDLE)) for image in images[::2]]
    settled = Settled(map(standing, rows), BUNDLE, retry_failed=False)
    assert [settled.next_attempt(image) for image in images] == [0, 1] * 1000


def test_parts_are_numbered_on_and_read_in_that_order(tmp_path: Path) -> None:
    for number in range(3):
        ResultsFolder(tmp_path, "jsonl").commit([a_row(str(number))])
    (tmp_path / "part-1000000.jsonl").write_bytes((tmp_path / "part-000003.jsonl").read_bytes())
    (tmp_path / "notes.txt").touch()
    results = ResultsFolder(tmp_path, "jsonl")
    assert [row.path for row in results.standings()] == ["0", "1", "2", "2"]
    results.commit([a_row("new")])
    assert results.parts[-1].name == "part-1000001.jsonl"
    assert JsonLines.suffix == ".jsonl"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decode": "exact"}, "was begun with --decode fast, this run is with --decode exact; do"),
        ({"format": "parquet"}, "was begun with --format jsonl, this run is with --format parquet"),
        ({"made_by": "ray"}, "was begun without --ray, this run is with --ray"),
        ({"ids": True}, "was begun without --ids, this run is with --ids"),
        ({"archive": "/b"}, "was begun for /a, this run is for /b"),
        ({"max_bytes": 3}, "was begun with --max-bytes 2, this run is with --max-bytes 3"),
        ({"artifacts": {BUNDLE: "onnx-fp32"}}, "with --artifact onnx-int8, this run is with"),
    ],
)
def test_a_folder_goes_on_with_its_settings_only(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with open_results(tmp_path / "r", SETTINGS):
        pass
    with open_results(tmp_path / "r", SETTINGS):
        pass
    with (
        pytest.raises(UsageError, match=message),
        open_results(tmp_path / "r", dataclasses.replace(SETTINGS, **changes)),  # type: ignore[arg-type]
    ):
        pass


def test_a_folder_takes_a_second_bundle(tmp_path: Path) -> None:
    with open_results(tmp_path, SETTINGS):
        pass
    other = dataclasses.replace(SETTINGS, artifacts={"e" * 64: "onnx-fp32"})
    with open_results(tmp_path, other):
        pass
    written = json.loads((tmp_path / "_archive.json").read_text())["artifacts"]
    assert written == {BUNDLE: "onnx-int8", "e" * 64: "onnx-fp32"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(
            UsageError, match=r"holds thesis\.tex and no _archive\.json; name a new folder"
        ),
        open_results(tmp_path, SETTINGS),
    ):
        pass
    with (
        pytest.raises(OutputError, match="is no folder; name one for --to"),
        open_results(tmp_path / "thesis.tex", SETTINGS),
    ):
        pass
    (tmp_path / "_archive.json").write_text('{"schema": "cxr-edge.archive/1"}')
    with (
        pytest.raises(UsageError, match="the key 'archive' is missing"),
        open_results(tmp_path, SETTINGS),
    ):
        pass
