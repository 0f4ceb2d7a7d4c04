"""Optional packages: what is missing is named, with the extra that brings it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cxr_edge import extras
from cxr_edge.errors import MissingExtraError
from cxr_edge.extras import check_keras, package_version, quiet_stderr, require, require_keras
from cxr_edge.reporting import listening


def test_an_installed_module_is_imported() -> None:
    assert require("json", "report").dumps([1]) == "[1]"


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_a_missing_module_names_its_extra(module: str) -> None:
    with pytest.raises(MissingExtraError, match=r"^no_such_package is not .*cxr-edge\[report\]"):
        require(module, "report")


def test_a_package_that_an_installed_module_needs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import needs")  # its name begins like the other's
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingExtraError, match=r"^needs, which needs_more needs, is not installed"
    ):
        require("needs_more", "report")
    assert "needs_more" not in sys.modules


def test_an_error_passes_where_stderr_is_closed_to_native_code() -> None:
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 2)
    try:
        with pytest.raises(MissingExtraError, match="of the block"), quiet_stderr():
            os.write(2, b"noise")
            raise MissingExtraError("of the block")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def test_the_version_of_a_package_that_is_not_installed_is_none() -> None:
    assert package_version("no-such-package") is None
    assert package_version("numpy")


def test_a_missing_module_is_named_as_pip_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.metrics", raising=False)
    with pytest.raises(MissingExtraError, match=r"^scikit-learn is not installed; run: pip"):
        require("sklearn.metrics", "evaluate")


def test_a_slow_import_is_announced_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(extras, "require", lambda module, extra: events.append(module))
    with listening(events.append):
        require_keras("train")
    assert events == ["loading TensorFlow …", "tensorflow", "keras"]
    require_keras("train")
    assert len(events) == 5  # nobody listens any more


@pytest.mark.parametrize(
    ("machine", "users", "expected"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)],
)
def test_tensorflow_uses_onednn_on_every_x86_unless_the_user_says_no(
    monkeypatch: pytest.MonkeyPatch, machine: str, users: str | None, expected: str | None
) -> None:
    name = "TF_ENABLE_ONEDNN_OPTS"
    monkeypatch.setenv(name, users or "")  # so that the change below is undone
    if users is None:
        monkeypatch.delenv(name)
    named = os.uname_result(("Linux", "host", "6.1", "#1", machine))
    monkeypatch.setattr(os, "uname", lambda: named)
    require_keras("train")
    assert os.environ.get(name) == expected


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_backend_chosen_keras_runs_on_tensorflow(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    imported: list[str] = []
    monkeypatch.setenv("KERAS_BACKEND", value or "")
    if value is None:
        monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(extras, "require", lambda module, extra: imported.append(module))
    require_keras("train")
    assert imported == ["tensorflow", "keras"]
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_a_backend_that_no_extra_brings_is_not_said_to_come_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "no_such_backend")
    with pytest.raises(MissingExtraError, match=r"^cxr-edge train needs .* unset KERAS_BACKEND$"):
        check_keras(user="cxr-edge train", extra="train")
