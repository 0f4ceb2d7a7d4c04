"""A benchmark as one call, for Python and for ``cxr-edge benchmark``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cxr_edge.device.machine import check_threads
from cxr_edge.errors import UsageError, unknown_name
from cxr_edge.files import PathLike, optional_path, printable
from cxr_edge.reporting import Reporter, Silent

if TYPE_CHECKING:
    from cxr_edge.benchmark.report import Report
    from cxr_edge.benchmark.runner import BenchmarkRequest
    from cxr_edge.spec import Decoding

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A finished benchmark."""

    report: Report
    """A row for each exported file, engine and baseline; the notes about them."""
    report_file: Path | None
    """The report as JSON; None: nothing was written."""
    page: Path | None
    """The report for people; None: nothing was written, or the extra ``report`` is missing."""


def benchmark_bundle(
    bundle: PathLike | None = None,
    out: PathLike | None = None,
    *,
    images: PathLike | None = None,
    keras: PathLike | None = None,
    baselines: bool = True,
    stock: PathLike | None = None,
    threads: Sequence[int] = (1,),
    rounds: int = 100,
    decode: Decoding | None = None,
    suite: PathLike | None = None,
    label: str = "",
    command: str = "cxr_edge.benchmark_bundle, called from Python",
    reporter: Reporter | None = None,
) -> BenchmarkResult:
    """Measure every file of a bundle on every engine here: time, start, memory, parity.

    All rows take turns in this process, so that drift cancels; starts and memory are measured in
    processes of their own. A row that fails says why and does not end the benchmark.
    :func:`cxr_edge.benchmark.compare.compare_reports` compares two reports.

    Args:
        bundle: folder of an export; None: the bundled reference.
        out: folder for ``report.json``, ``report.md`` and, with the extra ``report``,
            ``report.html``; None: nothing is written.
        images: images, or a folder of them for each label, to compare answers and to time on; None:
            the bundle's golden inputs and drawn files.
        keras: the original model; None: the bundle's own.
        baselines: run Keras and stock conversions too, where TensorFlow is installed.
        stock: file of the stock float32 ONNX that rows are compared with: read if it is there, else
            made where TensorFlow is installed, and kept for another machine; None: not kept.
        threads: threads for one inference, several counts to compare, each at most the CPUs that
            this process may use; 1 is always among them.
        rounds: timing rounds of each row, at least 2; of three inferences each, and a p99 needs
            300.
        decode: how JPEG files are decoded; None: by the bundle's default.
        suite: output of ``make bench``, to show in the report.
        label: what to call this run beside others, at most 40 characters.
        command: what the report says that it was made by.
        reporter: shows messages and progress; None: nothing is shown.

    Raises:
        UsageError: an argument is wrong, or ``images`` holds none that can be read.
        ModelError: the bundle or the model ``keras`` cannot be used.
        BenchmarkError: ``suite`` or ``stock`` cannot be read.
        MissingExtraError: ``keras`` is given and TensorFlow is not installed.
        OutputError: ``out`` cannot be written.
    """
    from cxr_edge.benchmark.runner import BenchmarkRequest, run_benchmark
    from cxr_edge.benchmark.suite import read_suite
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.extras import check_keras
    from cxr_edge.files import check_writable
    from cxr_edge.spec import Decoding

    if rounds < 2:
        raise UsageError(f"--rounds is {rounds}, expected at least 2")
    if decode is not None and decode not in get_args(Decoding):
        raise unknown_name("decoding", decode, get_args(Decoding))
    counts = _thread_counts(threads)
    opened, folder = Bundle.open(bundle), optional_path(out)
    if folder:
        check_writable(folder)
    request = BenchmarkRequest(
        keras=optional_path(keras),
        with_baselines=baselines,
        images=optional_path(images),
        threads=counts,
        rounds=rounds,
        decode=decode,
        stock=optional_path(stock),
        suite=read_suite(Path(suite)) if suite else (),
        label=_label(label),
        command=command,
    )
    _check_inputs(request)
    if baselines and _has_tensorflow():
        check_keras(user="cxr-edge benchmark", extra="export")
    reporter = reporter or Silent()
    report = run_benchmark(opened, request, reporter)
    if folder is None:
        return BenchmarkResult(report, None, None)
    return _write(report, folder, reporter)


def _label(label: str) -> str:
    from cxr_edge.benchmark.report_parts import MOST_LABEL_CHARACTERS

    label = label.strip()
    if len(label) > MOST_LABEL_CHARACTERS or not label.isprintable():
        raise UsageError(
            f"--label is {label!r:.60}, expected at most {MOST_LABEL_CHARACTERS} printable "
            "characters"
        )
    return label


def _thread_counts(threads: Sequence[int]) -> tuple[int, ...]:
    """In order, each once; 1 is always among them."""
    for count in threads:
        if not isinstance(count, int) or count < 1:
            raise UsageError(f"--threads has {count!r}, expected whole numbers, at least 1")
        check_threads(count)
    return tuple(sorted({1, *threads}))


def _check_inputs(request: BenchmarkRequest) -> None:
    """Refuse absent files and packages before anything is measured."""
    from cxr_edge.extras import require_installed
    from cxr_edge.files import check_parent, why_no_file

    images, keras, stock = request.images, request.keras, request.stock
    if images and not images.is_dir():
        raise UsageError(f"{printable(images)}: no such folder; expected images (--images)")
    if keras:
        if not keras.is_file():
            raise UsageError(f"{printable(keras)}: no such file; expected a model (--keras)")
        require_installed(["keras", "tensorflow"], "export", user="cxr-edge benchmark --keras")
    if stock:
        if stock.exists():
            if why := why_no_file(stock):
                raise UsageError(f"{printable(stock)}: {why}; expected an ONNX file (--stock)")
        elif not (request.with_baselines and _has_tensorflow()):
            raise UsageError(
                f"{printable(stock)}: no such file; it is made where TensorFlow is installed "
                "(--stock)"
            )
        else:
            check_parent(stock)


def _has_tensorflow() -> bool:
    from cxr_edge.extras import is_installed

    return is_installed("keras") and is_installed("tensorflow")


def _write(report: Report, folder: Path, reporter: Reporter) -> BenchmarkResult:
    """Write JSON and Markdown, which need no extra, and the page, which does."""
    from cxr_edge.benchmark.report import dump_report
    from cxr_edge.files import write_file
    from cxr_edge.report.benchmark.markdown import report_markdown
    from cxr_edge.report.documents import draw_page_beside

    file = folder / JSON_NAME
    write_file(file, dump_report(report))
    write_file(folder / MARKDOWN_NAME, report_markdown(report).encode())
    return BenchmarkResult(report, file, draw_page_beside(file, reporter))
