import sqlite3
import threading

import pytest

from cxr_edge.errors import StoreError, UsageError
from cxr_edge.service.store.reader import StoreReader
from cxr_edge.service.store.rows import Delivery, NewResult, to_document
from cxr_edge.service.store.writer import Store

DOCUMENT: dict[str, object] = {"ok": True, "source": "a.png", "label": "NORMAL", "score": 0.25}


def new(path="a.png", content="c" * 64, finished="2026-11-26T06:00:00.000Z", **document):
    return NewResult(
        delivery=Delivery("inbox", path, content),
        received=finished,
        finished=finished,
        bundle="b" * 64,
        artifact="onnx-int8",
        engine="onnxruntime",
        latency_ms=4.25,
        kept=path,
        document=DOCUMENT | document,
    )


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results.db")
    yield store
    store.close()


def fill(store, count):
    return [
        store.record(new(f"{i}.png", finished=f"2026-11-{i // 24 + 1:02}T{i % 24:02}:00:00.000Z"))
        for i in range(count)
    ]


def test_what_is_recorded_is_read_again(store, tmp_path):
    stored = store.record(new(heatmap=None))
    assert stored.id == 1
    assert store.find(1) == store.newest(10)[0] == stored
    assert store.find_delivery(Delivery("inbox", "a.png", "c" * 64)) == stored
    assert store.find_delivery(Delivery("http", "a.png", "c" * 64)) is None
    assert StoreReader(tmp_path / "results.db").after(0, 10) == [stored]
    assert to_document(stored)["stored"]["id"] == 1
    assert store.find(2) is None


def test_a_delivery_has_one_row(store):
    store.record(new())
    with pytest.raises(UsageError, match="UNIQUE"):
        store.record(new(label="PNEUMONIA"))
    assert [row.document["label"] for row in store.newest(10)] == ["NORMAL"]
    store.record(new(content="d" * 64))
    assert store.audit().results == 2


def test_attempts_are_counted_until_there_is_a_result(store, tmp_path):
    delivery = new().delivery
    assert [store.begin(delivery), store.begin(delivery)] == [1, 2]
    again = Store(tmp_path / "results.db")
    assert again.begin(delivery) == 3
    again.record(new())
    assert again.begin(delivery) == 1
    again.close()


def test_pages_of_results(store):
    fill(store, 10)
    assert [row.id for row in store.newest(3)] == [10, 9, 8]
    assert [row.id for row in store.newest(3, before=8)] == [7, 6, 5]
    assert [row.id for row in store.after(7, 10)] == [8, 9, 10]
    assert [row.id for row in store.after(0, 10, since="2026-11-01T08")] == [9, 10]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE results SET document = '{\"ok\": true}' WHERE id = 4", "result 4 was changed"),
        ("UPDATE results SET finished = finished || '0' WHERE id = 10", "result 10 was changed"),
        ("UPDATE results SET latency_ms = 0 WHERE id = 1", "result 1 was changed"),
        ("DELETE FROM results WHERE id = 5", "missing: 5; the store was changed"),
        ("DELETE FROM results WHERE id BETWEEN 5 AND 7", "missing: 5 to 7"),
        ("DELETE FROM results WHERE id = 10", "missing: 10;"),
        ("DELETE FROM results WHERE id <= 2", "missing: 1 to 2"),
        ("UPDATE results SET path = 'x.png', hash = hash WHERE id = 3", "result 3 was changed"),
    ],
)
def test_the_audit_sees_every_change(store, change, problem):
    fill(store, 10)
    assert store.audit().problem == ""
    connection = sqlite3.connect(store.file)
    connection.execute(change)
    connection.commit()
    connection.close()
    assert problem in store.audit().problem


def test_two_rows_that_change_places_are_seen(store):
    fill(store, 4)
    connection = sqlite3.connect(store.file)
    for old, other in ((2, 99), (3, 2), (99, 3)):
        connection.execute("UPDATE results SET id = ? WHERE id = ?", (other, old))
    connection.commit()
    connection.close()
    assert "result 2 was changed" in store.audit().problem


def test_old_results_go_and_the_chain_stays_whole(store):
    rows = fill(store, 60)
    assert store.delete_oldest(500, before=rows[20].finished) == 20
    audit = store.audit()
    assert (audit.problem, audit.results, audit.first) == ("", 40, 21)
    assert store.delete_oldest(7) == 7
    assert store.record(new("z.png")).id == 61
    assert store.audit().first == 28
    assert store.delete_oldest(500) == 34
    audit = store.audit()
    assert (audit.problem, audit.results, audit.first) == ("", 0, None)
    assert store.record(new("y.png")).id == 62
    assert store.audit().problem == ""


def test_space_of_deleted_results_is_given_back(store):
    for i in range(3_000):
        store.record(new(f"{i}.png", note="x" * 500))
    before = store.file.stat().st_size
    while store.delete_oldest(500):
        pass
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert store.file.stat().st_size < before / 10
    assert store.size_bytes() < before / 10


def test_files_that_cannot_be_moved(store):
    store.note_stuck("2.png", "10 20", "/kept/2.png")
    assert store.find_stuck("2.png", "10 20") == "/kept/2.png"
    assert store.find_stuck("2.png", "10 21") is None
    assert store.stuck_paths() == ["2.png"]
    store.forget_stuck("2.png")
    assert store.find_stuck("2.png", "10 20") is None


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_database_that_is_deleted_or_replaced_is_noticed(store, is_replaced):
    store.record(new())
    store.file.rename(store.file.with_name("away"))
    if is_replaced:
        Store(store.file).close()
    with pytest.raises(StoreError, match="was deleted or replaced; restart the service"):
        store.record(new("b.png"))


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX other ON results (path)",
        "CREATE TRIGGER t AFTER INSERT ON results BEGIN DELETE FROM results; END",
        "CREATE VIEW v AS SELECT * FROM results",
        "CREATE TABLE mine (a)",
        "ALTER TABLE results ADD COLUMN more TEXT",
    ],
)
def test_tables_that_are_not_the_service_s_are_refused(store, change):
    fill(store, 3)
    connection = sqlite3.connect(store.file)
    connection.execute(change)
    connection.commit()
    connection.close()
    for look in (store.audit, lambda: StoreReader(store.file), lambda: Store(store.file)):
        with pytest.raises(UsageError, match="its tables are not those of the service"):
            look()


def test_an_index_that_says_something_else_than_its_table_is_seen(store):
    """It was hidden while a changed row was put right again: the rows alone are whole."""
    fill(store, 3)
    store.close()

    def run(*statements):
        connection = sqlite3.connect(store.file)
        for statement, *values in statements:
            connection.execute(statement, *values)
        connection.commit()
        connection.close()

    change = "UPDATE results SET finished = ? WHERE id = 2"
    where = "FROM sqlite_schema WHERE name = 'results_by_time'"
    connection = sqlite3.connect(store.file)
    (finished,) = connection.execute("SELECT finished FROM results WHERE id = 2").fetchone()
    index = connection.execute(f"SELECT type, name, tbl_name, rootpage, sql {where}").fetchone()
    connection.close()
    run((change, ["2030-01-01"]))
    run(("PRAGMA writable_schema = ON",), (f"DELETE {where}",))
    run((change, [finished]))
    run(
        ("PRAGMA writable_schema = ON",),
        ("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index),
    )
    audit = StoreReader(store.file).audit()
    assert audit.problem.startswith("the database is damaged: ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE results SET document = x'00' WHERE id = 2", "result 2 was changed"),
        ("UPDATE results SET document = '[]' WHERE id = 2", "result 2 was changed"),
        ("DELETE FROM chain", "the ends of the chain were changed"),
        ("UPDATE chain SET last_id = 'x'", "the ends of the chain were changed"),
        ("INSERT INTO chain SELECT * FROM chain", "the ends of the chain were changed"),
    ],
)
def test_values_of_other_types_are_seen_and_no_traceback(store, change, problem):
    fill(store, 3)
    connection = sqlite3.connect(store.file)
    connection.execute(change)
    connection.commit()
    connection.close()
    assert problem in store.audit().problem
    if "document" in change:
        with pytest.raises(UsageError, match="result 2 is damaged; see --audit"):
            store.newest(10)


def test_it_is_read_while_it_is_written(store, tmp_path):
    reader = StoreReader(tmp_path / "results.db")
    seen = []

    def read():
        while len(seen) < 200:
            seen[:] = reader.after(0, 1000)

    thread = threading.Thread(target=read)
    thread.start()
    rows = fill(store, 200)
    thread.join(timeout=30)
    assert seen == rows


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "x.db"
    file.write_bytes(b"no database" * 100)
    with pytest.raises(UsageError, match="no database, or damaged"):
        Store(file)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (a)")
    other.commit()
    for opened in (Store, StoreReader):
        with pytest.raises(UsageError, match="a database of another program"):
            opened(tmp_path / "other.db")
    with pytest.raises(UsageError, match="no such file"):
        StoreReader(tmp_path / "nothing.db")
    with pytest.raises(StoreError, match="unable to open"):
        Store(tmp_path / "no folder" / "results.db")


def test_a_newer_version_is_refused(store):
    store._writer.execute("PRAGMA user_version = 2")
    with pytest.raises(UsageError, match="version 2, this cxr-edge reads up to 1; update cxr-edge"):
        StoreReader(store.file)


def test_a_database_that_cannot_be_written_says_so(store):
    store._writer.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match=r"results\.db: cannot be used: attempt to write"):
        store.record(new())
    store._writer.execute("PRAGMA query_only = 0")
    assert store.record(new()).id == 1
    assert store.audit().problem == ""


def test_what_was_committed_survives_the_connection(tmp_path):
    """Each commit is synced: SQLite's own setting, read back inside a transaction."""
    store = Store(tmp_path / "results.db")
    with store._transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    store.close()


def test_the_log_of_a_replaced_database_is_not_written_into_the_new_one(store, tmp_path):
    fill(store, 20)
    other = Store(tmp_path / "other.db")
    rows = [other.record(new(f"other {i}.png")) for i in range(40)]
    other.close()
    (tmp_path / "other.db").replace(store.file)
    with pytest.raises(StoreError, match="was deleted or replaced"):
        store.check_in_place()
    store.close()
    again = Store(store.file)
    assert again.after(0, 100) == rows and not again.audit().problem
    again.close()


def test_a_log_that_is_deleted_is_noticed(store):
    fill(store, 3)
    store.file.with_name("results.db-wal").unlink()
    with pytest.raises(StoreError, match="was deleted or replaced"):
        fill(store, 1)


def test_text_that_was_damaged_is_a_change(store):
    fill(store, 3)
    connection = sqlite3.connect(store.file)
    connection.execute("UPDATE results SET path = cast(x'ff61' AS TEXT) WHERE id = 2")
    connection.execute("UPDATE results SET document = '' WHERE id = 3")
    connection.commit()
    connection.close()
    assert "result 2 was changed" in store.audit().problem
    assert store.newest_time() == "2026-11-01T02:00:00.000Z"
