"""A profile is honoured for its own bundle, machine and engine; otherwise one line says why not."""

from __future__ import annotations

import dataclasses
import logging
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

import cxr_edge
from cxr_edge import Classifier, documents
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.machine import this_machine, usable_cpus
from cxr_edge.device.profile import (
    Profile,
    check_is_profile,
    engine_version,
    find_profile,
    parse_profile,
    profile_folder,
    profile_path,
    write_profile,
)
from cxr_edge.errors import ProfileError, UsageError

CPUS = usable_cpus()


@pytest.fixture
def opened() -> Bundle:
    """The reference bundle."""
    return Bundle.open()


@pytest.fixture
def profile(opened: Bundle) -> Profile:
    """Another choice than the one without a profile."""
    return Profile(
        format="1.1",
        bundle=opened.manifest.sha256,
        machine=this_machine().key,
        processor="this one",
        artifact="tflite-int8-dynamic",
        engine="litert",
        engine_version=engine_version("litert"),
        threads=2,
        p50_ms=1.5,
    )


def kept_path(bundle: Bundle) -> Path:
    path = profile_path(bundle.manifest, this_machine())
    assert path is not None
    return path


def chosen(classifier: Classifier) -> tuple[str, str, int]:
    return classifier.artifact, classifier.engine, classifier.threads


def test_what_is_kept_for_a_bundle_is_what_runs_and_is_named(
    opened: Bundle, profile: Profile
) -> None:
    path = kept_path(opened)
    before = Classifier.load()
    assert before.profile is None and before.threads == 1
    write_profile(profile, path)
    tuned = Classifier.load()
    assert chosen(tuned) == ("tflite-int8-dynamic", "litert", 2)
    assert tuned.profile == path
    assert chosen(tuned) != chosen(before)
    assert Classifier.load(threads=1).threads == 1


def test_what_is_asked_for_goes_before_a_profile(opened: Bundle, profile: Profile) -> None:
    write_profile(profile, kept_path(opened))
    named = Classifier.load(artifact="onnx-explain")
    assert chosen(named) == ("onnx-explain", "onnxruntime", 1) and named.profile is None
    assert Classifier.load(engine="onnxruntime").profile is None
    assert Classifier.load(heatmap=True).artifact == "onnx-explain"


def test_a_profile_can_lie_anywhere(tmp_path: Path, profile: Profile) -> None:
    write_profile(profile, tmp_path / "mine.json")
    tuned = Classifier.load(profile=tmp_path / "mine.json")
    assert (tuned.artifact, tuned.profile) == ("tflite-int8-dynamic", tmp_path / "mine.json")
    with pytest.raises(UsageError, match="a profile chooses artifact and engine"):
        Classifier.load(profile=tmp_path / "mine.json", engine="litert")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bundle": "0" * 64}, "it is for another bundle"),
        ({"machine": "0" * 16}, "it is for another machine (this one)"),
        ({"artifact": "onnx-int9"}, "onnx-int9 was not proven on litert"),
        ({"engine": "onnxruntime"}, "tflite-int8-dynamic was not proven on onnxruntime"),
        ({"threads": 10**9}, f"it uses {10**9} threads, this process may use {CPUS} processors"),
        ({"engine_version": "0.1"}, f"litert is {engine_version('litert')}, it was 0.1"),
    ],
)
@pytest.mark.parametrize("is_kept", [True, False])
def test_a_profile_for_something_else_is_ignored_with_one_line(
    changes: dict[str, Any],
    reason: str,
    is_kept: bool,
    opened: Bundle,
    profile: Profile,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = kept_path(opened) if is_kept else tmp_path / "mine.json"
    write_profile(dataclasses.replace(profile, **changes), path)
    with caplog.at_level(logging.WARNING, logger="cxr_edge"):
        assert find_profile(opened.manifest, None if is_kept else path) is None
    expected = f"{path} is ignored: {reason}; run 'cxr-edge tune' again"
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_the_reason_is_one_printable_line_whatever_the_profile_says(
    opened: Bundle, profile: Profile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = "\x1b]0;owned\x07\nline" + "x" * 60_000
    for changes in (
        {"artifact": hostile},
        {"engine": hostile},
        {"machine": "0", "processor": hostile},
        {"engine_version": hostile},
    ):
        write_profile(dataclasses.replace(profile, **changes), tmp_path / "p.json")
        assert find_profile(opened.manifest, tmp_path / "p.json") is None
    assert len(caplog.records) == 4
    for record in caplog.records:
        assert record.getMessage().isprintable() and len(record.getMessage()) < 600


def test_only_a_profile_is_replaced_or_deleted(tmp_path: Path, profile: Profile) -> None:
    check_is_profile(tmp_path / "absent.json")
    write_profile(profile, tmp_path / "mine.json")
    check_is_profile(tmp_path / "mine.json")
    (tmp_path / "image.jpeg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "manifest.json").write_bytes(
        (Path(cxr_edge.__file__).parent / "reference/manifest.json").read_bytes()
    )
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "absent.json")
    for name in ("image.jpeg", "manifest.json", "pipe", "link", "."):
        with pytest.raises(ProfileError, match="is there already and no profile"):
            check_is_profile(tmp_path / name)


@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 10_000, b'{"format": 2}', b"\xff"])
def test_a_kept_profile_that_is_damaged_is_ignored_and_a_given_one_refused(
    text: bytes, opened: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    path = kept_path(opened)
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    with caplog.at_level(logging.WARNING, logger="cxr_edge"):
        assert find_profile(opened.manifest) is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("the profile is ignored: ") and "\n" not in line
    with pytest.raises(ProfileError, match=path.name):
        find_profile(opened.manifest, path)


def test_a_profile_of_a_newer_cxr_edge_is_refused_with_the_advice_to_update(
    profile: Profile,
) -> None:
    for newer in (b"2", b'"1.2"'):
        data = documents.dump(profile).replace(b'"format": "1.1"', b'"format": ' + newer)
        with pytest.raises(ProfileError, match=r"reads up to 1\.1; update cxr-edge") as caught:
            parse_profile(data, "p.json")
        assert len(str(caught.value).splitlines()) == 1


def test_a_profile_is_read_as_it_was_written(profile: Profile) -> None:
    assert parse_profile(documents.dump(profile), "p.json") == profile


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_malformed(profile: Profile, threads: int) -> None:
    data = documents.dump(profile).replace(b'"threads": 2', b'"threads": %d' % threads)
    with pytest.raises(ProfileError, match=f"threads is {threads}, expected at least 1"):
        documents.parse(data, Profile, name="p.json", error=ProfileError)


def test_a_profile_of_an_older_cxr_edge_is_read(profile: Profile) -> None:
    data = documents.dump(profile).replace(b'"format": "1.1"', b'"format": 1')
    data = data.replace(b',\n  "load_average": null', b"")
    assert parse_profile(data, "p.json") == dataclasses.replace(profile, format=1)


@pytest.mark.parametrize(("load", "busy"), [(None, False), (0.1, False), (1.7, True)])
def test_a_busy_machine_is_one_with_other_work(
    profile: Profile, load: float | None, busy: bool
) -> None:
    assert dataclasses.replace(profile, load_average=load).of_busy_machine is busy


def test_each_bundle_and_machine_has_a_profile_of_its_own(opened: Bundle) -> None:
    here = this_machine()
    elsewhere = dataclasses.replace(here, key="f" * 16)
    other = dataclasses.replace(opened.manifest, sha256="e" * 64)
    paths = {
        profile_path(manifest, machine)
        for manifest in (opened.manifest, other)
        for machine in (here, elsewhere)
    }
    assert len(paths) == 4


def test_without_a_home_nothing_is_kept_and_nothing_breaks(
    opened: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME")
    with monkeypatch.context() as patch:
        patch.setattr(pwd, "getpwuid", dict[int, object]().__getitem__)
        assert profile_folder() is None
        assert profile_path(opened.manifest, this_machine()) is None
        assert find_profile(opened.manifest) is None
    monkeypatch.setenv("HOME", "/home/somebody")
    assert profile_folder() == Path("/home/somebody/.config/cxr-edge/profiles")


def test_a_settings_folder_that_may_not_be_searched_is_no_profile(monkeypatch) -> None:
    """A service account with another's HOME."""

    def refuse(self: Path, **options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(self))

    manifest = Bundle.open().manifest
    monkeypatch.setattr(Path, "stat", refuse)
    assert find_profile(manifest) is None
