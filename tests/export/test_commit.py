"""Committing: killed or out of disk at any moment, the old bundle or the new one is whole."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_edge.bundle.manifest import (
    MANIFEST_NAME,
    FileRecord,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from cxr_edge.bundle.model_card import CARD_NAME, model_card
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.temporary import FILE_PREFIX
from cxr_edge.errors import OutputError
from cxr_edge.export.commit import check_target, commit, record_file
from cxr_edge.files import sha256

Made = tuple[Manifest, dict[str, bytes]]

SIZE = 200_000
"""Bytes of each file, or a few more: long enough to be hit while it is written."""


def make(template: Manifest, seed: int) -> Made:
    """A manifest and its files, whose bytes depend on the seed."""
    contents: dict[str, bytes] = {}

    def record(stem: str, suffix: str) -> FileRecord:
        data = random.Random(f"{seed} {stem}").randbytes(SIZE + seed)
        described = record_file(stem, suffix, data)
        contents[described.file] = data
        return described

    manifest = dataclasses.replace(
        template,
        keras=record("model", "keras"),
        calibration=record("calibration", "npz"),
        domain=record("domain", "npz"),
        artifacts=tuple(
            dataclasses.replace(a, file=record(a.name, a.format)) for a in template.artifacts
        ),
        golden=dataclasses.replace(template.golden, file=record("golden", "npz")),
    )
    return manifest, contents


@pytest.fixture(scope="module")
def template() -> Manifest:
    return Bundle.open().manifest


@pytest.fixture(scope="module")
def old(template: Manifest) -> Made:
    return make(template, 1)


@pytest.fixture(scope="module")
def new(template: Manifest) -> Made:
    return make(template, 2)


@pytest.fixture
def folder(old: Made, tmp_path: Path) -> Path:
    """A folder with the old bundle."""
    commit(tmp_path / "bundle", *old)
    return tmp_path / "bundle"


def files_of(made: Made) -> dict[str, bytes]:
    manifest = dump_manifest(made[0])
    card = model_card(parse_manifest(manifest)).encode()
    return {**made[1], MANIFEST_NAME: manifest, CARD_NAME: card}


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_folder_holds_exactly_the_bundle(new: Made, tmp_path: Path) -> None:
    commit(tmp_path / "a" / "b", *new)
    assert read(tmp_path / "a" / "b") == files_of(new)
    assert Bundle.open(tmp_path / "a" / "b").card_is_current()


def test_a_commit_over_a_bundle_leaves_exactly_the_new_one(folder: Path, new: Made) -> None:
    commit(folder, *new)
    assert read(folder) == files_of(new)


def test_committing_the_same_bundle_again_changes_nothing(folder: Path, old: Made) -> None:
    commit(folder, *old)
    assert read(folder) == files_of(old)


def test_a_file_that_stays_the_same_is_never_absent(folder: Path, old: Made, new: Made) -> None:
    keras = old[0].keras
    mixed = dataclasses.replace(new[0], keras=keras)
    commit(folder, mixed, {**new[1], keras.file: old[1][keras.file]})
    assert keras.file in read(folder)
    for record in Bundle.open(folder).manifest.files:
        Bundle.open(folder).read(record)


def test_leftovers_are_swept_and_what_a_person_put_there_is_kept(folder: Path, new: Made) -> None:
    leftovers = [f"{FILE_PREFIX}0123.onnx", "onnx-fp32.0123456789ab.onnx"]
    own = ["notes.txt", "README.md", "model.onnx", "onnx-fp32.short.onnx", "x.0123456789ab.txt"]
    for name in leftovers + own:
        (folder / name).write_bytes(b"x")
    commit(folder, *new)
    assert set(read(folder)) == {*files_of(new), *own}


def test_the_name_of_a_file_holds_the_first_digits_of_its_hash() -> None:
    record = record_file("onnx-fp32", "onnx", b"abc")
    assert record == FileRecord("onnx-fp32.ba7816bf8f01.onnx", sha256(b"abc"), 3)


def test_an_absent_an_empty_and_a_bundle_s_folder_are_accepted(
    folder: Path, tmp_path: Path
) -> None:
    check_target(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty")
    check_target(folder)
    (folder / "notes.txt").touch()
    check_target(folder)


def test_a_folder_that_a_killed_first_export_left_is_accepted(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    (folder / f"{FILE_PREFIX}0123.onnx").touch()
    check_target(folder)


@pytest.mark.parametrize("stranger", ["photo.jpg", ".git", "model.onnx", "manifest.json.bak"])
def test_a_folder_of_strangers_is_refused_by_the_name_of_one(tmp_path: Path, stranger: str) -> None:
    (tmp_path / stranger).touch()
    with pytest.raises(OutputError, match=stranger):
        check_target(tmp_path)


def test_a_file_and_a_name_too_long_are_refused_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_target(tmp_path / "file")
    with pytest.raises(OutputError, match="too long"):
        check_target(tmp_path / ("x" * 300))


CALLS: dict[str, tuple[object, str]] = {
    "write": (Path, "write_bytes"),
    "fsync": (os, "fsync"),
    "open to flush": (os, "open"),
    "rename": (os, "replace"),
    "create": (Path, "touch"),
    "make a folder": (Path, "mkdir"),
    "look at": (Path, "stat"),
    "list": (Path, "iterdir"),
    "remove": (Path, "unlink"),
}
REPORT = b'{"what": "was measured"}'


def failing(original: Callable[..., object], at: int, log: list[int]) -> Callable[..., object]:
    """The call itself, but its ``at``-th (from 1) finds the disk full."""

    def call(*arguments: object, **options: object) -> object:
        log.append(1)
        if len(log) == at:
            raise OSError(28, "No space left on device")
        return original(*arguments, **options)

    return call


def attempt(kind: str, at: int, folder: Path, made: Made) -> tuple[int, OutputError | None]:
    """Commit, but one call fails; how many of its kind there were, and what was raised."""
    owner, name = CALLS[kind]
    log: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), at, log))
        try:
            commit(folder, *made, report=(folder.parent / "report.json", REPORT))
        except OutputError as err:
            return len(log), err
    return len(log), None


def test_what_is_counted_below_happens_in_every_commit(folder: Path, new: Made) -> None:
    calls = {kind: attempt(kind, 0, folder, new)[0] for kind in CALLS}
    assert min(calls.values()) >= 1
    assert min(calls[k] for k in ("write", "fsync", "rename")) >= len(files_of(new)) + 1


@pytest.mark.parametrize("kind", list(CALLS))
def test_a_commit_that_fails_anywhere_is_an_error_with_the_old_bundle_or_none_with_the_new(
    folder: Path, old: Made, new: Made, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the manifest is replaced, exit 6 and the old bundle; after it, a line in the log."""
    report = folder.parent / "report.json"
    total, at = attempt(kind, 0, folder, old)[0], 0
    while at < max(total, 1):
        at += 1
        report.write_bytes(b"old")
        caplog.clear()
        total, err = attempt(kind, at, folder, new)
        left = read(folder)
        if err:
            assert err.exit_code == 6 and "No space left" in str(err)
            assert {name: left.get(name) for name in files_of(old)} == files_of(old)
            assert report.read_bytes() == b"old"
            assert Bundle.open(folder).card_is_current()
        else:
            whole = {name: data for name, data in files_of(new).items() if name != CARD_NAME}
            assert {name: left.get(name) for name in whole} == whole
            stale = [
                what
                for what, is_stale in (
                    (CARD_NAME, left[CARD_NAME] != files_of(new)[CARD_NAME]),
                    ("report.json", report.read_bytes() != REPORT),
                    ("could not be removed", set(left) > set(files_of(new))),
                )
                if is_stale
            ]
            assert all(any(what in line for line in caplog.messages) for what in stale)
            assert all("the new bundle is in place" in line for line in caplog.messages)
        if kind != "remove":
            assert not [name for name in left if name.startswith(FILE_PREFIX)]
        commit(folder, *old)
        assert read(folder) == files_of(old)


@pytest.mark.parametrize("place", ["the card", "the report", "the folder's names", "old files"])
def test_what_fails_after_the_commit_is_a_line_in_the_log(
    folder: Path, old: Made, new: Made, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    owner, name = {"old files": (Path, "unlink"), "the folder's names": (os, "fsync")}.get(
        place, (Path, "replace")
    )
    original = getattr(owner, name)
    manifest = dump_manifest(new[0])

    def is_hit(target: object) -> bool:
        if (folder / MANIFEST_NAME).read_bytes() != manifest:
            return False
        if place == "the folder's names":
            return Path(f"/dev/fd/{target}").resolve().is_dir()
        wanted = {"the card": CARD_NAME, "the report": "report.json"}.get(place)
        return wanted is None or Path(str(target)).name == wanted

    def fail_afterwards(*arguments: object, **options: object) -> object:
        if is_hit(arguments[-1]):
            raise OSError(5, "Input/output error")
        return original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fail_afterwards)
        commit(folder, *new, report=(folder.parent / "report.json", REPORT))
    assert caplog.messages
    assert all("Input/output error; the new bundle is in place" in m for m in caplog.messages)
    assert Bundle.open(folder).manifest.sha256 == parse_manifest(manifest).sha256
    commit(folder, *new, report=(folder.parent / "report.json", REPORT))
    assert read(folder) == files_of(new)


def test_the_folder_is_on_disk_before_the_manifest_names_its_files(
    folder: Path, new: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folders_fail(descriptor: int) -> None:
        if Path(f"/dev/fd/{descriptor}").resolve().is_dir():
            raise OSError(5, "Input/output error")

    before = read(folder)
    monkeypatch.setattr(os, "fsync", folders_fail)
    with pytest.raises(OutputError, match="Input/output error"):
        commit(folder, *new)
    assert before.items() <= read(folder).items()


def test_an_old_file_that_cannot_be_deleted_does_not_fail_a_commit_that_is_done(
    folder: Path, new: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    commit(folder, *new)
    monkeypatch.undo()
    assert files_of(new).items() <= read(folder).items()
    commit(folder, *new)
    assert read(folder) == files_of(new)


TWO = """
import os, random, sys, time
from pathlib import Path
from cxr_edge.bundle.reader import Bundle
from cxr_edge.export.commit import commit

folder, sources, rounds = Path(sys.argv[1]), sys.argv[2:4], int(sys.argv[4])
made = []
for source in sources:
    bundle = Bundle.open(source)
    made.append((bundle.manifest, {r.file: bundle.read(r) for r in bundle.manifest.files}))
chance = random.Random(5)
for _ in range(rounds):
    children = []
    for each in made:
        delay = chance.uniform(0, 0.01)
        child = os.fork()
        if child == 0:
            time.sleep(delay)
            commit(folder, *each)
            os._exit(0)
        children.append(child)
    assert not any(os.waitpid(child, 0)[1] for child in children)
    bundle = Bundle.open(folder)
    for record in bundle.manifest.files:
        bundle.read(record)
    assert bundle.unlisted() == ()
"""


def test_two_exports_into_one_folder_take_turns(old: Made, new: Made, tmp_path: Path) -> None:
    """Each tidies away what the other has written and not committed."""
    commit(tmp_path / "old", *old)
    commit(tmp_path / "new", *new)
    script = [sys.executable, "-c", TWO, tmp_path / "target", tmp_path / "old", tmp_path / "new", 8]
    done = subprocess.run([*map(str, script)], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_folder_may_be_a_link(old: Made, new: Made, tmp_path: Path) -> None:
    commit(tmp_path / "real", *old)
    (tmp_path / "link").symlink_to("real")
    commit(tmp_path / "link", *new)
    assert read(tmp_path / "real") == files_of(new)


KILL = """
import os, random, signal, sys, time
from pathlib import Path
from cxr_edge.bundle.reader import Bundle
from cxr_edge.errors import BundleError
from cxr_edge.export.commit import commit

folder, sources, rounds = Path(sys.argv[1]), sys.argv[2:4], int(sys.argv[4])
made = []
for source in sources:
    bundle = Bundle.open(source)
    made.append((bundle.manifest, {r.file: bundle.read(r) for r in bundle.manifest.files}))
start = time.perf_counter()
for each in made * 2:
    commit(folder, *each)
one_commit = (time.perf_counter() - start) / 4
chance = random.Random(4)
for _ in range(rounds):
    child = os.fork()
    if child == 0:
        while True:
            for each in made:
                commit(folder, *each)
    time.sleep(chance.uniform(0, 4 * one_commit))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        bundle = Bundle.open(folder)
        for record in bundle.manifest.files:
            bundle.read(record)
        found = bundle.manifest.sha256
    except BundleError as err:
        found = str(err)
    print(found, len(bundle.unlisted()), sep="\\t", flush=True)
"""


@pytest.mark.alone
def test_killed_at_random_moments_it_leaves_the_old_bundle_or_the_new_one_whole(
    old: Made, new: Made, tmp_path: Path
) -> None:
    commit(tmp_path / "old", *old)
    commit(tmp_path / "new", *new)
    target = tmp_path / "target"
    moments = int(os.environ.get("CXR_EDGE_MOMENTS", "20"))
    script = [sys.executable, "-c", KILL, target, tmp_path / "old", tmp_path / "new", moments]
    done = subprocess.run(
        list(map(str, script)), capture_output=True, timeout=60 + 5 * moments, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    whole = {Bundle.open(tmp_path / name).manifest.sha256 for name in ("old", "new")}
    assert len(lines) == moments
    assert {found for found, _ in lines} == whole  # both occur, and nothing else does
    assert (
        sum(int(leftovers) > 0 for _, leftovers in lines) >= moments / 4
    )  # it was hit while it worked
    commit(target, *new)
    assert read(target) == files_of(new)
    assert Bundle.open(target).unlisted() == ()
