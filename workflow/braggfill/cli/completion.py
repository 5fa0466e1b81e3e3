"""Completion of commands, options and file names in the shell."""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
FOLDERS = ("FOLDER",)
FILES = ("SCAN", "MASK", "OUT", "FILE", "PNG", "CSV", "BUNDLE", "HTML")
"""Names, in a help text, of arguments that are files."""


class Print(argparse.Action):
    """``--print-completion SHELL``: a script that the shell reads."""

    def __init__(self, **arguments: Any):
        super().__init__(choices=SHELLS, metavar="SHELL", default=argparse.SUPPRESS, **arguments)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        print(script(parser, values))
        parser.exit()


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for ``shell``, made from the parser itself."""
    import shtab

    todo = [parser]
    while todo:
        for action in todo.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                action.help = None  # what help leaves out completes all the same
                listed = {pseudo.dest for pseudo in action._choices_actions}
                for name, command in action.choices.items():
                    if name not in listed:
                        told = (command.description or "").partition(".")[0]
                        action._choices_actions.append(action._ChoicesPseudoAction(name, (), told))
                todo += set(action.choices.values())
            elif action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's own attribute
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)
