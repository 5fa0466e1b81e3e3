"""``python -m braggfill``: the command line."""

from braggfill.cli import program

program()
