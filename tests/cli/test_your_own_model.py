"""docs/your-own-model.md, done as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cxr_edge.data.phantom import write_phantom
from cxr_edge.extras import require_keras
from cxr_edge.spec import parse_spec
from cxr_edge.spec_file import PRESETS

PAGE = (Path(__file__).parents[2] / "docs/your-own-model.md").read_text()
SLOW = ("cxr-edge tune", "cxr-edge benchmark")
"""Tested elsewhere."""

pytestmark = pytest.mark.slow


def commands() -> list[list[str]]:
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S))
    lines = [line.partition("#")[0].strip() for line in shell.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("cxr-edge")]


def test_the_short_spec_is_complete() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    spec = parse_spec(block.encode())
    assert (spec.activation, spec.positive_label, spec.threshold) == ("sigmoid", "dog", 0.5)
    assert (spec.input.scale, spec.input.offset) == (1 / 127.5, -1.0)


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_describes_every_preset(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", PAGE, re.M)


def test_the_five_steps_work_as_written(in_process, tmp_path):
    keras = require_keras("export")
    folder = tmp_path / "cwd"
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    write_phantom(folder / "image.jpeg")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # The page's network is not trained: of some weights, int8 changes too many decisions.
        keras.utils.set_random_seed(2)
        exec(compile(block, "your-own-model.md", "exec"), {})
    done = []
    for command in commands():
        if " ".join(command[:2]) not in SLOW:
            result = in_process(*command[1:])
            assert result.returncode == 0, (command, result.stderr)
            done.append(command[1])
    assert done == ["spec", "export", "verify", "predict"]
    assert parse_spec((folder / "spec.json").read_bytes()).labels == ("birch", "maple", "oak")
    assert re.search(r"^(birch|maple|oak) ", result.stdout, re.M)
