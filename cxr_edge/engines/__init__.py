"""Engines that run a model file on a CPU, behind one small interface.

An engine is opened with the bytes of a file that was already hashed, checks that the file fits
the spec before the first image, and answers batches. To add one: a module with a subclass of
:class:`Engine`, and a row in :data:`ENGINES`.
"""

from __future__ import annotations

import abc
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from cxr_edge.decision import Scores
from cxr_edge.errors import EngineError, MissingExtraError, UsageError, unknown_name
from cxr_edge.extras import is_installed
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

Format = Literal["onnx", "tflite"]
Output = Literal["scores", "heatmap"]
"""What a file answers: scores, and a heat map where its manifest declares one."""
Heatmaps = npt.NDArray[np.float32]
"""(N, rows, columns): evidence for the positive label by position, in units of its log-odds."""

# onnxruntime never gives back what its largest batch took: 308 MB after one of 64 images, 107 MB
# after one; more than some images at once are no faster on a CPU.
_LARGEST_BATCH = 8

SCORES: tuple[Output, ...] = ("scores",)
"""What every file answers, and most files nothing else."""


class Engine(abc.ABC):
    """One model, loaded. Safe to call from several threads; not from a forked child."""

    name: ClassVar[str]
    """What the engine is called in manifests, results and options."""

    def __init__(self, spec: ModelSpec, outputs: tuple[Output, ...] = SCORES) -> None:
        self._spec = spec
        self._declared = outputs
        self._process = os.getpid()
        self._fixed_batch = True

    def run(self, batch: Batch) -> Scores:
        """Answer a batch.

        Args:
            batch: (N, height, width, channels) float32 from :func:`cxr_edge.preprocess.normalize`.

        Returns:
            (N, spec.outputs) float32, exactly as the network answers. Each row equals the answer
            to its image alone: a file with a fixed batch of one is called N times, any other for a
            few images at a time.

        Raises:
            EngineError: the engine failed, or this process was forked after loading.
        """
        return self._answer(batch, 1)[0]

    def explain(self, batch: Batch) -> tuple[Scores, Heatmaps]:
        """Answer a batch, and say what moved the scores.

        Args:
            batch: as for :meth:`run`.

        Returns:
            The scores, and (N, rows, columns) float32 heat maps.

        Raises:
            EngineError: the file has no heat map, the engine failed, a map is not finite, or this
                process was forked after loading.
        """
        if "heatmap" not in self._declared:
            raise EngineError("the file answers no heat map; the bundle's onnx-explain does")
        scores, heatmaps = self._answer(batch, 2)
        if not np.isfinite(heatmaps).all():
            raise EngineError("the model answered a heat map that is not finite; export it again")
        return scores, heatmaps

    def _answer(self, batch: Batch, count: int) -> list[npt.NDArray[np.float32]]:
        """The first outputs for a batch of any size."""
        if os.getpid() != self._process:  # a session's threads do not survive a fork: it would hang
            raise EngineError(
                f"the model was loaded in process {self._process} and this is a fork of it; "
                "load it in the process that uses it, or start workers with 'spawn'"
            )
        step = 1 if self._fixed_batch else _LARGEST_BATCH
        if len(batch) <= step:
            return list(self._invoke(batch, count))
        parts = [self._invoke(batch[i : i + step], count) for i in range(0, len(batch), step)]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    @abc.abstractmethod
    def _invoke(self, batch: Batch, count: int) -> Sequence[npt.NDArray[np.float32]]:
        """Answer a batch of a size that the file takes with the first ``count`` outputs."""

    def _check_contract(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        """Compare a file's inputs and outputs with the spec; sets the batch rule.

        Raises:
            EngineError: another number, shape or type of inputs or outputs.
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
                    f"the model's {port.name} is {port.dtype} {port.shape}, the manifest says "
                    f"{name}, float32 (1, rows, columns)"
                )
        self._fixed_batch = inputs[0].shape[:1] == (1,)
        for port, wanted in (
            (inputs[0], self._spec.input_shape),
            (outputs[0], (self._spec.outputs,)),
        ):
            batch_is_right = port.shape[:1] in ((1,), (None,))
            number_is_right = port.dtype == "float32" or (port.dtype == "int8" and port.scale > 0)
            if not number_is_right or port.shape[1:] != wanted or not batch_is_right:
                raise EngineError(
                    f"the model's {port.name} is {port.dtype} {port.shape}, "
                    f"the spec says float32 {(1, *wanted)}"
                )


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model file."""

    name: str
    """What messages call it."""
    dtype: str
    """numpy's name of the type of its elements."""
    shape: tuple[int | None, ...]
    """Its dimensions; None where any size is taken."""
    scale: float = 0.0
    """Of an integer: the number that a step stands for; 0 where it says none."""
    zero_point: int = 0
    """Of an integer: the one that stands for zero."""

    def quantize(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """The numbers that the port takes for these values, the nearest ones."""
        if self.dtype == "float32":
            return values
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        return np.asarray(steps.clip(-128, 127), np.int8)

    def dequantize(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """The values that the port's numbers stand for."""
        if self.dtype == "float32":
            return np.asarray(values, np.float32)
        steps = values.astype(np.float32) - np.float32(self.zero_point)
        return steps * np.float32(self.scale)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Where an engine is found."""

    module: str
    """The module here that implements it."""
    package: str
    """The module that it needs."""
    distribution: str
    """The package that brings that module."""
    extra: str | None
    """The extra that brings the package; None: part of the base install."""
    formats: tuple[Format, ...]
    """The files it runs."""

    @property
    def install(self) -> str:
        """The command that brings the package."""
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
}
"""Every engine by name, the default first."""


def installed_engines() -> tuple[str, ...]:
    """Names of the engines whose package is installed here."""
    return tuple(name for name, info in ENGINES.items() if is_installed(info.package))


def suits(target: str) -> bool:
    """Whether this machine computes a file for ``target`` rightly; see ``manifest.Target``.

    Files for any machine are right on all of them. The others hold weights of 8 bits, whose sums
    saturate on x86 without VNNI.
    """
    if target in ("any", "portable"):
        return True
    from cxr_edge.engines.onnxruntime import sums_are_exact

    return sums_are_exact()


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
        spec: the contract that the file must fulfil.
        threads: threads for one inference, at least 1.
        outputs: what the file is declared to answer; it must have these and no others.

    Raises:
        UsageError: no engine has that name, or ``threads`` is below 1.
        MissingExtraError: the engine's package is not installed.
        EngineError: the engine refuses the file, or the file does not fit the spec.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if threads < 1:
        raise UsageError(f"threads is {threads}, expected at least 1")
    info = ENGINES[name]
    if not is_installed(info.package):
        raise MissingExtraError(f"the engine {name} needs {info.package}; {info.install} brings it")
    module = importlib.import_module(info.module)
    engine: Engine = module.open_model(model, spec, threads, outputs)
    return engine
