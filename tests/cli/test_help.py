from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = (
    ["predict"], ["verify"], ["info"], ["tune"], ["doctor"],
    ["benchmark"], ["report"], ["spec"], ["export"], ["train"], ["evaluate"],
    ["data", "check"], ["completion"],
    ["bundle", "install"], ["bundle", "rollback"], ["bundle", "list"],
)  # fmt: skip


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from cxr_edge.cli import main\n"
        "sys.argv = ['cxr-edge', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'cv2', 'onnxruntime', 'tensorflow', 'keras'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
    assert "not a medical device" in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(in_process, command):
    result = in_process(*command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert in_process(*command, "-h").stdout == result.stdout


def test_every_command_is_listed(cli):
    text = cli("--help").stdout
    assert all(command[0] in text for command in COMMANDS)


def test_an_unknown_option_exits_2(cli):
    result = cli("predict", "--bogus", "x.png")
    assert (result.returncode, result.stdout) == (2, "")
