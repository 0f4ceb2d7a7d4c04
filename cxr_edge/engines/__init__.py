"""Inference engines: run a model file on a CPU behind one interface.

::

    onnxruntime   ONNX; the default, part of the base install
    litert        TFLite; extra ``litert``
    openvino      ONNX; extra ``openvino``
    ncnn          our own file of ncnn's two; extra ``ncnn``

An engine takes the bytes of a file whose hash was already checked, compares the file's inputs and
outputs with the spec when it loads, and runs batches. To add one, write a module with a subclass
of :class:`Engine` and an ``open_model`` function, and add a row to :data:`ENGINES`. No engine is
imported before it is opened. Each first checks the file's bytes (:mod:`.onnx_file`,
:mod:`.tflite_file`, :mod:`.ncnn_file`), so that no file makes it open others.
"""

from __future__ import annotations

import abc
import importlib
import os
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from cxr_edge.decision import Scores
from cxr_edge.device import forks
from cxr_edge.device.machine import check_threads, is_arm64
from cxr_edge.errors import EngineError, MissingExtraError, unknown_name
from cxr_edge.extras import is_installed
from cxr_edge.files import printable
from cxr_edge.preprocess import Batch
from cxr_edge.records import dataclass
from cxr_edge.spec import ModelSpec

Format = Literal["onnx", "tflite", "ncnn"]
Output = Literal["scores", "heatmap"]
"""An output of a model file: the scores, or a heat map where the manifest declares one."""
Heatmaps = npt.NDArray[np.float32]
"""(N, rows, columns): evidence for the positive label by position, in units of its log-odds."""

# onnxruntime never frees the memory of its largest batch: 308 MB after 64 images, 107 MB after one.
# Larger batches are no faster on a CPU.
_LARGEST_BATCH = 8

SCORES: tuple[Output, ...] = ("scores",)
"""The outputs of an ordinary model file."""


class Engine(abc.ABC):
    """A loaded model. Thread-safe; must not be used in a forked child process."""

    name: ClassVar[str]
    """The engine's name in manifests, results and command-line options."""

    def __init__(self, spec: ModelSpec, outputs: tuple[Output, ...] = SCORES) -> None:
        self._spec = spec
        self._declared = outputs
        self._process = os.getpid()
        self._fixed_batch = True
        forks.keep_in_children(self)

    def run(self, batch: Batch) -> Scores:
        """Compute the scores of a batch.

        Args:
            batch: (N, height, width, channels) float32 from :func:`cxr_edge.preprocess.normalize`.

        Returns:
            (N, spec.outputs) float32, the network's raw output. A row does not depend on the other
            images: a file with a fixed batch of one runs N times, any other in small batches.

        Raises:
            EngineError: the engine failed, or this process was forked after loading.
        """
        return self._run_all(batch, 1)[0]

    def explain(self, batch: Batch) -> tuple[Scores, Heatmaps]:
        """Compute the scores of a batch and the heat maps that explain them.

        Args:
            batch: as for :meth:`run`.

        Returns:
            The scores, and (N, rows, columns) float32 heat maps.

        Raises:
            EngineError: the file has no heat map, the engine failed, a map is not finite, or this
                process was forked after loading.
        """
        if "heatmap" not in self._declared:
            raise EngineError("the model has no heat map output; use the bundle's onnx-explain")
        scores, heatmaps = self._run_all(batch, 2)
        if not np.isfinite(heatmaps).all():
            raise EngineError("the model's heat map contains NaN or infinity; export it again")
        return scores, heatmaps

    def _run_all(self, batch: Batch, count: int) -> list[npt.NDArray[np.float32]]:
        """Compute the first ``count`` outputs for a batch of any size."""
        if os.getpid() != self._process:  # a session's threads do not survive a fork: it would hang
            raise EngineError(
                f"the model was loaded in process {self._process} and this is a fork of it; "
                "load it in the process that uses it, or start workers with 'spawn'"
            )
        step = 1 if self._fixed_batch else _LARGEST_BATCH
        if len(batch) <= step:
            return list(self._invoke(batch, count))
        parts = [self._invoke(batch[i : i + step], count) for i in range(0, len(batch), step)]
        return [np.concatenate(output) for output in zip(*parts, strict=True)]

    @abc.abstractmethod
    def _invoke(self, batch: Batch, count: int) -> Sequence[npt.NDArray[np.float32]]:
        """Compute the first ``count`` outputs for a batch of a size that the file accepts."""

    def _check_contract(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        """Compare a file's inputs and outputs with the spec; note whether its batch size is fixed.

        Raises:
            EngineError: the number, shape or type of inputs or outputs differs from the spec.
        """
        if len(inputs) != 1 or len(outputs) != len(self._declared):
            raise EngineError(
                f"the model has {len(inputs)} inputs and {len(outputs)} outputs, expected 1 and "
                f"{len(self._declared)}: {', '.join(self._declared)}"
            )
        for port, name in zip(outputs[1:], self._declared[1:], strict=True):
            fits = len(port.shape) == 3 and port.shape[0] in (1, None) and all(port.shape[1:])
            if port.name != name or port.dtype != "float32" or not fits:
                raise EngineError(
                    f"the model's output {port.name} is {port.dtype} {port.shape}, the manifest "
                    f"says {name}, float32 (1, rows, columns)"
                )
        self._fixed_batch = inputs[0].shape[:1] == (1,)
        for port, shape in (
            (inputs[0], self._spec.input_shape),
            (outputs[0], (self._spec.outputs,)),
        ):
            batch_fits = port.shape[:1] in ((1,), (None,))
            type_fits = port.dtype == "float32" or (port.dtype == "int8" and port.scale > 0)
            if not type_fits or port.shape[1:] != shape or not batch_fits:
                raise EngineError(
                    f"the model's {port.name} is {port.dtype} {port.shape}, "
                    f"the spec says float32 {(1, *shape)}"
                )


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model file."""

    name: str
    """The tensor's name in the file."""
    dtype: str
    """numpy's name of the element type."""
    shape: tuple[int | None, ...]
    """Dimensions; None where any size is accepted."""
    scale: float = 0.0
    """Quantization scale of an integer tensor; 0: the file gives none."""
    zero_point: int = 0
    """Quantization zero point of an integer tensor."""

    def quantize(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """Convert float32 values to the tensor's type, rounding to nearest, clipped to int8."""
        if self.dtype == "float32":
            return values
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        return np.asarray(steps.clip(-128, 127), np.int8)

    def dequantize(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Convert the tensor's values to float32."""
        if self.dtype == "float32":
            return np.asarray(values, np.float32)
        steps = values.astype(np.float32) - np.float32(self.zero_point)
        return steps * np.float32(self.scale)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Where an engine's code is, and how to install it."""

    module: str
    """Our module that implements the engine."""
    package: str
    """The third-party module that it imports."""
    distribution: str
    """The third-party module's name on the package index."""
    extra: str | None
    """Our extra that installs it; None: part of the base install."""
    formats: tuple[Format, ...]
    """The file formats that the engine runs."""

    @property
    def install(self) -> str:
        """The command that installs the engine."""
        return f"pip install 'cxr-edge[{self.extra}]'" if self.extra else "pip install cxr-edge"


ENGINES = {
    "onnxruntime": EngineInfo(
        "cxr_edge.engines.onnxruntime", "onnxruntime", "onnxruntime", None, ("onnx",)
    ),
    "litert": EngineInfo(
        "cxr_edge.engines.litert", "ai_edge_litert", "ai-edge-litert", "litert", ("tflite",)
    ),
    "openvino": EngineInfo(
        "cxr_edge.engines.openvino", "openvino", "openvino", "openvino", ("onnx",)
    ),
    "ncnn": EngineInfo("cxr_edge.engines.ncnn", "ncnn", "ncnn", "ncnn", ("ncnn",)),
}
"""Every engine by name, the default first."""


def reason_of(err: BaseException, line: int = 0) -> str:
    """What an engine's exception says, on one line of at most 300 characters.

    Args:
        err: any exception; of a message that is not UTF-8 it is the UnicodeDecodeError.
        line: which line of the message says the reason.
    """
    text = str(err)
    if isinstance(err, UnicodeDecodeError):
        text = bytes(err.object).decode("utf-8", "backslashreplace")
    lines = text.strip().splitlines() or [type(err).__name__]
    return printable(lines[line].strip())[:300]


def installed_engines() -> tuple[str, ...]:
    """Names of the engines whose package is installed, the default first."""
    return tuple(name for name, info in ENGINES.items() if is_installed(info.package))


def suits(target: str) -> bool:
    """Whether this machine gives correct results for a file made for ``target``.

    Args:
        target: the artifact's ``target`` in the manifest; see ``cxr_edge.bundle.manifest.Target``.
    """
    return not why_unsuited(target)


def why_unsuited(target: str) -> str:
    """Why a file made for ``target`` must not run on this machine; empty: it may.

    Files for "any" and "portable" are correct everywhere. Those with 8-bit weights saturate on x86
    CPUs without VNNI. Those for 16-bit floats are for arm64: a core without that arithmetic
    computes them in float32, while x86 imitates it with other rounding, which proves nothing.

    Args:
        target: as for :func:`suits`.
    """
    if target in ("any", "portable"):
        return ""
    if target == "arm64-fp16":
        return "" if is_arm64() else "this CPU is not arm64, whose 16-bit arithmetic it is for"
    from cxr_edge.engines.onnxruntime import sums_are_exact

    if sums_are_exact():
        return ""
    return "this CPU saturates sums of 8-bit products and would score wrongly"


def open_engine(
    name: str,
    model: bytes,
    spec: ModelSpec,
    *,
    threads: int = 1,
    outputs: tuple[Output, ...] = SCORES,
) -> Engine:
    """Load a model file into an engine.

    Args:
        name: a key of :data:`ENGINES`.
        model: the file's bytes, already checked against the manifest.
        spec: input shape and number of outputs that the file must have.
        threads: threads for one inference, from 1 to the CPUs that this process may use.
        outputs: the outputs that the manifest declares; the file must have these and no others.

    Raises:
        UsageError: no engine has that name, or ``threads`` is out of range.
        MissingExtraError: the engine's package is not installed.
        EngineError: the engine cannot load the file, or the file does not fit the spec.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    check_threads(threads)
    info = ENGINES[name]
    if not is_installed(info.package):
        raise MissingExtraError(
            f"the engine {name} needs {info.distribution}, which is not installed; "
            f"install it with {info.install}"
        )
    with forks.without_forks():
        module = importlib.import_module(info.module)
        engine: Engine = module.open_model(model, spec, threads, outputs)
    return engine
