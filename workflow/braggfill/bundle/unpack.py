"""A bundle laid into a folder, so that Snakemake finds the run as it was left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from braggfill.bundle import files, records
from braggfill.bundle.verify import located, read_about, scripts_that_differ
from braggfill.errors import BraggfillError


def unpack(path: Path, folder: Path, *, say: Callable[[str], None] = lambda line: None) -> None:
    """Lay a bundle into ``folder``, every checksum checked on the way.

    Into a new or empty folder goes everything, code included; into a copy of the project go the results and Snakemake's
    records of them.  There Snakemake would run a job again because of circumstances that change nothing: a clone's
    scripts are newer than the results, and measured data, which are known by their checksum, lie in other places.  So
    all results get the time of unpacking, and the records say where the data would be found here.

    Raises
    ------
    BraggfillError : the bundle is damaged; the folder holds that run already, or something else.
    """
    with files.opened(path) as bundle:
        about = read_about(bundle)
        run = about["run"]
        project = _is_project(folder)
        if not project and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BraggfillError(f"{folder}: is neither empty nor a copy of the project; name a new folder")
        if project and (folder / "results" / run).exists():
            raise BraggfillError(f"{folder / 'results' / run}: exists; remove it, or unpack into a new folder")
        written: list[Path] = []

        def into(name: str) -> IO[bytes] | None:
            if project and not files.of_results(name):
                return None
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            written.append(place)
            return open(place, "wb")

        try:
            listed = files.check(bundle, into)
            (folder / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
            _adapt(folder, listed, scripts_that_differ(bundle, listed, folder), about)
            _set_times(folder, written)
        except BaseException as error:
            for place in written:
                place.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise BraggfillError(f"{folder}: cannot be written ({error}); free space or choose another") from error
            raise
        whole = "everything" if not project else "its results and Snakemake's records"
        say(f"unpacked run {run}, {whole}, into {folder}")
        if about["not_included"]:
            say(f"{len(about['not_included'])} arrays were not in it; what needs them makes them again")
        configuration = f"results/{run}/settings.yaml"
        say(f"to go on: cd {folder} && .venv/bin/snakemake --cores 2 --configfile {configuration}")


def _is_project(folder: Path) -> bool:
    return (folder / "Snakefile").is_file() and (folder / "workflow" / "braggfill").is_dir()


def _adapt(folder: Path, listed: Iterable[str], differ: set[str], about: dict[str, Any]) -> None:
    """Records as Snakemake will ask for them here: where data would be found, and which scripts are others."""
    outputs = filter(None, (records.output_of(PurePosixPath(name)) for name in listed))
    places = {output: folder / records.file_of(output) for output in outputs}
    kept = {output: json.loads(place.read_bytes()) for output, place in places.items()}
    jobs = records.jobs(kept)
    found = located(folder, jobs)
    for job in jobs:
        for output in job.outputs:
            if job.script in differ:
                kept[output]["code"] = "another script"
            if output in found and output not in about["left_out"]:
                others = [text for text in job.params if text.startswith("{") or text == repr(job.code)]
                kept[output]["params"] = sorted([*others, repr(found[output])])
            places[output].write_text(json.dumps(kept[output]), encoding="utf-8")


def _set_times(folder: Path, written: list[Path]) -> None:
    """One time for all results, after every script's: nothing is newer than what was made from it."""
    scripts = [file.stat().st_mtime for file in (folder / "scripts").glob("*.py") if file not in written]
    now = max([time.time(), *(mtime + 2 for mtime in scripts)])
    for place in written:
        late = files.of_results(place.relative_to(folder).as_posix())
        moment = now if late else now - files.CODE_IS_OLDER_S
        os.utime(place, (moment, moment))
