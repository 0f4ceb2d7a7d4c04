"""``cxr-edge tune`` and ``doctor``: measured, stored, used by predict, deleted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cxr_edge import documents
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.machine import usable_cpus
from cxr_edge.device.profile import Profile
from cxr_edge.engines import ENGINES
from cxr_edge.errors import ProfileError

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return tmp_path / "settings"


def read(path: Path) -> Profile:
    return documents.parse(path.read_bytes(), Profile, name="profile", error=ProfileError)


def test_predict_uses_what_tune_stored_until_it_is_deleted(cli, image, exported_bundle, settings):
    environment = {"XDG_CONFIG_HOME": str(settings)}
    done = cli("tune", exported_bundle, "--rounds", "2", "-t", "1", **environment)
    assert done.returncode == 0, done.stderr
    (path,) = settings.rglob("*.json")
    profile = read(path)
    assert profile.bundle == Bundle.open(exported_bundle).manifest.sha256

    head, *rows = done.stdout.splitlines()
    assert head.split()[:3] == ["artifact", "engine", "threads"]
    assert len(rows) == 11
    (chosen,) = [line for line in rows if line.startswith("*")]
    assert chosen.split()[1:4] == [profile.artifact, profile.engine, "1"]
    assert (
        f"predict now uses {profile.artifact} on {profile.engine}, 1 thread; stored in"
        in done.stderr
    )

    predicted = cli("predict", image, "-b", exported_bundle, "-f", "json", **environment)
    (entry,) = json.loads(predicted.stdout)["results"]
    assert (entry["artifact"], entry["engine"]) == (profile.artifact, profile.engine)

    assert str(path) in cli("doctor", exported_bundle, **environment).stdout
    forgotten = cli("tune", exported_bundle, "--forget", **environment)
    assert (forgotten.returncode, forgotten.stdout) == (0, "") and not path.exists()
    again = cli("tune", exported_bundle, "--forget", **environment)
    assert again.returncode == 0 and "no such profile" in again.stderr


def test_a_profile_of_another_machine_is_ignored_with_one_line(
    cli, image, exported_bundle, tmp_path
):
    mine = tmp_path / "mine.json"
    tuned = cli("tune", exported_bundle, "--rounds", "1", "-t", "1", "--profile", mine)
    assert tuned.returncode == 0 and mine.exists()
    here = cli("predict", image, "-b", exported_bundle, "--profile", mine)
    assert (here.returncode, here.stderr.count("is ignored")) == (0, 0)
    mine.write_text(re.sub(r'"machine": "\w+"', '"machine": "elsewhere"', mine.read_text()))
    moved = cli("predict", image, "-b", exported_bundle, "--profile", mine)
    assert moved.returncode == 0
    assert "is ignored: it is for another machine" in moved.stderr
    assert moved.stderr.count("\n") == 1
    other = cli("predict", image, "--profile", mine)
    assert "is ignored: it is for another bundle" in other.stderr


def test_more_threads_than_processors_are_refused_with_their_number(in_process, image, tmp_path):
    for arguments in (
        ("predict", image),
        ("tune", "--profile", tmp_path / "p.json"),
        ("benchmark", "-o", tmp_path / "report"),
        ("evaluate", tmp_path, "--bundle", tmp_path),
    ):
        done = in_process(*arguments, "--threads", "1000")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), arguments
        assert f"threads is 1000, expected at most {usable_cpus()}: " in done.stderr
    done = in_process("predict", image, "--workers", "1000")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"workers is 1000, expected at most {4 * usable_cpus()}: " in done.stderr


def test_mistakes_are_one_line(in_process, image, exported_bundle, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    for arguments, code in (
        (("predict", image, "--profile", mine, "-b", exported_bundle), 5),
        (("predict", image, "--profile", mine, "-e", "litert"), 2),
        (("predict", image, "--decode", "quick"), 2),
        (("predict", image, "--workers", "0"), 2),
        (("tune", tmp_path / "nothing"), 5),
        (("tune", exported_bundle, "--rounds", "0"), 2),
        (("doctor", tmp_path / "nothing"), 5),
    ):
        done = in_process(*arguments)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        if code == 5:
            assert done.stderr.startswith("cxr-edge: ") and done.stderr.count("\n") == 1
    blocked = tmp_path / "file"
    blocked.write_text("")
    unwritable = blocked / "profile.json"
    done = in_process("tune", exported_bundle, "--rounds", "1", "-t", "1", "--profile", unwritable)
    assert done.returncode == 6 and str(unwritable) in done.stderr


def test_another_file_is_neither_replaced_nor_deleted(in_process, image, exported_bundle, tmp_path):
    precious = tmp_path / "precious.json"
    precious.write_bytes(image.read_bytes())
    for arguments in (("--forget",), ("--rounds", "1")):
        result = in_process("tune", exported_bundle, "--profile", precious, *arguments)
        assert result.returncode not in (0, 1)
        (line,) = result.stderr.splitlines()
        assert "precious.json: is there already and no profile of cxr-edge tune" in line
    assert precious.read_bytes() == image.read_bytes()


def test_doctor_says_what_there_is_and_what_would_be_faster(cli):
    done = cli("doctor", PYTHONDONTWRITEBYTECODE="1")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("processor", "instructions", "8-bit sums", *ENGINES):
        assert re.search(rf"^{name}  +\S", done.stdout, re.MULTILINE), name
    assert "'cxr-edge tune' has not measured this bundle here" in done.stdout
    assert "PYTHONDONTWRITEBYTECODE is set" in done.stdout


def test_doctor_measures_a_start_part_by_part(cli):
    done = cli("doctor", "--startup", "--starts", "1", "-e", "litert")
    assert done.returncode == 0, done.stderr
    processes, parts = done.stdout.split(" of floor  peak MB  ")[1:]
    pattern = re.compile(r" *(\d+) +(\d+\.\d\d) +(\d+)  (.+)")
    matches = [pattern.fullmatch(line) for line in processes.splitlines()]
    rows = [match.groups() for match in matches if match]
    commands = [command for *_, command in rows]
    assert commands[0] == "python -c pass"
    assert commands[-1] == "cxr-edge predict -e litert image.jpeg"
    (floor,) = [row for row in rows if "onnxruntime" in row[3]]
    assert floor[1] == "1.00"
    assert 0 < float(rows[0][1]) < 1 and int(rows[0][2]) < int(floor[2])
    matches = [pattern.fullmatch(line) for line in parts.splitlines()]
    names = [match[4] for match in matches if match]
    assert names == [
        *("start Python", "import numpy", "our modules", "import ai_edge_litert"),
        *("load the model", "predict", "end"),
    ]
