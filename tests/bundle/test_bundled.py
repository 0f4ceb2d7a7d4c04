"""The package's models go by name everywhere, and a name never means two things."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_edge import Classifier
from cxr_edge.__main__ import main
from cxr_edge.bundle.bundled import BUNDLED, REFERENCE, find_folder
from cxr_edge.bundle.reader import Bundle
from cxr_edge.cli.options import BundlePath
from cxr_edge.errors import BundleError
from cxr_edge.service.config import read_config


@pytest.mark.parametrize("name", BUNDLED)
def test_every_model_of_the_package_loads_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = Bundle.open(name)
    assert bundle.folder == BUNDLED[name]
    classifier = Classifier.load(name)
    assert classifier.bundle_sha256 == bundle.manifest.sha256
    assert Bundle.open(Path(name)).folder == BUNDLED[name]


def test_the_reference_is_what_no_name_means() -> None:
    assert find_folder(None) == find_folder("reference") == REFERENCE


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_name_that_a_folder_here_has_too_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "folder":
        Path("compact").mkdir()
    elif kind == "file":
        Path("compact").write_bytes(b"")
    else:
        Path("compact").symlink_to("nowhere")
    with pytest.raises(BundleError) as caught:
        find_folder("compact")
    assert str(caught.value) == (
        "compact: names a model of the package, and a file or folder here; write "
        f"{tmp_path / 'compact'} for that one, or run this elsewhere for the package's"
    )
    assert find_folder(tmp_path / "compact") == tmp_path / "compact"
    assert find_folder("other") == Path("other")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("compat", "compact"), ("referense", "reference"), ("Compact", "compact")],
)
def test_a_mistyped_name_is_answered_with_the_right_one(
    typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=f"did you mean {meant}, a model of the package"):
        Bundle.open(typed)
    (tmp_path / typed).mkdir()
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        Bundle.open(typed)


@pytest.mark.parametrize("typed", ["bundle", "models/compat", "/nowhere/referense", "c"])
def test_no_name_is_suggested_for_a_path_that_is_like_none(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="no such folder; check the path"):
        Bundle.open(typed)


def test_a_service_may_name_a_model_of_the_package(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text('bundle = "compact"\n[http]\nenabled = true\n')
    assert read_config(file)[0].bundle == str(BUNDLED["compact"])
    file.write_text('bundle = "bundles/compact"\n')
    assert read_config(file)[0].bundle == str(tmp_path / "bundles/compact")
    (tmp_path / "compact").mkdir()
    file.write_text('# settings\nbundle = "compact"\n')
    with pytest.raises(BundleError, match=r"service\.toml: bundle in line 2: compact: names"):
        read_config(file)


@pytest.mark.parametrize("typed", ["./compact", "compact/", "../here/compact"])
def test_a_path_that_looks_like_a_name_stays_a_path(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Path`` drops what tells ``./compact`` from ``compact``, and another model would answer."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert BundlePath("compact") == Path("compact")
    assert find_folder(BundlePath("compact")) == BUNDLED["compact"]
    with pytest.raises(BundleError, match="no such folder"):
        Bundle.open(BundlePath(typed))
    (here / "compact").symlink_to(REFERENCE)
    assert Bundle.open(BundlePath(typed)).manifest == Bundle.open().manifest


@pytest.mark.parametrize("command", ["predict x.png -b {}", "info {}", "verify {}", "tune {}"])
def test_commands_tell_a_path_from_a_name(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").write_bytes(b"")
    monkeypatch.setattr("sys.argv", ["cxr-edge", *command.format("./compact").split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 5
    assert "compact: no bundle here, no such folder" in capfd.readouterr().err
