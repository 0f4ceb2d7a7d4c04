"""Installing bundles: killed, refused or out of disk, the old bundle or the new one is served."""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_edge import BundleError, OutputError, ParityError, install_bundle, list_bundles
from cxr_edge import rollback_bundle as rollback
from cxr_edge.bundle import change, upgrade
from cxr_edge.bundle.installed import InstalledBundles, Pending, folder_of_current
from cxr_edge.bundle.manifest import MANIFEST_NAME, Manifest, dump_manifest, parse_manifest
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.served import (
    SERVED_NAME,
    Served,
    announce_served,
    hold_service_lock,
    read_served,
    service_is_running,
)
from cxr_edge.bundle.upgrade import settle_bundles
from cxr_edge.errors import UsageError

DATA = Path(__file__).parent / "data/2.0"
"""A small bundle, which every engine replays in milliseconds."""
DRIVER = Path(__file__).with_name("installing.py")
hash_only = runpy.run_path(str(DRIVER))["hash_only"]


def changed(folder: Path, change: Callable[[Manifest], Manifest]) -> Path:
    """A copy of the small bundle beside it with another manifest."""
    shutil.copytree(DATA, folder)
    manifest = parse_manifest((DATA / MANIFEST_NAME).read_bytes())
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(change(manifest)))
    return folder


def numbered(folder: Path, seed: int) -> Path:
    """A bundle that decides as the small one and is another."""
    return changed(
        folder,
        lambda m: dataclasses.replace(m, provenance=dataclasses.replace(m.provenance, seed=seed)),
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    root = tmp_path_factory.mktemp("bundles")
    return numbered(root / "1", 1), numbered(root / "2", 2), numbered(root / "3", 3)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose golden scores are not those of its files."""

    def swap(manifest: Manifest) -> Manifest:
        first, *others = manifest.artifacts
        strict = tuple(dataclasses.replace(record, tolerance=1e-12) for record in first.engines)
        return dataclasses.replace(
            manifest, artifacts=(dataclasses.replace(first, engines=strict), *others)
        )

    return changed(tmp_path_factory.mktemp("wrong") / "wrong", swap)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


def name_of(folder: Path) -> str:
    return Bundle.open(folder).manifest.sha256[:16]


def current(into: Path) -> str:
    """Name of the current bundle, every file of which is whole."""
    bundle = Bundle.open(into / "current")
    for record in bundle.manifest.files:
        bundle.read(record)
    assert bundle.card_is_current() and bundle.unlisted() == ()
    return bundle.manifest.sha256[:16]


def names(into: Path) -> set[str]:
    return {path.name for path in into.iterdir()}


def test_bundles_follow_each_other_and_two_are_kept(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    first, second, third = map(name_of, bundles)
    result = install_bundle(bundles[0], into=into)
    assert (result.sha256[:16], result.is_new, result.previous) == (first, True, None)
    assert result.folder == into / first and result.checked_by == "this process"
    assert names(into) == {first, "current"}
    assert str((into / "current").readlink()) == first  # relative: the folder may move
    assert install_bundle(bundles[1], into=into).previous == first
    assert names(into) == {first, second, "current", "previous"}
    assert install_bundle(bundles[2], into=into).previous == second
    assert names(into) == {second, third, "current", "previous"} and current(into) == third
    assert [(b.name, b.link, b.problem) for b in list_bundles(into)] == [
        (third, "current", ""),
        (second, "previous", ""),
    ]


def test_a_rollback_changes_places(bundles: tuple[Path, Path, Path], into: Path) -> None:
    with pytest.raises(BundleError, match="no previous bundle"):
        rollback(into=into)
    assert not into.exists()
    first, second, _ = map(name_of, bundles)
    install_bundle(bundles[0], into=into)
    with pytest.raises(BundleError, match="no previous bundle"):
        rollback(into=into)
    install_bundle(bundles[1], into=into)
    assert rollback(into=into).previous == second and current(into) == first
    assert rollback(into=into).previous == first and current(into) == second


def test_installing_what_is_current_succeeds_and_mends_it(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    install_bundle(bundles[0], into=into)
    place = into / name_of(bundles[0])
    (damaged,) = place.glob("onnx-int8*")
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    (lost,) = place.glob("golden*")
    lost.unlink()
    before = (place / MANIFEST_NAME).stat()
    result = install_bundle(bundles[0], into=into)
    assert not result.is_new and result.previous is None
    assert current(into) == place.name
    assert (place / MANIFEST_NAME).stat() == before  # what is whole is not written again


def test_a_bundle_that_decides_otherwise_is_refused_before_anything_changes(
    bundles: tuple[Path, Path, Path], wrong: Path, into: Path
) -> None:
    with pytest.raises(ParityError, match="max"):
        install_bundle(wrong, into=into)
    assert names(into) == set()
    install_bundle(bundles[0], into=into)
    before = names(into)
    with pytest.raises(ParityError, match="max"):
        install_bundle(wrong, into=into)
    assert names(into) == before and current(into) == name_of(bundles[0])


def test_a_damaged_previous_bundle_is_not_gone_back_to(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    for bundle in bundles[:2]:
        install_bundle(bundle, into=into)
    (golden,) = (into / "previous").glob("golden*")
    golden.write_bytes(b"x" * golden.stat().st_size)
    with pytest.raises(BundleError, match="the file changed after export"):
        rollback(into=into)
    assert current(into) == name_of(bundles[1])


def test_a_new_bundle_that_fails_its_last_check_goes_again(
    bundles: tuple[Path, Path, Path], into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "check_here", lambda installed: "the engine refuses it")
    with pytest.raises(BundleError, match="no bundle is current: the engine refuses it"):
        install_bundle(bundles[0], into=into)
    assert not (into / "current").is_symlink()
    monkeypatch.undo()
    install_bundle(bundles[0], into=into)
    monkeypatch.setattr(change, "check_here", lambda installed: "the engine refuses it")
    with pytest.raises(BundleError, match=f"{name_of(bundles[0])} is current again"):
        install_bundle(bundles[1], into=into)
    assert current(into) == name_of(bundles[0]) and "pending.json" not in names(into)


def test_ctrl_c_while_it_is_checked_goes_back(
    bundles: tuple[Path, Path, Path], into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(installed: InstalledBundles) -> str:
        assert current(into) == name_of(bundles[1])
        raise KeyboardInterrupt

    install_bundle(bundles[0], into=into)
    monkeypatch.setattr(change, "check_here", interrupt)
    with pytest.raises(KeyboardInterrupt):
        install_bundle(bundles[1], into=into)
    assert current(into) == name_of(bundles[0]) and "pending.json" not in names(into)


# --- hostile and unlucky


def test_links_in_the_source_are_refused_and_a_linked_source_is_not(
    bundles: tuple[Path, Path, Path], into: Path, tmp_path: Path
) -> None:
    hostile = Path(shutil.copytree(bundles[0], tmp_path / "hostile"))
    (golden,) = hostile.glob("golden*")
    golden.rename(tmp_path / "elsewhere")
    golden.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="a symbolic link"):
        install_bundle(hostile, into=into)
    assert names(into) == set()
    (tmp_path / "link").symlink_to(bundles[0])
    install_bundle(tmp_path / "link", into=into)
    assert current(into) == name_of(bundles[0])


def test_a_source_that_changes_while_it_is_copied_is_refused(
    bundles: tuple[Path, Path, Path], into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(shutil.copytree(bundles[0], tmp_path / "source"))
    read = Bundle.read

    def read_and_replace(bundle: Bundle, record: Any) -> bytes:
        if bundle.folder == source:
            shutil.copy(bundles[1] / MANIFEST_NAME, source)
        return read(bundle, record)

    monkeypatch.setattr(Bundle, "read", read_and_replace)
    with pytest.raises(BundleError, match="replaced by another bundle while it was copied"):
        install_bundle(source, into=into)
    assert names(into) == set()


@pytest.mark.parametrize(
    ("link", "message"),
    [("/etc", "expected a bundle beside it"), ("../1", "expected a bundle beside it")],
)
def test_a_link_out_of_the_folder_is_refused(
    bundles: tuple[Path, Path, Path], into: Path, link: str, message: str
) -> None:
    into.mkdir()
    (into / "current").symlink_to(link)
    for call in (lambda: install_bundle(bundles[0], into=into), lambda: list_bundles(into)):
        with pytest.raises(BundleError, match=message):
            call()
    assert str((into / "current").readlink()) == link


def test_a_folder_in_the_place_of_a_link_and_a_file_in_that_of_a_bundle_are_refused(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    (into / "current").mkdir(parents=True)
    with pytest.raises(BundleError, match="not the link that"):
        install_bundle(bundles[0], into=into)
    (into / "current").rmdir()
    (into / name_of(bundles[0])).symlink_to(bundles[1])
    with pytest.raises(BundleError, match="is no folder"):
        install_bundle(bundles[0], into=into)
    assert Bundle.open(bundles[1]).unlisted() == ()


def test_a_folder_that_may_not_be_searched_is_one_line(into: Path, tmp_path: Path) -> None:
    """As for a user who is not in the service's group; root may search everything."""
    code = (
        "import os, sys\n"
        "from cxr_edge import BundleError, list_bundles\n"
        "os.seteuid(12345) if os.geteuid() == 0 else None\n"
        "try:\n"
        "    list_bundles(sys.argv[1])\n"
        "except BundleError as err:\n"
        "    print(err)\n"
    )
    tmp_path.chmod(0o000)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(into)], capture_output=True, text=True, check=False
        )
    finally:
        tmp_path.chmod(0o700)
    assert done.stdout == f"{into}/current: cannot be read: Permission denied; allow it\n", (
        done.stderr
    )


def test_a_fifo_in_the_place_of_the_service_s_lock_blocks_nobody(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    into.mkdir()
    os.mkfifo(into / "service.lock")
    assert install_bundle(bundles[0], into=into).checked_by == "this process"


def test_a_file_in_the_place_of_the_folder_is_one_line(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    into.write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot be written"):
        install_bundle(bundles[0], into=into)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["write_bytes", "fsync", "rename", "replace", "symlink"])
def test_a_full_disk_leaves_the_old_bundle_at_every_step(
    bundles: tuple[Path, Path, Path], into: Path, tmp_path: Path, name: str
) -> None:
    """Whatever fails, an error of ours says so, and the next installation goes well.

    Golden inputs are not replayed, which costs a second each time and writes nothing.
    """
    owner = Path if name == "write_bytes" else os
    original = getattr(owner, name)
    first, second, _ = map(name_of, bundles)
    install_bundle(bundles[0], into=tmp_path / "start")
    at, failures = 0, 0
    while True:
        at += 1
        calls: list[int] = []

        def call(*arguments: Any, calls: list[int] = calls, at: int = at, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == at:
                raise OSError(28, "No space left on device")
            return original(*arguments, **options)

        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(tmp_path / "start", into, symlinks=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upgrade, "replay_bundle", hash_only)
            patch.setattr(change, "check_here", lambda installed: "")
            patch.setattr(owner, name, call)
            try:
                install_bundle(bundles[1], into=into)
                served = {second}
            except OutputError as err:
                assert "No space left on device" in str(err) and "\n" not in str(err)
                served, failures = {first, second}, failures + 1
            patch.setattr(owner, name, original)
            assert current(into) in served, at
            install_bundle(bundles[1], into=into)
        assert current(into) == second
        assert names(into) == {first, second, "current", "previous"}
        if len(calls) < at:
            break
    assert failures >= 1


def test_two_installations_take_turns(bundles: tuple[Path, Path, Path], into: Path) -> None:
    code = (
        "import sys\n"
        "from cxr_edge import install_bundle\n"
        "install_bundle(sys.argv[1], into=sys.argv[2])\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(bundle), str(into)], stderr=subprocess.PIPE
        )
        for bundle in bundles[:2]
    ]
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    one, other = map(name_of, bundles[:2])
    assert names(into) == {one, other, "current", "previous"}


def test_an_installation_that_does_not_end_is_not_waited_for_for_ever(
    bundles: tuple[Path, Path, Path], into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = InstalledBundles.alone
    monkeypatch.setattr(InstalledBundles, "alone", lambda self: alone(self, longest_wait_s=0.1))
    with (
        alone(InstalledBundles(into)),
        pytest.raises(OutputError, match="another process installs a bundle there"),
    ):
        install_bundle(bundles[0], into=into)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_root_writes_as_the_owner_of_the_folder(bundles: tuple[Path, Path, Path]) -> None:
    """The source may be one that only root can read."""
    with tempfile.TemporaryDirectory() as home:  # pytest's folders are for their user alone
        os.chown(home, 12345, 23456)
        into = Path(home, "bundles")
        install_bundle(bundles[0], into=into)
        install_bundle(bundles[1], into=into)
        owners = {(p.lstat().st_uid, p.lstat().st_gid) for p in (into, *into.rglob("*"))}
        assert owners == {(12345, 23456)}
        assert current(into) == name_of(bundles[1])
    assert (os.geteuid(), os.getegid()) == (0, os.getgid())


# --- what a killed process leaves


def killed_after_the_change(bundles: tuple[Path, Path, Path], into: Path, *, tried: bool) -> None:
    """Leave the folder as an installation does that dies before its last check."""
    for bundle in bundles[:2]:
        install_bundle(bundle, into=into)
    first, second = map(name_of, bundles[:2])
    (into / "previous").unlink()
    InstalledBundles(into).write_pending(Pending(second, first, is_tried=tried))


def test_a_change_that_was_cut_short_is_confirmed_after_its_check(
    bundles: tuple[Path, Path, Path], into: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert settle_bundles(into) == "nothing"
    killed_after_the_change(bundles, into, tried=False)
    assert settle_bundles(into) == "confirmed"
    assert current(into) == name_of(bundles[1])
    assert str((into / "previous").readlink()) == name_of(bundles[0])
    assert "cut short, passed its check" in caplog.text
    assert settle_bundles(into) == "nothing"


def test_a_change_whose_check_killed_its_process_is_undone_without_another(
    bundles: tuple[Path, Path, Path], into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(installed: InstalledBundles) -> str:
        raise AssertionError("it must not be checked again")

    killed_after_the_change(bundles, into, tried=True)
    monkeypatch.setattr(change, "check_here", die)
    assert settle_bundles(into) == "undone"
    assert current(into) == name_of(bundles[0]) and "pending.json" not in names(into)


def test_a_change_whose_check_fails_is_undone(
    bundles: tuple[Path, Path, Path], into: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed_after_the_change(bundles, into, tried=False)
    (golden,) = (into / "current").glob("golden*")
    golden.write_bytes(b"x" * golden.stat().st_size)
    assert settle_bundles(into) == "undone"
    assert current(into) == name_of(bundles[0])
    assert "was not kept" in caplog.text


@pytest.mark.parametrize(
    "journal", [b"", b"{}", b'{"new": "../x", "old": null, "is_tried": false}']
)
def test_a_damaged_journal_changes_nothing_and_goes(
    bundles: tuple[Path, Path, Path], into: Path, journal: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    install_bundle(bundles[0], into=into)
    (into / "pending.json").write_bytes(journal)
    assert settle_bundles(into) == "undone"
    assert current(into) == name_of(bundles[0]) and "pending.json" not in names(into)
    assert "what is current stays so" in caplog.text


def test_a_service_that_starts_during_an_installation_leaves_it_alone(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    killed_after_the_change(bundles, into, tried=False)
    with InstalledBundles(into).alone():
        assert settle_bundles(into) == "in-progress"
    assert "pending.json" in names(into)


def kill_moments(
    tmp_path: Path, pair: tuple[Path, Path], moments: str, *, replays: bool, then: str
) -> list[dict[str, Any]]:
    command = [
        sys.executable,
        DRIVER,
        tmp_path,
        *pair,
        moments,
        "replays" if replays else "-",
        then,
    ]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("then", ["install", "settle", "rollback"])
def test_killed_before_any_system_call_the_old_or_the_new_bundle_is_current(
    bundles: tuple[Path, Path, Path],
    tmp_path: Path,
    then: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Every call that changes the disk, without replays; ``make soak`` has those too."""
    (tmp_path / "work").mkdir()
    replays = "CXR_EDGE_UPGRADE_REPLAYS" in os.environ
    lines = kill_moments(tmp_path / "work", bundles[:2], "all", replays=replays, then=then)
    check_moments(lines, bundles[:2], then)
    how = "with golden replays, " if replays else ""
    record_property("figure", f"{how}killed at {len(lines)} moments, then {then}")


def check_moments(lines: list[dict[str, Any]], pair: tuple[Path, Path], then: str) -> None:
    """Each time the old or the new bundle was whole and current, and what followed ended well."""
    old, new = (Bundle.open(folder).manifest.sha256 for folder in pair)
    assert len(lines) >= 50 and {line["killed"] for line in lines} == {-9}
    assert {line["after kill"] for line in lines} == {old, new}
    kept = {old[:16], new[:16], "current", "previous"}
    for line in lines:
        assert line["current"] in (old, new), line
        assert "pending.json" not in line["names"], line
        if then == "install":
            assert (line["followed"], line["current"]) == (0, new), line
            assert line["previous"] == old[:16] and {*line["names"]} == kept, line
        elif then == "settle":  # a change that was made is confirmed, one that was not is none
            assert (line["followed"], line["current"]) == (0, line["after kill"]), line
        else:  # there is nothing to go back to unless the change was made
            assert line["followed"] == (0 if line["after kill"] == new else 5), line
            assert line["current"] == old, line


# --- the running service


class FakeService(threading.Thread):
    """Looks at ``current`` as the service does, and says what it is told to say of a bundle."""

    def __init__(self, into: Path, verdict: Callable[[str], Served | None]) -> None:
        super().__init__(daemon=True)
        self.into, self.verdict = into, verdict
        self.ready, self.ends = threading.Event(), threading.Event()

    def run(self) -> None:
        with hold_service_lock(self.into):
            seen = Bundle.open(self.into / "current").manifest.sha256
            self.ready.set()
            while not self.ends.wait(0.02):
                now = Bundle.open(self.into / "current").manifest.sha256
                if now != seen:
                    seen = now
                    if served := self.verdict(now):
                        announce_served(self.into, served)

    def __enter__(self) -> FakeService:
        self.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self.join(10)


def test_a_service_that_serves_the_new_bundle_confirms_it(
    bundles: tuple[Path, Path, Path], into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_bundle(bundles[0], into=into)
    announce_served(into, Served("1" * 64, "1" * 64, True, ""))  # of long ago
    monkeypatch.setattr(change, "check_here", lambda installed: "nobody asked this process")
    with FakeService(into, lambda sha256: Served(sha256, sha256, True, "")):
        assert service_is_running(into)
        result = install_bundle(bundles[1], into=into)
    assert result.checked_by == "service" and current(into) == name_of(bundles[1])
    assert not service_is_running(into)


def test_a_service_that_goes_on_with_the_old_bundle_makes_the_installation_go_back(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    install_bundle(bundles[0], into=into)
    old = Bundle.open(bundles[0]).manifest.sha256

    def refuse(sha256: str) -> Served:
        return Served(old, sha256, sha256 == old, "" if sha256 == old else "golden input 3 differs")

    with FakeService(into, refuse):
        for _ in range(2):  # what it said of the first attempt is not taken for the second's
            with pytest.raises(BundleError, match="is current again: golden input 3 differs"):
                install_bundle(bundles[1], into=into)
    assert current(into) == name_of(bundles[0]) and "pending.json" not in names(into)


def test_a_silent_service_and_one_that_dies_make_the_installation_go_back(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    install_bundle(bundles[0], into=into)
    with (
        FakeService(into, lambda sha256: None),
        pytest.raises(BundleError, match=r"said nothing of it in 0\.3 s"),
    ):
        install_bundle(bundles[1], into=into, wait=0.3)
    assert current(into) == name_of(bundles[0])
    service = FakeService(into, lambda sha256: service.ends.set())
    with service, pytest.raises(BundleError, match="the service stopped while it loaded it"):
        install_bundle(bundles[1], into=into, wait=0.5)
    assert current(into) == name_of(bundles[0])


def test_a_bundle_of_a_dead_service_is_checked_here(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    install_bundle(bundles[0], into=into)
    code = (
        "import os, sys, pathlib\n"
        "from cxr_edge.bundle.served import hold_service_lock\n"
        "with hold_service_lock(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(into)], check=False)
    assert killed.returncode == -9
    assert install_bundle(bundles[1], into=into).checked_by == "this process"


def test_a_service_tells_the_current_bundle_from_any_other(
    bundles: tuple[Path, Path, Path], into: Path
) -> None:
    install_bundle(bundles[0], into=into)
    assert folder_of_current(into / "current") == into
    assert folder_of_current(into / name_of(bundles[0])) is None
    assert folder_of_current(bundles[0].parent / "current") is None


def test_only_one_service_runs_on_a_folder(into: Path) -> None:
    into.mkdir()
    start = time.monotonic()
    with (
        hold_service_lock(into),
        pytest.raises(UsageError, match="another service"),
        hold_service_lock(into),
    ):
        pass
    assert time.monotonic() - start < 5
    with hold_service_lock(into):  # whoever only looks does not keep a service from starting
        assert service_is_running(into)


def test_what_is_announced_is_read_and_a_link_or_garbage_is_refused(into: Path) -> None:
    into.mkdir()
    assert read_served(into) is None
    served = Served("a" * 64, "b" * 64, False, "its golden check failed")
    announce_served(into, served)
    assert read_served(into) == served
    (into / SERVED_NAME).write_bytes(b"{}")
    with pytest.raises(BundleError, match="served"):
        read_served(into)
    (into / SERVED_NAME).unlink()
    (into / SERVED_NAME).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match="served"):
        read_served(into)
