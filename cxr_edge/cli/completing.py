"""``cxr-edge completion``: scripts that complete commands and options in a shell.

The scripts hold every name, so that completing does not start Python, which takes a second on a
small device.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command."""

    names: tuple[str, ...]
    """As they are typed, for example ``--format`` and ``-f``."""
    choices: tuple[str, ...]
    """The values it takes; empty: any value, or none."""
    takes_value: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a command of a group."""

    path: tuple[str, ...]
    """Its words, for example ``("data", "check")``."""
    summary: str
    """Its first sentence, without quotes."""
    options: tuple[Option, ...]

    @property
    def option_names(self) -> str:
        """All option names, separated by spaces."""
        return " ".join(name for option in self.options for name in option.names)


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell to complete in.", show_default=False)],
) -> None:
    """Print a script that completes commands and options in bash, zsh or fish.

    bash: add 'source <(cxr-edge completion bash)' to ~/.bashrc. zsh: add 'source <(cxr-edge
    completion zsh)' to ~/.zshrc, after compinit. fish: 'cxr-edge completion fish >
    ~/.config/fish/completions/cxr-edge.fish'.
    """
    writers = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    sys.stdout.write("\n".join(writers[shell](commands())) + "\n")


def commands() -> list[Command]:
    """Every command with its options, in the order of the help."""
    from cxr_edge.cli.tree import application

    tree: Any = typer.main.get_command(application())
    return list(_walk(tree, ()))


def _walk(group: Any, path: tuple[str, ...]) -> Iterator[Command]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _walk(command, (*path, name))
            continue
        summary = (command.help or "").partition(".")[0].replace("'", "")
        options = [_option(p) for p in command.params if p.param_type_name == "option"]
        help_option = Option(("--help", "-h"), (), takes_value=False)
        yield Command((*path, name), summary, (*options, help_option))


def _option(parameter: Any) -> Option:
    names = (*parameter.opts, *parameter.secondary_opts)
    choices = tuple(str(choice) for choice in getattr(parameter.type, "choices", ()))
    return Option(names, choices, takes_value=not parameter.is_flag)


def _first_words(all_commands: list[Command]) -> str:
    return " ".join(dict.fromkeys(command.path[0] for command in all_commands))


def _groups(all_commands: list[Command]) -> dict[str, str]:
    """Each command that has commands of its own, and their names."""
    groups: dict[str, list[str]] = {}
    for command in all_commands:
        if len(command.path) > 1:
            groups.setdefault(command.path[0], []).append(command.path[1])
    return {name: " ".join(members) for name, members in groups.items()}


def _bash(all_commands: list[Command]) -> Iterator[str]:
    """The words of a place go to compgen; where it finds none, bash completes file names."""
    yield "_cxr_edge() {"
    yield '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"'
    yield '  local first="${COMP_WORDS[1]}" words='
    yield "  COMPREPLY=()"
    yield "  if ((COMP_CWORD == 1)); then"
    yield f'    words="{_first_words(all_commands)} --version --help"'
    yield from _cases(all_commands, '"$first"', '"$before"', '"$word"', "COMP_CWORD == 2")
    yield '  COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield "}"
    yield "complete -o default -F _cxr_edge cxr-edge"


def _zsh(all_commands: list[Command]) -> Iterator[str]:
    yield "#compdef cxr-edge"
    yield "_cxr_edge() {"
    yield '  local word="$words[CURRENT]" before="$words[CURRENT-1]" first="$words[2]" offered='
    yield "  if ((CURRENT == 2)); then"
    yield f'    offered="{_first_words(all_commands)} --version --help"'
    lines = _cases(all_commands, '"$first"', '"$before"', '"$word"', "CURRENT == 3")
    yield from (line.replace("words=", "offered=") for line in lines)
    yield '  if [[ -n "$offered" ]]; then compadd -- ${=offered}; else _files; fi'
    yield "}"
    yield "compdef _cxr_edge cxr-edge"


def _cases(
    all_commands: list[Command], first: str, before: str, word: str, second_place: str
) -> Iterator[str]:
    """The places after the first word, in the syntax that bash and zsh share."""
    for name, members in _groups(all_commands).items():
        yield f'  elif [[ {first} == {name} ]] && (({second_place})); then words="{members}"'
    for command in all_commands:
        for option in command.options:
            if option.choices:
                typed = " || ".join(f"{before} == {name}" for name in option.names)
                values = " ".join(option.choices)
                yield f"  elif [[ {first} == {command.path[0]} && ( {typed} ) ]]; then"
                yield f'    words="{values}"'
    yield f"  elif [[ {word} == -* ]]; then"
    yield f"    case {first} in"
    names: dict[str, str] = {}
    for command in all_commands:
        names[command.path[0]] = f"{names.get(command.path[0], '')} {command.option_names}".strip()
    for name, options in names.items():
        yield f'      {name}) words="{options}" ;;'
    yield "    esac"
    if "completion" in names:
        shells = "bash zsh fish"
        yield f'  elif [[ {first} == completion ]]; then words="{shells}"'
    yield "  fi"


def _fish(all_commands: list[Command]) -> Iterator[str]:
    groups = _groups(all_commands)
    for command in all_commands:
        if len(command.path) == 1:
            yield (
                f"complete -c cxr-edge -n __fish_use_subcommand -f -a {command.path[0]} "
                f"-d '{command.summary}'"
            )
    for name, members in groups.items():
        yield f"complete -c cxr-edge -n __fish_use_subcommand -f -a {name}"
        yield (
            f"complete -c cxr-edge -n '__fish_seen_subcommand_from {name}; and not "
            f"__fish_seen_subcommand_from {members}' -f -a '{members}'"
        )
    yield "complete -c cxr-edge -n __fish_use_subcommand -f -l version"
    yield "complete -c cxr-edge -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'"
    for command in all_commands:
        for option in command.options:
            yield (
                f"complete -c cxr-edge -n '__fish_seen_subcommand_from {command.path[-1]}'"
                f"{_fish_option(option)}"
            )


def _fish_option(option: Option) -> str:
    text = ""
    for name in option.names:
        text += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
    if option.choices:
        return f"{text} -x -a '{' '.join(option.choices)}'"
    return f"{text} -r" if option.takes_value else text
