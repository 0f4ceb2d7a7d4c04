"""The Dockerfile: checked line by line, and its steps run here in a folder instead of a container.

Its environment, without extras, is also the base install that has to predict.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cxr_edge.service.config import STATE

ROOT = Path(__file__).parent.parent
PREFIX = "/opt/cxr-edge"


def read_steps(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments; comments dropped, lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name.upper(), arguments) for name, arguments in steps]


STEPS = read_steps((ROOT / "Dockerfile").read_text())
IGNORED = (ROOT / ".dockerignore").read_text().split()


def arguments_of(name: str) -> list[str]:
    return [arguments for step, arguments in STEPS if step == name]


def copied_from_the_tree() -> list[str]:
    copies = [arguments.split() for arguments in arguments_of("COPY") if "--from" not in arguments]
    return [source for copy in copies for source in copy[:-1]]


def test_the_base_image_has_a_version_and_fits_any_processor():
    defaults = dict(argument.split("=") for argument in arguments_of("ARG"))
    images = [image.split()[0] for image in arguments_of("FROM")]
    assert images == ["python:${PYTHON}-slim"] * 2
    assert defaults["PYTHON"] in ("3.11", "3.12", "3.13")
    assert not any("--platform" in image or "latest" in image for image in arguments_of("FROM"))


def test_it_runs_as_nobody_in_particular():
    (user,) = arguments_of("USER")
    assert user.isdecimal() and int(user) > 0  # a number, so that `runAsNonRoot` can check it
    assert any(f"--uid {user}" in command for command in arguments_of("RUN"))
    names = [name for name, _ in STEPS]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_it_can_be_built_to_serve():
    text = (ROOT / "Dockerfile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = {name for names in re.findall(r"EXTRAS=([\w,]+)", text) for name in names.split(",")}
    assert "device" in named and named <= extras.keys()
    (user,) = arguments_of("USER")
    assert any(f"-o {user} {STATE}" in command for command in arguments_of("RUN"))
    assert f"-v cxr-edge:{STATE} " in text


def test_a_signal_reaches_the_program():
    assert json.loads(arguments_of("ENTRYPOINT")[0]) == ["cxr-edge"]
    assert json.loads(arguments_of("CMD")[0]) == ["--help"]


def test_nothing_is_fetched_besides_the_packages_and_no_cache_is_kept():
    commands = " ".join(arguments_of("RUN"))
    assert not arguments_of("ADD")
    assert not re.search(r"\b(curl|wget|git|apt|apt-get|sudo)\b", commands)
    assert commands.count("pip install") == commands.count("--no-cache-dir") == 1


def test_what_it_copies_is_there_and_sent_to_the_builder():
    assert copied_from_the_tree()
    for source in copied_from_the_tree():
        assert (ROOT / source).exists(), source
        rules = [r for r in IGNORED if fnmatch.fnmatch(source, r.removeprefix("!"))]
        assert rules[-1].startswith("!"), source


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the steps leave in /opt/cxr-edge, without extras, made from the files they copy."""
    folder = tmp_path_factory.mktemp("docker")
    source, prefix = folder / "source", folder / "opt"
    source.mkdir()
    for name in copied_from_the_tree():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for command in arguments_of("RUN"):
        if "useradd" in command:
            continue
        here = command.replace(PREFIX, str(prefix)).replace("${EXTRAS}", "")
        here = re.sub(r"^python ", f"{sys.executable} ", here)
        # Bytecode of all packages takes as long as installing them: only the project's is made.
        here = here.replace(f"-q {prefix}/lib", f"-q {prefix}/lib/*/site-packages/cxr_edge")
        settings = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "PIP_NO_COMPILE": "1"}
        subprocess.run(["/bin/sh", "-ec", here], check=True, cwd=source, env=settings)
    return prefix


@pytest.mark.long
@pytest.mark.thorough
def test_its_steps_make_a_base_install_that_predicts(environment, tmp_path):
    image = tmp_path / "phantom.png"
    python = environment / "bin/python"
    subprocess.run([python, "-m", "cxr_edge.data.phantom", image], check=True, cwd=tmp_path)

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [environment / "bin/cxr-edge", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    predicted = call("predict", image)
    assert predicted.returncode == 0, predicted.stderr
    assert str(image) in predicted.stdout

    verified = call("verify")
    assert verified.returncode == 0, verified.stderr
    assert "not-installed" in verified.stdout  # LiteRT is an extra

    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout.lower()
    for absent in ("tensorflow", "keras", "scikit-learn", "matplotlib", "pydantic"):
        assert f"\n{absent}==" not in f"\n{listed}"

    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        shutil.copy(image, tmp_path / "data" / label)
    for arguments, extra in (
        (("predict", image, "-e", "litert"), "litert"),
        (("export",), "export"),
        (("train", tmp_path / "data"), "train"),
    ):
        missing = call(*arguments)
        assert missing.returncode == 3, (arguments, missing.stderr)
        assert f"cxr-edge[{extra}]" in missing.stderr
        assert "Traceback" not in missing.stderr
