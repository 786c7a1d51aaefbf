#!/usr/bin/env python3
"""Prepares the home folder of the gateway's user, which docker-compose.yml mounts at /home/node.

The mount is an overlay: `upper`, on the data disk, has what the gateway and its tools write; `lower`,
on the boot disk, has what the image ships. `lower` is unpacked once for each image, and replaced only
while no container has the overlay mounted.

The image is not trusted and none of its programs run: its files come from Docker's archive of a
container that never starts, and are created one by one below an open folder.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile

SETTINGS = "/opt/openclaw/settings.env"
STORE = "/var/lib/openclaw-boot/home"
UPPER = "/var/lib/openclaw/home/upper"
LOWER = "lower"  # a link in STORE, which the compose file names
HOME = "/home/node"
UNPACKING = "openclaw-home"  # a container
USER = 1000
# Docker would create the mount points of other volumes as root.
MOUNT_POINTS = (".config", ".config/openclaw", ".openclaw", ".openclaw/workspace")
# Folders of the user, with any owner in the image.
OWN = (*MOUNT_POINTS, ".cache", ".local", ".local/share", ".local/state")


class Failed(Exception):
    """The home could not be prepared."""


def settings():
    with open(SETTINGS, encoding="utf-8") as file:
        words = shlex.split(file.read(), comments=True)
    return dict(word.split("=", 1) for word in words)


def docker(*arguments, timeout=60):
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Failed(f"docker {arguments[0]}: {said[-1]}")
    return done.stdout.split()


def place(root, name):
    """Opens the folder of an archive's entry, below `root`; returns it with the entry's last name.

    Follows no link. The name of `root` itself is `None`.
    """
    first, *parts = name.rstrip("/").split("/")
    if first in ("", ".", "..") or any(part in ("", ".", "..") for part in parts):
        raise Failed(f"the image has an odd name below {HOME}: {name!r}")
    folder = os.dup(root)
    for part in parts[:-1]:
        try:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder, parts[-1] if parts else None


def unpack_entry(archive, entry, root, folder, name):
    if entry.isdir():
        if name is not None:
            os.mkdir(name, 0o700, dir_fd=folder)
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
            os.chmod(name, entry.mode & 0o777, dir_fd=folder)
    elif entry.isreg():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
            shutil.copyfileobj(archive.extractfile(entry), file, 1 << 20)
            os.fchown(file.fileno(), entry.uid, entry.gid)
            os.fchmod(file.fileno(), entry.mode & 0o777)
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=folder, follow_symlinks=False)
    elif entry.issym():
        os.symlink(entry.linkname, name, dir_fd=folder)
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    elif entry.islnk():
        source, known = place(root, entry.linkname)
        try:
            os.link(known, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(source)
    # Devices, pipes and sockets are left out.


def unpack(stream, path):
    """Unpacks Docker's archive of the image's home into `path`, a new folder.

    Keeps owners and permissions, but no set-user-ID bits and no extended attributes.
    """
    os.mkdir(path, 0o755)
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                folder, name = place(root, entry.name)
                try:
                    # /home/node can be a link or a file.
                    if name is None and not entry.isdir():
                        continue
                    unpack_entry(archive, entry, root, folder, name)
                finally:
                    os.close(folder)
    finally:
        os.close(root)


def add_mount_points(path):
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in OWN:
            try:
                folder, last = place(root, f"home/{name}")
            except OSError:
                continue
            try:
                if name in MOUNT_POINTS and not exists(last, folder):
                    os.mkdir(last, 0o755, dir_fd=folder)
                own = os.open(last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.fchown(own, USER, USER)
                os.fchmod(own, 0o755 if name != ".openclaw" else 0o700)
                os.close(own)
            except OSError:
                # No folder in the image.
                pass
            finally:
                os.close(folder)
    finally:
        os.close(root)


def exists(name, folder):
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def archive_of(container):
    command = ["docker", "cp", f"{container}:{HOME}", "-"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def extract(image, path):
    """Unpacks what the image ships to `path`, whole or not at all."""
    new = path + ".new"
    shutil.rmtree(new, ignore_errors=True)
    subprocess.run(["docker", "rm", "-f", "-v", UNPACKING], capture_output=True, timeout=60, check=False)
    docker("create", "--name", UNPACKING, "--network", "none", image, "never-run")
    try:
        with archive_of(UNPACKING) as copy:
            try:
                unpack(copy.stdout, new)
                trouble = None
            except (OSError, tarfile.TarError) as error:
                trouble = f"the image's files below {HOME} could not be unpacked: {error}"
            copy.stdout.close()
            said = copy.stderr.read(4096).decode(errors="replace").strip()
        if copy.returncode != 0 and re.search("could not find the file|no such (file|container:path)", said, re.I):
            shutil.rmtree(new, ignore_errors=True)
            os.mkdir(new, 0o755)
        elif trouble or copy.returncode != 0:
            raise Failed(trouble or f"docker cp: {said[-200:]}")
    finally:
        docker("rm", "-f", "-v", UNPACKING)
    add_mount_points(new)
    # The content must be on the disk before the name is.
    os.sync()
    os.rename(new, path)
    sync_folder(STORE)


def sync_folder(path):
    folder = os.open(path, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def is_mounted():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return any(f"upperdir={UPPER}" in line for line in file)


def remove_others(kept):
    # A mounted folder must not change.
    if not is_mounted():
        for name in os.listdir(STORE):
            if name not in (kept, LOWER):
                shutil.rmtree(os.path.join(STORE, name), ignore_errors=True)


def main():
    given = settings()
    image = given["OPENCLAW_IMAGE"]
    (identity,) = docker("image", "inspect", "-f", "{{.Id}}", image)
    name = identity.rpartition(":")[2]
    if not re.fullmatch("[0-9a-f]{64}", name):
        raise Failed(f"Docker has an odd ID for {image}: {identity}")
    os.makedirs(STORE, mode=0o700, exist_ok=True)
    link = os.path.join(STORE, LOWER)
    if not os.path.isdir(os.path.join(STORE, name)):
        extract(image, os.path.join(STORE, name))
    if not os.path.islink(link) or os.readlink(link) != name:
        running = docker("ps", "-q", "--filter", "label=com.docker.compose.project=openclaw")
        if running:
            grace = int(given["OPENCLAW_STOP_SECONDS"])
            docker("stop", "-t", str(grace), *running, timeout=grace + 60)
        if os.path.islink(link + ".new"):
            os.unlink(link + ".new")
        os.symlink(name, link + ".new")
        os.replace(link + ".new", link)
        sync_folder(STORE)
    remove_others(name)


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        print(f"{error}", file=sys.stderr)
        sys.exit(1)
