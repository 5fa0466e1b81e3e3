"""The commands that share runs: ``braggfill bundle``, ``verify`` and ``unpack``.

The work is done in :mod:`braggfill.bundle`, which is loaded only when one of them is called.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from braggfill.cli.talk import printable
from braggfill.errors import BraggfillError

BUNDLE = """\
The bundle holds the settings, seed, versions, code and its fingerprints, the git
revision if there is one, tables, figures, report, network and times; the arrays
with --with-data, else their checksums. It is a Workflow Run RO-Crate."""

VERIFY = """\
"Here" is the code that is installed, wherever you stand; nothing of the bundle's
is run. exit status: 0 whole, and nothing would run again here; 3 whole, but the
stages told would, or it is not known; 2 damaged: one line names the file."""

UNPACK = """\
Into a new folder goes everything, code included; into a copy of the project go
the results, and Snakemake's records of them. Snakemake then goes on where the
run was left. It is all or nothing, and nothing of the bundle is run."""


def add(commands: Any, plain: Any, *, say: Callable[[str], None]) -> None:
    """Add the commands to the parser's."""

    def command(name: str, run: Any, description: str, **more: Any) -> argparse.ArgumentParser:
        added = commands.add_parser(name, description=description, formatter_class=plain, **more)
        added.add_argument("--debug", action="store_true", help="show the traceback of an unexpected error")
        added.set_defaults(run=run, say=say)
        return added

    files: dict[str, Any] = {"metavar": "FILE", "dest": "configfiles", "action": "append", "default": [], "type": Path}
    bundle = command("bundle", _bundle, "Pack a run of the workflow into one file to share.", epilog=BUNDLE)
    bundle.add_argument("name", metavar="RUN", help="the run's name: its results lie in results/RUN")
    bundle.add_argument(
        "-o", "--out", metavar="OUT", type=Path, help="a .zip file or a new folder (default results/RUN.crate.zip)"
    )
    bundle.add_argument("--with-data", action="store_true", help="include the arrays")
    bundle.add_argument("--configfile", help="its configuration (default: that of config/ with run: RUN)", **files)
    bundle.add_argument("--author", metavar="NAME", help="who made it, to be told in the bundle")
    bundle.add_argument("--license", metavar="SPDX", default="BSD-3-Clause", help="its licence (default %(default)s)")
    bundle.add_argument("--force", action="store_true", help="overwrite OUT if it exists")

    verify = command("verify", _verify, "Check a bundle, and tell which stages would run again here.", epilog=VERIFY)
    verify.add_argument("bundle", metavar="BUNDLE", type=Path, help="the .zip file or folder")
    verify.add_argument("--configfile", help="a configuration to go on with (default: the bundle's settings)", **files)

    unpack = command("unpack", _unpack, "Unpack a bundle into a folder, to continue its run.", epilog=UNPACK)
    unpack.add_argument("bundle", metavar="BUNDLE", type=Path, help="the .zip file or folder")
    unpack.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder, or a copy of the project")


def _bundle(options: argparse.Namespace) -> int:
    from braggfill import bundle

    top = Path.cwd()
    if not ((top / "Snakefile").is_file() and (top / "workflow" / "braggfill").is_dir()):
        raise BraggfillError("no Snakefile here: go to the folder of the project, where the results lie, and try again")
    chosen = {name: getattr(options, name) for name in ("with_data", "author", "license", "force", "configfiles")}
    bundle.pack(top, options.name, options.out, say=options.say, **chosen)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from braggfill import bundle

    verdict = bundle.verify(options.bundle, bundle.installed(), configfiles=options.configfiles)
    lines = [f"{options.bundle}: run {verdict.run}, {verdict.files} files, every checksum right ({verdict.made})"]
    lines += [f"remark: {line}" for line in verdict.remarks]
    lines += [f"code other than installed: {line}" for line in verdict.code]
    lines += [f"would run again here: {stage}: {'; '.join(why)}" for stage, why in verdict.reruns.items()]
    if verdict.unknown is not None:
        lines.append(f"what would run again here is not known: {verdict.unknown}")
    elif not verdict.reruns:
        lines.append("nothing would run again here")
    print("\n".join(map(printable, lines)))
    return 3 if verdict.reruns or verdict.unknown else 0


def _unpack(options: argparse.Namespace) -> int:
    from braggfill import bundle

    bundle.unpack(options.bundle, options.folder, say=options.say)
    return 0
