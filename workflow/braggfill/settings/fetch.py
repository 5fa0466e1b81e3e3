"""Settings of the stage ``fetch``: where the measured data come from."""

from __future__ import annotations

from braggfill.settings.base import Field, StageSettings


class FetchSettings(StageSettings):
    """Where measured data are looked for: `BRAGGFILL_DATA`, then `folders`, `download_folder`, the public source."""

    folders: tuple[str, ...] = ("data", "../shared/data")
    """Folders that may hold the data as `.npz` files, relative to the current folder, else to the project's root. The
    environment variable `BRAGGFILL_DATA`, if set, is looked at first."""

    download: bool = True
    """Whether data that are in no folder are downloaded from their public source. If not, whatever needs them is
    skipped."""

    download_folder: str = Field("data/downloaded", min_length=1)
    """Folder that keeps what was downloaded, so that it is downloaded once."""

    github_api_url: str = Field("https://api.github.com", pattern=r"^https?://")
    """Where the files of a GitHub folder are listed; another address serves a mirror or a test."""

    github_raw_url: str = Field("https://raw.githubusercontent.com", pattern=r"^https?://")
    """Where a single file of a GitHub repository is served; another address serves a mirror or a test."""

    timeout_s: float = Field(5.0, gt=0, le=600)
    """Time limit of a request to a server without an answer, in seconds. Increase it for slow connections."""

    retries: int = Field(1, ge=0, le=20)
    """Repetitions of a failed request, after 1 s, 2 s, 4 s and so on. Offline, each data set costs about
    (retries + 1) x timeout_s."""

    connections: int = Field(8, ge=1, le=32)
    """Files downloaded at the same time."""
