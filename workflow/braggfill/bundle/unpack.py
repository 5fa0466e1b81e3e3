"""A bundle laid into a folder, whole or not at all, so that Snakemake finds the run as it was left."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from braggfill.bundle import files, records
from braggfill.bundle.about import About, checked
from braggfill.bundle.pack import settings_file
from braggfill.bundle.verify import read_records, scripts_that_differ
from braggfill.errors import BraggfillError

STAGE = ".braggfill-unpack-"


def unpack(path: Path, folder: Path, *, say: Callable[[str], None] = lambda line: None) -> None:
    """Unpack a bundle into ``folder``: beside it first, every checksum checked on the way, then by renaming.

    Into a new or empty folder goes everything, code included; into a copy of the project go the results and Snakemake's
    records of them, and nothing else there is touched.  Nothing of the bundle is run.  A clone's scripts are newer than
    the results, and measured data, known by their checksum, lie in other places: so that Snakemake reruns nothing for
    that, all results get the time of unpacking, and the records say where the data would be found here.

    Raises
    ------
    BraggfillError : the bundle is damaged or no run's; the folder holds that run already, or something else; there is
        not room enough.  The folder is then as it was.
    """
    folder = folder.absolute()
    with files.opened(path) as bundle:
        about = checked(files.read(bundle, "bundle.json"), str(path))
        project = (folder / "Snakefile").is_file() and (folder / "workflow" / "braggfill").is_dir()
        mine = Path("results", about.run)
        if project and os.path.lexists(folder / mine):
            raise BraggfillError(f"{folder / mine}: exists; remove it, or unpack into a new folder")
        empty = folder.is_dir() and all(place.name.startswith(STAGE) for place in folder.iterdir())
        if not project and not empty and os.path.lexists(folder):
            raise BraggfillError(f"{folder}: is neither empty nor a copy of the project; name a new folder")
        listed = files.listing(bundle, about.run)
        # Where what begins so is laid first: on the disk that it will stay on.
        parts = {".snakemake": folder / ".snakemake", "results": folder / "results"}
        parts = parts if project else {"": folder if empty else folder.parent}
        try:
            with _stages(parts, f"{STAGE}{folder.name}-{about.run}") as stages:
                places = {name: stages[part] / name for name in listed for part in parts if name.startswith(part)}
                for part, stage in stages.items():
                    need = sum(bundle.size(name) or 0 for name in places if name.startswith(part))
                    if need > (free := shutil.disk_usage(stage).free):
                        told = f"{need / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free"
                        raise BraggfillError(f"{folder}: the disk has not room enough ({told}); free space there")
                files.check(bundle, listed, lambda name: _create(places[name]) if name in places else None)
                differ = scripts_that_differ(listed, folder) if project else set()
                kept, there = read_records(bundle, listed), {*about.left_out, *listed}
                _adapt(about, records.adapted(kept, folder, about.settings, there, differ), folder, places)
                if project:  # the run's results last: as long as they are not there, another try is welcome
                    moves = {place: folder / name for name, place in places.items() if name.startswith(".snakemake")}
                    moves[stages["results"] / mine] = folder / mine
                else:
                    moves = {p: folder / p.name for p in stages[""].iterdir()} if empty else {stages[""]: folder}
                _move(moves)
                (folder / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            told = f"cannot be written ({error.strerror or error}); nothing was left there"
            raise BraggfillError(f"{folder}: {told}") from error
    say(f"unpacked run {about.run}, {'results and records' if project else 'everything'}, into {folder}")
    if about.not_included:
        say(f"{len(about.not_included)} arrays were not in it; what needs them makes them again")
    if not project:
        told = f"'braggfill verify {shlex.quote(str(path))}' names as other than what is installed"
        say(f"nothing of it was run. Its code runs from here on, with your rights: read first what {told}")
    go = f"cd {shlex.quote(str(folder))} && {'' if project else 'make setup && '}.venv/bin/snakemake --cores 2"
    say(f"to go on: {go} --configfile {mine}/settings.yaml")


def _create(place: Path) -> IO[bytes]:
    place.parent.mkdir(parents=True, exist_ok=True)
    return open(place, "xb")


def _adapt(about: About, kept: Mapping[str, str], folder: Path, places: Mapping[str, Path]) -> None:
    """Settings and records as they were checked, as Snakemake will ask for them; one time for all results."""
    for output, text in kept.items():
        places[records.file_of(output)].write_text(text, encoding="utf-8")
    # Snakemake evaluates what some YAML tells it to; this is written from settings that were checked.
    places[f"results/{about.run}/settings.yaml"].write_bytes(settings_file(about.run, about.settings))
    now = records.moment(folder)
    for name, place in places.items():
        files.settle(place, now if files.of_results(name) else now - files.CODE_IS_OLDER_S)


def _move(moves: Mapping[Path, Path]) -> None:
    """Rename each, all or none; an old record of the run, whose results are gone, is put back if that fails."""
    with _undisturbed(), ExitStack() as undo:
        for source, target in moves.items():
            if target.is_file():
                undo.callback(target.rename(source.with_name(f"{source.name}.old")).rename, target)
            target.parent.mkdir(parents=True, exist_ok=True)
            undo.callback(source.rename(target).rename, source)
        undo.pop_all()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end the process wait until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _stages(bases: Mapping[str, Path], name: str) -> Iterator[dict[str, Path]]:
    """A new folder in each base, gone at the end, and with it what had to be made for it and stayed empty.

    It has one name, so that a second try removes what a process that was killed has left.
    """
    stages = {part: base / name for part, base in bases.items()}
    made = [parent for stage in stages.values() for parent in stage.parents if not parent.exists()]
    try:
        for stage in stages.values():
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
        yield stages
    finally:
        with _undisturbed():
            for stage in stages.values():
                shutil.rmtree(stage, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
