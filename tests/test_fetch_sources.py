"""The public sources of fetch, served by this machine: identical arrays, broken and dead servers given up."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import h5py
import numpy as np
import pytest
import tifffile
from braggfill.runs import storage
from braggfill.settings.fetch import FetchSettings
from braggfill.stages import fetch
from braggfill.stages.fetch import download

APS_FOLDER = "example_data/AD34idcTIM2_example/Staff20-1a_S0054"


@pytest.fixture(autouse=True)
def _no_named_folder_and_no_proxy(monkeypatch):
    monkeypatch.delenv("BRAGGFILL_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def settings(tmp_path, **changes):
    return FetchSettings(
        **{"folders": (str(tmp_path / "here"),), "download_folder": str(tmp_path / "kept"), "timeout_s": 0.5} | changes
    )


def whole(path, expected):
    with storage.read(path) as file:
        assert set(file) == set(expected)
        for name, array in expected.items():
            assert file[name].dtype == array.dtype
            np.testing.assert_array_equal(file[name][()], array)
        return dict(file.attrs)


class Server:
    """An HTTP server of a few paths; ``answers`` maps a path to bytes, a status, or a list of those in turn."""

    def __init__(self):
        self.answers, self.asked, self.lock = {}, [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with outer.lock:
                    path = unquote(self.path)
                    outer.asked.append(path)
                    answer = outer.answers.get(path, 404)
                    if isinstance(answer, list):
                        answer = answer.pop(0) if len(answer) > 1 else answer[0]
                if isinstance(answer, int):
                    self.send_error(answer)
                    return
                body, claimed = answer if isinstance(answer, tuple) else (answer, len(answer))
                self.send_response(200)
                self.send_header("Content-Length", str(claimed))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def online(tmp_path, server, **changes):
    return settings(tmp_path, github_api_url=server.url, github_raw_url=server.url, **{"timeout_s": 5.0} | changes)


def serve_frames(server, frames, repository="AdvancedPhotonSource/cohere_examples", folder=APS_FOLDER):
    listing = [{"type": "file", "name": "README.md", "size": 3}, {"type": "dir", "name": "old", "size": 0}]
    for index, frame in enumerate(frames):
        file = io.BytesIO()
        tifffile.imwrite(file, frame)
        name = f"Staff20-1a_S0054_{index:05d}.tif"
        listing.insert(0, {"type": "file", "name": name, "size": len(file.getvalue())})
        server.answers[f"/{repository}/HEAD/{folder}/{name}"] = file.getvalue()
    server.answers[f"/repos/{repository}/contents/{folder}"] = json.dumps(listing).encode()


@pytest.mark.data
def test_the_measured_scan_comes_identical_from_the_frames_on_github(tmp_path, server, measured):
    with np.load(measured / "aps34idc_Staff20-1a_S0054.npz") as file:
        data = file["data"]
    serve_frames(server, data)
    fetch.fetch(online(tmp_path, server), "aps_staff20_s0054", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", {"data": data})
    assert len(server.asked) == 202
    fetch.fetch(online(tmp_path, server), "aps_staff20_s0054", tmp_path / "again.h5")
    whole(tmp_path / "again.h5", {"data": data})
    assert len(server.asked) == 202, "the second time nothing is downloaded"


@pytest.mark.data
def test_the_masks_come_identical_from_github_and_true_means_missing(tmp_path, server, measured):
    files = {"maxipix": "id01_maxipix", "merlin": "nanomax_merlin"}
    files |= {"pilatus_1w1a": "1w1a_pilatus", "pilatus_id05": "id05_pilatus"}
    expected = {}
    with np.load(measured / "detector_masks.npz") as file:
        for name, theirs in files.items():
            expected[name] = file[f"{theirs}_mask"] == 1
            content = io.BytesIO()
            np.save(content, file[f"{theirs}_mask"].astype(float))
            for commit in ("2f097ed1cae3d0de6e672a5c85fcacb7180bf7ec", "15b94d771e4896f6cf2f1999f5e1af52c7ec7ef1"):
                server.answers[f"/RenZhe88/pyCXIM/{commit}/detector_mask/{theirs}_mask.npy"] = content.getvalue()
            commit = "8246a43ebf751d2fe5fa5ea39de7449fd065cd33"
            server.answers[f"/RenZhe88/pyCXIM/{commit}/detector_mask/{theirs}_mask.npy"] = content.getvalue()
    fetch.fetch(online(tmp_path, server), "detector_masks", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", expected)
    assert expected["maxipix"][255:261].all(), "the six missing rows of the cross"
    assert not expected["maxipix"][:250, :250].all()


@pytest.mark.data
@pytest.mark.parametrize("name", fetch.DATA_SETS)
def test_the_local_files_are_the_published_ones(tmp_path, measured, name, monkeypatch, capsys):
    monkeypatch.setenv("BRAGGFILL_DATA", str(measured))
    fetch.fetch(settings(tmp_path, download=False), name, tmp_path / "out.h5")
    assert storage.left_out(tmp_path / "out.h5") is None
    assert capsys.readouterr().err == ""


FRAMES = np.arange(4 * 8 * 9, dtype=np.uint16).reshape(4, 8, 9)


def frames_source(server, tmp_path, **changes):
    return download.tiff_folder("owner/scans", "a folder/scan", 4)(online(tmp_path, server, **changes))


def test_a_stumbling_server_is_asked_again(tmp_path, server):
    serve_frames(server, FRAMES, "owner/scans", "a folder/scan")
    path = "/owner/scans/HEAD/a folder/scan/Staff20-1a_S0054_00002.tif"
    server.answers[path] = [503, server.answers[path]]
    np.testing.assert_array_equal(frames_source(server, tmp_path)["data"], FRAMES)
    assert server.asked.count(path) == 2


def test_an_interrupted_transfer_is_made_again(tmp_path, server):
    serve_frames(server, FRAMES, "owner/scans", "a folder/scan")
    path = "/owner/scans/HEAD/a folder/scan/Staff20-1a_S0054_00001.tif"
    content = server.answers[path]
    server.answers[path] = [(content[:50], len(content)), content]
    np.testing.assert_array_equal(frames_source(server, tmp_path)["data"], FRAMES)


def test_what_a_server_refuses_is_not_asked_again(tmp_path, server):
    path = "/repos/owner/scans/contents/a folder/scan"
    server.answers[path] = 403
    with pytest.raises(download.NotToBeHad, match="403"):
        frames_source(server, tmp_path)
    assert len(server.asked) == 1


BROKEN = {
    "a page instead of a list": ("list", b"<html>", "not understood"),
    "a list of something else": ("list", b'{"message": "moved"}', "not understood"),
    "an empty folder": ("list", b"[]", "0 TIFF files instead of 4"),
    "a short frame": ("frame", b"II*", "incomplete, 3 of"),
    "a missing frame": ("frame", 404, "404"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_source_is_told(tmp_path, server, how):
    serve_frames(server, FRAMES, "owner/scans", "a folder/scan")
    which, answer, message = BROKEN[how]
    folder = "a folder/scan"
    listing, frame = f"/repos/owner/scans/contents/{folder}", f"/owner/scans/HEAD/{folder}/Staff20-1a_S0054_00003.tif"
    server.answers[{"list": listing, "frame": frame}[which]] = answer
    with pytest.raises(download.NotToBeHad, match=message):
        frames_source(server, tmp_path)


def test_frames_that_are_no_images_are_told(tmp_path, server):
    serve_frames(server, FRAMES, "owner/scans", "a folder/scan")
    path = "/owner/scans/HEAD/a folder/scan/Staff20-1a_S0054_00003.tif"
    server.answers[path] = bytes(len(server.answers[path]))
    with pytest.raises(download.NotToBeHad, match="do not make a stack"):
        frames_source(server, tmp_path)


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_dead_server_is_given_up_within_seconds(tmp_path, how):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if how == "silent":
            listener.listen()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        one = settings(tmp_path, github_api_url=address, github_raw_url=address)
        for name in ("aps_staff20_s0054", "detector_masks"):
            fetch.fetch(one, name, tmp_path / f"{name}.h5")
            assert "127.0.0.1" in storage.left_out(tmp_path / f"{name}.h5")
        assert time.monotonic() - start < 10
    assert sorted(file.name for file in tmp_path.iterdir()) == ["aps_staff20_s0054.h5", "detector_masks.h5"]


def wheel(folder, version, member, content):
    """A wheel that pip takes for one."""
    folder.mkdir(exist_ok=True)
    info = f"bcdi-{version}.dist-info"
    with zipfile.ZipFile(folder / f"bcdi-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: bcdi\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def only_wheels(tmp_path, monkeypatch):
    """pip sees one folder of wheels and no network."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


@pytest.mark.data
def test_the_object_comes_identical_out_of_its_wheel(tmp_path, only_wheels, measured):
    with np.load(measured / "id01_S978_object.npz") as local_file:
        expected = {"obj": local_file["obj"], "support": local_file["support"] != 0}
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file["entry_1/image_1/data"] = local_file["obj"]
            file["entry_1/image_1/mask"] = local_file["support"]
    wheel(only_wheels, "0.0.5", "bcdi/data/S978_LLKf000.460_LLK000.508.cxi", content.getvalue())
    fetch.fetch(settings(tmp_path), "id01_s978", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", expected)


def test_of_several_modes_the_first_is_taken():
    modes = np.arange(2 * 3 * 4 * 5, dtype=np.complex64).reshape(2, 3, 4, 5)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["entry_1/image_1/data"] = modes
    source = download.hdf5(lambda settings: content.getvalue(), {"obj": "entry_1/image_1/data"})
    np.testing.assert_array_equal(source(FetchSettings())["obj"], modes[0])


@pytest.mark.parametrize("how", ["no wheel", "no such file in it", "file of another format"])
def test_a_wheel_that_does_not_serve_is_left_out(tmp_path, only_wheels, how):
    if how != "no wheel":
        member = "bcdi/other.txt" if how == "no such file in it" else "bcdi/data/S978_LLKf000.460_LLK000.508.cxi"
        wheel(only_wheels, "0.0.5", member, b"text")
    fetch.fetch(settings(tmp_path), "id01_s978", tmp_path / "out.h5")
    reason = storage.left_out(tmp_path / "out.h5")
    assert {"no wheel": "pip could not download", "no such file in it": "no readable"}.get(
        how, "not understood"
    ) in reason
    assert "\n" not in reason
