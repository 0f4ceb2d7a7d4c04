"""Optional packages: what is missing is named, with the extra that brings it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cxr_edge.errors import MissingExtraError
from cxr_edge.extras import package_version, require


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


def test_the_version_of_a_package_that_is_not_installed_is_none() -> None:
    assert package_version("no-such-package") is None
    assert package_version("numpy")
