"""The documents: read as they were written, refused where they differ, no training stack."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cxr_edge import documents
from cxr_edge.errors import DataError
from cxr_edge.metrics.evaluation import read_evaluation, read_seeds


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("labels", ["BINARY_SPEC", "THREE_SPEC"])
def test_a_document_survives_its_file(drawn, tmp_path, labels, complete):
    document = drawn.draw_document(getattr(drawn, labels), complete=complete)
    path = tmp_path / "evaluation.json"
    path.write_bytes(documents.dump(document))
    assert read_evaluation(path) == document


def test_seeds_survive_their_file(drawn, tmp_path):
    path = tmp_path / "seeds.json"
    path.write_bytes(documents.dump(drawn.draw_seeds()))
    assert read_seeds(path) == drawn.draw_seeds()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "cxr-edge.evaluation/99"}, "schema"),
        ({"colour": 1}, "unknown key"),
        ({"parts": None}, "parts"),
    ],
)
def test_another_version_and_unknown_keys_are_refused(drawn, tmp_path, change, words):
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(json.loads(documents.dump(drawn.draw_document())) | change))
    with pytest.raises(DataError, match=words):
        read_evaluation(path)


def test_reading_a_document_imports_no_training_stack():
    code = (
        "import sys, cxr_edge.metrics.evaluation, cxr_edge.report.evaluation.text; "
        "heavy = {'keras', 'tensorflow', 'sklearn', 'scipy', 'matplotlib', 'cv2', 'onnxruntime'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
