"""Packs a folder: `pack.py FOLDER ARCHIVE`. The same content gives the same bytes.

GNU tar and macOS's tar do not have the same options for this.
"""

import gzip
import io
import os
import sys
import tarfile
from pathlib import Path


def normalized(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(os.environ["SOURCE_DATE_EPOCH"])
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def main() -> None:
    folder, archive = map(Path, sys.argv[1:])
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        # `add` sorts the members of a folder.
        tar.add(folder, arcname=folder.name, filter=normalized)
    with open(archive, "wb") as file:
        # A name or time in the header would differ between builds.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed:
            packed.write(content.getvalue())


main()
