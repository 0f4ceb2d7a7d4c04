"""Optional packages: imported inside the command that needs them, or named in a plain message."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from cxr_edge.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtraError: it is not installed; the message says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        if err.name is None or not module.startswith(err.name):
            raise
        raise MissingExtraError(
            f"{module} is not installed; pip install 'cxr-edge[{extra}]' brings it"
        ) from err


def is_installed(module: str) -> bool:
    """Whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def require_keras(extra: str) -> Any:
    """Import Keras with its backend quiet and without a trace in the home folder.

    Keras and its backends write settings and caches below HOME at import, and TensorFlow logs to
    stderr; both are told otherwise first. ``KERAS_BACKEND`` is respected, TensorFlow by default.

    Raises:
        MissingExtraError: Keras or its backend is not installed.
    """
    _leave_home_alone()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "keras" in sys.modules:
        return sys.modules["keras"]
    with quiet_stderr():
        require(backend, extra)
        return require("keras", extra)


def require_tensorflow(extra: str) -> tuple[Any, Any]:
    """Import Keras on TensorFlow, which the exporters build on, as (keras, tensorflow).

    Raises:
        MissingExtraError: TensorFlow is not installed, or Keras runs on another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    keras = require_keras(extra)
    if keras.backend.backend() != "tensorflow":
        raise MissingExtraError(
            f"exporting needs Keras on TensorFlow; unset KERAS_BACKEND={keras.backend.backend()}"
        )
    return keras, require("tensorflow", extra)


def package_version(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    import importlib.metadata  # 10 ms that a start without a profile does not need

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what native code writes to stderr; shown after all when the block fails.

    TensorFlow logs before its log level is read, and its converters whatever it is. The file
    descriptor is the whole process's, so this is for single-threaded commands.
    """
    import tempfile

    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)


def require_figure(extra: str) -> Any:
    """Import ``matplotlib.figure.Figure``, which draws without a window or global state.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    _leave_home_alone()
    return require("matplotlib.figure", extra).Figure


@functools.cache
def _leave_home_alone() -> None:
    """Give what libraries insist on writing at import a folder that goes when the process ends.

    Keras imports matplotlib where it is installed, so an export needs this too.
    """
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="cxr-edge-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.setdefault("KERAS_HOME", folder)
    os.environ.setdefault("MPLCONFIGDIR", folder)
