"""The one exception that a user is meant to read."""

from __future__ import annotations


class BraggfillError(Exception):
    """Bad input or a missing part, told in one line: which file or setting, what is wrong, what to do.

    The command line prints the message alone and exits with 2; a rule's log ends with it.
    """
