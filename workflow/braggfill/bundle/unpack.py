"""A bundle laid into a folder, whole or not at all, so that Snakemake finds the run as it was left."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from braggfill.bundle import files, records
from braggfill.bundle.about import About, read_about
from braggfill.bundle.pack import settings_file
from braggfill.bundle.verify import read_records, scripts_that_differ, settings_here
from braggfill.errors import BraggfillError

STAGE = ".braggfill-unpack-"


def unpack(path: Path, folder: Path, *, say: Callable[[str], None] = lambda line: None) -> None:
    """Lay a bundle into ``folder``: beside it first, every checksum checked on the way, then by renaming.

    Into a new or empty folder goes everything, code included; into a copy of the project go the results and Snakemake's
    records of them, and nothing else there is touched.  Nothing of the bundle is run.  Snakemake would run a job again
    because of circumstances that change nothing: a clone's scripts are newer than the results, and measured data, which
    are known by their checksum, lie in other places.  So all results get the time of unpacking, and the records say
    where the data would be found here.

    Raises
    ------
    BraggfillError : the bundle is damaged or no run's; the folder holds that run already, or something else; there is
        not room enough.  The folder is then as it was.
    """
    folder = folder.absolute()
    with files.opened(path) as bundle:
        about = read_about(bundle)
        project = (folder / "Snakefile").is_file() and (folder / "workflow" / "braggfill").is_dir()
        mine = folder / "results" / about.run
        if project and os.path.lexists(mine):
            raise BraggfillError(f"{mine}: exists; remove it, or unpack into a new folder")
        there = folder.is_dir() and not project
        empty = there and all(place.name.startswith(STAGE) for place in folder.iterdir())
        if not project and not empty and os.path.lexists(folder):
            raise BraggfillError(f"{folder}: is neither empty nor a copy of the project; name a new folder")
        listed = files.listing(bundle, about.run)
        wanted = {name: digest for name, digest in listed.items() if files.of_results(name) or not project}
        parts = ("results", ".snakemake") if project else ("",)
        bases = [folder / part for part in parts] if project else [folder if there else folder.parent]
        try:
            with _staged(bases) as stages:
                for base, part in zip(bases, parts, strict=True):
                    need = sum(bundle.size(name) or 0 for name in wanted if name.startswith(part))
                    if need > (free := shutil.disk_usage(base).free):
                        told = f"{need / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free"
                        raise BraggfillError(f"{folder}: the disk has not room enough ({told}); free space there")
                places = {}
                for name in wanted:
                    stage = next(s for s, part in zip(stages, parts, strict=True) if name.startswith(part))
                    places[name] = stage / "whole" / name
                files.check(bundle, listed, lambda name: _create(places[name]) if name in places else None)
                _adapt(bundle, about, listed, folder, places)
                _move(_pairs(about, folder, stages, places, project=project, there=there))
                (folder / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise BraggfillError(f"{folder}: cannot be written ({reason}); nothing was left there") from error
    whole = "everything" if not project else "its results and Snakemake's records"
    say(f"unpacked run {about.run}, {whole}, into {folder}")
    if about.not_included:
        say(f"{len(about.not_included)} arrays were not in it; what needs them makes them again")
    if not project:
        say(
            "nothing of it was run. Its code runs from here on, with your rights: read first what "
            f"'braggfill verify {shlex.quote(str(path))}' names as other than what is installed"
        )
    setup = "" if project else "make setup && "
    settings = f"results/{about.run}/settings.yaml"
    say(f"to go on: cd {shlex.quote(str(folder))} && {setup}.venv/bin/snakemake --cores 2 --configfile {settings}")


def _adapt(bundle: files.Bundle, about: About, listed: dict[str, str], folder: Path, places: dict[str, Path]) -> None:
    """Settings and records as they were checked, as Snakemake will ask for them; one time for all results."""
    settings, _ = settings_here(about)
    project = "Snakefile" not in places
    differ = scripts_that_differ(listed, folder) if project else set()
    told = {*about.left_out, *listed}
    for output, text in records.adapted(read_records(bundle, listed), folder, settings.fetch, told, differ).items():
        places[str(records.file_of(output))].write_text(text, encoding="utf-8")
    mine = f"results/{about.run}/settings.yaml"
    if mine in places:
        # Snakemake evaluates what some YAML tells it to; this is written from settings that were checked.
        places[mine].write_bytes(settings_file(about.run, about.settings))
    now = records.moment(folder)
    for name, place in places.items():
        late = now if files.of_results(name) else now - files.CODE_IS_OLDER_S
        os.utime(place, (late, late))
        with open(place, "rb") as file:
            os.fsync(file.fileno())


def _create(place: Path) -> IO[bytes]:
    place.parent.mkdir(parents=True, exist_ok=True)
    return open(place, "xb")


def _pairs(
    about: About, folder: Path, stages: Sequence[Path], places: dict[str, Path], *, project: bool, there: bool
) -> list[tuple[Path, Path]]:
    """What is to be renamed to what, the run's results last: as long as they are not there, another try is welcome."""
    if project:
        kept = [(place, folder / name) for name, place in places.items() if name.startswith(".snakemake/")]
        return [*kept, (stages[0] / "whole" / "results" / about.run, folder / "results" / about.run)]
    if there:
        return [(place, folder / place.name) for place in sorted((stages[0] / "whole").iterdir())]
    return [(stages[0] / "whole", folder)]


def _move(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename each, all or none; an old record of the run, whose results are gone, is put back if that fails."""
    done: list[tuple[Path, Path]] = []
    with _undisturbed():
        try:
            for source, target in pairs:
                if ".snakemake" in target.parts and target.is_file():
                    aside = source.with_name(f"{source.name}.old")
                    target.rename(aside)
                    done.append((target, aside))
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
                done.append((source, target))
        except BaseException:
            for source, target in reversed(done):
                target.rename(source)
            raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that would end the process wait until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _staged(bases: Sequence[Path]) -> Iterator[list[Path]]:
    """A new folder in each base, gone at the end, and with it what had to be made for it and stayed empty.

    Each is locked as long as it is in use: one without a lock was left behind by a process that was killed, and goes.
    """
    made, stages, locks = [], [], []
    try:
        for base in bases:
            for parent in reversed([base, *base.parents]):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            for old in base.glob(f"{STAGE}*"):
                with suppress(OSError):
                    locks.append(_lock(old))
                    shutil.rmtree(old)
            stages.append(base / f"{STAGE}{uuid.uuid4().hex[:8]}")
            stages[-1].mkdir(mode=0o700)
            with suppress(OSError):  # some network file systems have no locks
                locks.append(_lock(stages[-1]))
        yield stages
    finally:
        with _undisturbed():
            for stage in stages:
                shutil.rmtree(stage, ignore_errors=True)
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()
            for lock in locks:
                os.close(lock)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
