"""``python -m braggfill.settings CONFIG…`` checks configuration files and prints the name of their run."""

import sys

from braggfill.errors import BraggfillError
from braggfill.settings.root import load


def main(paths: list[str]) -> int:
    """Print the run's name; exit status 2 and one line where a file is wrong."""
    try:
        print(load(*paths).run)
    except BraggfillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
