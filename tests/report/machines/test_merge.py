"""Runs and rows of several reports: what belongs together, and what must not be compared."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_edge.benchmark.report import dump_report
from cxr_edge.errors import BenchmarkError, UsageError
from cxr_edge.report.machines import summary
from cxr_edge.report.machines.merge import MOST_RUNS, merge_reports, read_reports


def merge(*reports):
    return merge_reports([(f"{number}.json", report) for number, report in enumerate(reports)])


def line(merged, name):
    (row,) = [row for row in merged.rows if row.name == name]
    return row


def test_rows_are_aligned_by_file_engine_and_threads_not_by_name(server, pi):
    renamed = tuple(dataclasses.replace(row, name=f"pi {row.name}") for row in pi.rows)
    moved = dataclasses.replace(pi, rows=renamed[::-1], baseline=None, layers={}, answers=())
    merged = merge(server, moved)
    exported = [row for row in merged.rows if row.rows[0] and row.rows[0].kind == "exported"]
    assert [row.name for row in exported] == [r.name for r in server.rows if r.kind == "exported"]
    for row in exported:
        first, other = row.rows
        if other is None:
            assert first.engine == "openvino"
            continue
        assert other.name == f"pi {first.name}"
        assert (first.artifact, first.engine, first.threads) == (
            (other.artifact, other.engine, other.threads)
        )


def test_equal_rows_of_one_report_are_kept_apart(server):
    twin = dataclasses.replace(server.rows[0], name="a twin")
    merged = merge(dataclasses.replace(server, rows=(*server.rows, twin)), server)
    assert len(merged.rows) == len(server.rows) + 1
    assert line(merged, "a twin").rows[1] is None


def test_times_across_machines_are_divided_by_the_first_run_s(server, pi):
    merged = merge(server, pi)
    row = line(merged, "onnx-int8, onnxruntime, 1 thread")
    assert row.ratio(0) == 1 and row.ratio(1) == pytest.approx(4)
    assert line(merged, "onnx-fp32, openvino, 1 thread").ratio(1) is None
    assert line(merged, "onnx-fp16, onnxruntime, 1 thread").ratio(1) is None  # it failed


def test_another_file_is_never_compared_though_the_row_is_called_alike(server, other_bundle):
    merged = merge(server, other_bundle)
    assert not merged.one_bundle
    assert line(merged, "onnx-int8, onnxruntime, 1 thread").ratio(1) == pytest.approx(4)
    assert line(merged, "onnx-fp32, onnxruntime, 1 thread").ratio(1) is None
    assert line(merged, "stock ONNX, onnxruntime").ratio(1) is None  # another original


def test_a_run_is_called_by_its_label_its_processor_or_its_number(server, pi):
    def names(*reports):
        return [run.name for run in merge(*reports).runs]

    labelled = dataclasses.replace(pi, label="ward 3")
    two_cpus, six_cpus = "Drawn Processor @ 2.50GHz, 2 CPUs", "Drawn Processor @ 2.50GHz, 6 CPUs"
    more = dataclasses.replace(server, machine=dataclasses.replace(server.machine, cpus=6))
    assert names(server, labelled) == [two_cpus, "ward 3"]
    assert names(server, more) == [two_cpus, six_cpus]
    assert names(server, pi, server) == [
        f"{two_cpus}, run 1",
        "Raspberry Pi 5 Model B Rev 1.0, 4 CPUs",
        f"{two_cpus}, run 2",
    ]
    assert names(labelled, labelled) == ["ward 3, run 1", "ward 3, run 2"]


# --- what is said of the differences


def test_runs_that_are_alike_have_no_differences(server, pi):
    assert summary.differences(merge(server, pi)) == []
    assert summary.title(merge(server, pi)) == "Benchmark of chest-xray-reference: 2 machines"
    assert summary.title(merge(server, server)).endswith("2 runs of one machine")


def test_different_bundles_are_said_first_and_loudly_with_their_hashes(server, other_bundle):
    merged = merge(server, other_bundle)
    assert "DIFFERENT BUNDLES" in summary.title(merged)
    assert summary.differences(merged)[0] == (
        "DIFFERENT BUNDLES (sha256 of the manifest): A 0123456789ab\u2026 (chest-xray-reference), "
        "B ffffffffffff\u2026 (chest-xray-reference); times of a file are compared only where the "
        "file is the same"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"images": "images of ward 3"}, "inputs differ: A images of test, 304 (115 NORMAL, "),
        ({"image_count": 303}, "flips and score differences are of different images"),
        ({"labels": None}, "B images of test, 304 (unlabelled)"),
        ({"decode": "exact"}, "JPEG decoding settings differ: A fast; B exact"),
        ({"rounds": 100}, "timings differ: A 6 x 50 inferences; B 100 x 50 inferences"),
    ],
)
def test_other_settings_are_said(server, pi, change, settings, words):
    (sentence,) = summary.differences(merge(server, change(pi, **settings)))
    assert words in sentence


def test_another_baseline_is_said(server, pi):
    (sentence,) = summary.differences(merge(server, dataclasses.replace(pi, baseline=None)))
    assert sentence.startswith("baselines differ: A stock ONNX, onnxruntime; B not measured")


def test_other_images_of_the_same_description_are_told_by_the_original_s_scores(server, pi):
    first, *others = pi.answers
    original = (*first.original[1:], first.original[0])
    answers = (dataclasses.replace(first, original=original), *others)
    (sentence,) = summary.differences(merge(server, dataclasses.replace(pi, answers=answers)))
    assert sentence.startswith("A and B describe their inputs alike, but the original model's")
    none = dataclasses.replace(pi, answers=())
    assert summary.differences(merge(server, none)) == []


def test_every_machine_has_its_own_facts_state_and_warnings(server, pi):
    merged = merge(server, pi)
    facts = dict(summary.facts(merged))
    assert facts["8-bit dot products"] == ["avx512_vnni", "asimddp"]
    assert facts["File"] == ["0.json", "1.json"]
    assert facts["Usable CPUs"] == ["2", "4"]
    for name in ("System", "Python", "Versions", "Before the timing", "After it", "Bundle"):
        assert len(facts[name]) == 2 and all(facts[name])
    assert summary.warnings(merged)[-1] == "B: it was throttled"
    assert ("A, tflite-int8, openvino, 1 thread", "skipped: openvino reads no int8 .tflite") in (
        summary.problems(merged)
    )


# --- files


@pytest.fixture
def write(tmp_path):
    def written(name, report):
        path = tmp_path / name
        path.write_bytes(dump_report(report))
        return path

    return written


def test_a_report_given_twice_is_refused(write, server, tmp_path):
    path = write("a.json", server)
    copy = write("b.json", server)
    copy.write_bytes(copy.read_bytes().replace(b"  ", b""))
    for other in (path, copy, tmp_path / "." / "a.json"):
        with pytest.raises(UsageError, match=r"\.json: the same report as .*a\.json"):
            read_reports([path, other])


def test_more_runs_than_colours_are_refused(write, server):
    labelled = [dataclasses.replace(server, label=str(n)) for n in range(MOST_RUNS + 1)]
    paths = [write(f"{n}.json", report) for n, report in enumerate(labelled)]
    assert len(read_reports(paths[:-1]).runs) == MOST_RUNS
    with pytest.raises(UsageError, match=f"{MOST_RUNS + 1} benchmarks, expected at most"):
        read_reports(paths)


def test_the_file_that_is_damaged_is_named(write, server):
    bad = write("bad.json", server)
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(BenchmarkError, match=r"bad\.json: not valid JSON"):
        read_reports([write("a.json", server), bad])
