"""``python -m braggfill``: the command line."""

import sys

from braggfill.cli import main

sys.exit(main())
