"""Optional packages: imported by the command that needs them, or reported by name when absent."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from cxr_edge.device import temporary
from cxr_edge.device.forks import without_forks
from cxr_edge.device.machine import is_x86
from cxr_edge.errors import MissingExtraError
from cxr_edge.reporting import announce

_DISTRIBUTIONS = {
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "paho": "paho-mqtt",
    "PIL": "pillow",
    "prometheus_client": "prometheus-client",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}
"""Modules whose package has another name on the package index."""

_DEFAULT_BACKEND = "tensorflow"
_BACKENDS = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtraError: it, or a package that it imports, is not installed; the message names
            the extra to install.
    """
    try:
        with without_forks():
            return importlib.import_module(module)
    except ModuleNotFoundError as err:
        missing = distribution_of(err.name or module)
        wanted = distribution_of(module)
        needed = "" if missing == wanted else f", which {wanted} needs,"
        raise MissingExtraError(
            f"{missing}{needed} is not installed; run: pip install 'cxr-edge[{extra}]'"
        ) from err


def distribution_of(module: str) -> str:
    """Name on the package index of the package that a module belongs to."""
    top = module.partition(".")[0]
    return _DISTRIBUTIONS.get(top, top)


def require_installed(modules: Sequence[str], extra: str, *, user: str) -> None:
    """Refuse at once what would lack a package later; nothing is imported.

    Args:
        modules: top-level modules.
        extra: brings all of them.
        user: what needs them, such as ``cxr-edge train``.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    if missing := [distribution_of(name) for name in modules if not is_installed(name)]:
        *others, last = missing
        names = f"{', '.join(others)} and {last}" if others else last
        verb = "are" if others else "is"
        raise MissingExtraError(
            f"{user} needs {names}, which {verb} not installed; "
            f"run: pip install 'cxr-edge[{extra}]'"
        )


def check_keras(*, user: str, extra: str) -> None:
    """Refuse what would lack Keras or its backend later; neither is imported.

    Args:
        user: what needs Keras, such as ``cxr-edge train``.
        extra: brings it.

    Raises:
        MissingExtraError: Keras or its backend is not installed.
    """
    backend = _backend()
    if backend != _DEFAULT_BACKEND and not is_installed(backend):
        raise MissingExtraError(
            f"{user} needs {distribution_of(backend)}, which is not installed, since KERAS_BACKEND "
            f"is {backend}; install it, or unset KERAS_BACKEND"
        )
    require_installed(["keras", backend], extra, user=user)


def _backend() -> str:
    """The backend that the user chose; an empty variable chooses none, as in Keras."""
    return os.environ.get("KERAS_BACKEND") or _DEFAULT_BACKEND


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None


def require_keras(extra: str) -> Any:
    """Import Keras quietly, without files in the home folder.

    Keras and its backends write settings and caches below HOME when imported, and TensorFlow logs
    to stderr; both are prevented. ``KERAS_BACKEND`` is respected; its default is TensorFlow.

    Raises:
        MissingExtraError: Keras or its backend is not installed.
    """
    _redirect_home_writes()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if is_x86(os.uname().machine):
        # TensorFlow's own default without VNNI is 0, which makes a training step there 1.5 times as
        # long (benchmarks/training_step.py). Read when TensorFlow is imported.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    backend = os.environ["KERAS_BACKEND"] = _backend()
    if "keras" in sys.modules:
        return sys.modules["keras"]
    announce(f"loading {_BACKENDS.get(backend, backend)} …")
    with quiet_stderr():
        require(backend, extra)
        return require("keras", extra)


def require_tensorflow(extra: str) -> tuple[Any, Any]:
    """Import Keras with the TensorFlow backend, which exporting needs.

    Returns:
        The modules keras and tensorflow.

    Raises:
        MissingExtraError: TensorFlow is not installed, or Keras runs on another backend.
    """
    keras = require_keras(extra)
    if keras.backend.backend() != "tensorflow":
        raise MissingExtraError(
            f"exporting needs Keras on TensorFlow, but KERAS_BACKEND is "
            f"{keras.backend.backend()}; unset it"
        )
    return keras, require("tensorflow", extra)


def package_version(name: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    import importlib.metadata  # takes 10 ms, which most starts do not need

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def without_logs(*names: str) -> Iterator[None]:
    """Silence loggers while the block runs: converters call deprecated functions of TensorFlow."""
    import logging  # takes 3 ms, which most starts do not need

    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what native code writes to stderr while the block runs, unless the block fails.

    TensorFlow logs before it reads its log level, and its converters ignore it. The redirected
    file descriptor belongs to the whole process, so use this in single-threaded commands only.
    """
    import tempfile

    if sys.stderr is not None:  # None in a program without a console
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except Exception:
            captured.seek(0)
            with contextlib.suppress(OSError):  # the command line has closed it to native code
                os.write(stderr, captured.read())
            raise
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def _redirect_home_writes() -> None:
    """Send what Keras and matplotlib write when imported to a folder deleted at exit.

    Keras imports matplotlib where it is installed, so exports need both.
    """
    folder = str(temporary.process_folder())
    os.environ.setdefault("KERAS_HOME", folder)
    os.environ.setdefault("MPLCONFIGDIR", folder)
    temporary.redirect_libraries()
