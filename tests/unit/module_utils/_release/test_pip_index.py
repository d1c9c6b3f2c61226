"""A real pip, an index behind a password, and a package that is built from its source."""

from __future__ import annotations

import base64
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._release.install import Installation, Installer
from tests.lab.processes import command_lines
from tests.unit.stage import Host

SECRET = "s3cret-w0rd-of-the-index"
BACKEND = """
import zipfile
import tiny

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for path, text in tiny.FILES.items():
            wheel.writestr(path.replace("tiny", "shop"), text.replace("tiny", "shop"))
    return name
"""


def tiny_wheel() -> bytes:
    files = {
        "tiny.py": "FILES = {}",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/RECORD": "",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for path, text in {**files, "tiny.py": f"FILES = {files!r}"}.items():
            wheel.writestr(path, text)
    return content.getvalue()


def shop_source() -> bytes:
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["tiny"]\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND,
        "PKG-INFO": "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
    }
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"shop-1.0/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


FILES = {"tiny-1.0-py3-none-any.whl": tiny_wheel(), "shop-1.0.tar.gz": shop_source(), "wanted.txt": b"shop\n"}


class Index(BaseHTTPRequestHandler):
    """An index that answers to one login only."""

    def do_GET(self) -> None:
        login = base64.b64encode(f"deploy:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
            return
        name = self.path.strip("/").rpartition("/")[2]
        page = "".join(f'<a href="/files/{file}">{file}</a>' for file in FILES if file.startswith(f"{name}-"))
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if name in FILES else "text/html")
        self.end_headers()
        self.wfile.write(FILES.get(name) or f"<!DOCTYPE html><html><body>{page}</body></html>".encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def index() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://deploy:{SECRET}@127.0.0.1:{server.server_port}/simple/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.exhaustive
def test_the_password_of_an_index_is_on_no_command_line_of_pip_or_of_what_it_starts(host: Host) -> None:
    host.layout.virtualenvs.mkdir(parents=True)
    with index() as url, command_lines() as lines:
        options = ("--no-cache-dir", f"--index-url={url}", "-r", f"{url}wanted.txt")
        wanted = Installation("abc", "", "", ("shop",), options, "", "/usr/bin/python3", "")
        installer = Installer(host.layout, wanted)
        installer.place.joinpath("source").mkdir(parents=True)

        virtualenv = installer._prepare_virtualenv()

    assert list(virtualenv.glob("lib/*/site-packages/shop.py"))
    assert [line for line in lines if "tiny" in line and "/simple/" in line], "the build was not isolated"
    assert [line for line in lines if SECRET in line] == []
    kept = [path for path in host.root.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
