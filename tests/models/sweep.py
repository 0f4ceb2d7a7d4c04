"""Networks of the zoo, trained, exported and written down: ``python sweep.py FOLDER NAME...``.

``float`` among the names leaves out the integer files. Each network's outcome is a JSON in FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FLOAT = ("onnx-fp32", "tflite-fp32")
INTEGERS = ("onnx-int8", "tflite-int8-dynamic")
"""The second only for large networks: its converter quantizes layers of 1024 weights and more."""
SECONDS, SECONDS_LARGE = 2.0, 15.0
"""How long a network is trained, small or of an application."""
_IMAGES = 48
"""Drawn images to calibrate with, and as many to choose recipes by."""


@dataclass
class Outcome:
    """What became of one network."""

    name: str
    kind: str
    sources: str
    """Hash of the code that exported it."""
    parameters: int = 0
    deltas: dict[str, float] = field(default_factory=dict)
    """The largest difference of a score by ``ARTIFACT on ENGINE``."""
    of_unchanged: dict[str, float] = field(default_factory=dict)
    """Time of an artifact as a share of the unchanged network's float32 ONNX."""
    refusals: dict[str, str] = field(default_factory=dict)
    """The line of each refused artifact; ``all``: of the model."""
    integers: bool = True
    """Whether integer files were tried."""
    failure: str = ""
    """A traceback, or that time ran out; empty: none."""


def sources(kind: str) -> str:
    """Hash of everything that decides an outcome: an older one is made again."""
    paths: list[Path] = [*ROOT.glob("export/**/*.py"), *ROOT.glob("cxr_edge/original/*.py")]
    paths += [ROOT / "tests/models/zoo" / f"{kind}.py", ROOT / "tests/models/prepared.py"]
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(name: str, *, integers: bool) -> Outcome:
    """Train one network and export it to each artifact."""
    from prepared import save
    from zoo import kinds

    ((kind, case),) = [(k, c) for k, cases in kinds().items() for c in cases if c.name == name]
    outcome = Outcome(name, kind, sources(kind), integers=integers)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seconds = SECONDS_LARGE if kind == "applications" else SECONDS
        path, spec, model = save(case, folder, seconds=seconds)
        outcome.parameters = model.count_params()
        images = {
            "calibration": _draw(folder / "calibration", spec, 200_000),
            "validation": _draw(folder / "validation", spec, 300_000),
        }
        names = (*FLOAT, *INTEGERS[: 2 if kind == "applications" else 1]) if integers else FLOAT
        _export(path, spec, names, images if integers else {}, outcome)
    return outcome


def _draw(folder: Path, spec: Any, first: int) -> Path:
    """A folder of images like those of the training."""
    import cv2
    from prepared import marked

    folder.mkdir()
    pictures, classes = marked(spec, first, _IMAGES)
    for number, (picture, label) in enumerate(zip(pictures, classes, strict=True)):
        cv2.imwrite(str(folder / f"{number:03}-{label}.png"), picture[..., ::-1])
    return folder


def _export(
    path: Path, spec: Any, names: tuple[str, ...], images: dict[str, Path], outcome: Outcome
) -> None:
    """Export a network; how far the scores of each file differ, or the line that refuses it."""
    from cxr_edge.errors import CxrEdgeError
    from cxr_edge.export.artifacts import find_kinds
    from cxr_edge.export.pipeline import export, original_of_run
    from cxr_edge.export.request import ExportRequest
    from cxr_edge.original.run_folder import UNKNOWN, Run
    from cxr_edge.reporting import Silent

    request = ExportRequest(named=frozenset(names), golden_pool=64, **images)
    try:
        original = original_of_run(Run(path, spec, UNKNOWN))
        manifest, report = export(
            original, path.parent / "bundle", find_kinds(names), request, Silent()
        )
    except CxrEdgeError as err:
        outcome.refusals["all"] = str(err).replace(str(path), path.name)
        return
    for written in manifest.artifacts:
        for engine in written.engines:
            key = f"{written.name} on {engine.engine}"
            outcome.deltas[key] = engine.golden.max_abs_delta
    for missing in report.failed:
        outcome.refusals[missing.name] = missing.why
    for artifact in report.artifacts:
        if artifact.speed.of_stock is not None:
            outcome.of_unchanged[artifact.name] = artifact.speed.of_stock


def row_of(folder: Path, name: str) -> Path:
    """Where the outcome of a network is kept."""
    return folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)}.json"


def read(path: Path) -> Outcome | None:
    """The outcome that was written last."""
    return Outcome(**json.loads(path.read_bytes())) if path.is_file() else None


def is_current(outcome: Outcome) -> bool:
    """Whether it is an answer, of the code as it is now."""
    return not outcome.failure and outcome.sources == sources(outcome.kind)


def write(outcome: Outcome, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(outcome), indent=1))


def main(out: str, *names: str) -> None:
    from zoo import kinds

    for name in names:
        if name == "float":
            continue
        try:
            outcome = run(name, integers="float" not in names)
        except Exception:  # whatever it is: the sweep shows it
            kind = next(k for k, cases in kinds().items() if name in {case.name for case in cases})
            outcome = Outcome(name, kind, "", failure=traceback.format_exc())
        write(outcome, row_of(Path(out), name))


if __name__ == "__main__":
    main(*sys.argv[1:])
