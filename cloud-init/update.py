#!/usr/bin/env python3
"""Watches the VM's metadata for another bundle, or for a request to go back, and carries it out.

Everything that can fail without the gateway is done while it still answers: the release is written, its
image built or pulled, and each binary verified, by the release's own scripts in a mount namespace in which
its folders lie over the current ones. Then the intent is written, and converge.sh is started again: release.py
does the rest. A release that failed is not tried again unless a new request says so.
"""

import base64
import binascii
import gzip
import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import release  # noqa: E402  (in this program's folder)

PAUSE = 30  # seconds after an error
ANSWER = 60  # seconds of one long poll
RETRY = 300  # seconds until the same metadata is looked at again
# Where a bundle may put files.
FOLDERS = ("/opt/openclaw/", "/usr/local/lib/openclaw/", "/etc/")
LARGEST = 8 << 20
PREPARE = """
for folder in opt/openclaw usr/local/lib/openclaw; do
    mount --bind "$1/root/$folder" "$3/$folder"
done
mount --bind "$1/run" "$4"
exec env STAGED="$1" "$3/usr/local/lib/openclaw/$2"
"""


class Refused(Exception):
    """The bundle cannot be updated to; it is remembered and not tried again."""


class Waiting(Exception):
    """Something is missing that may come: tried again with the next look at the metadata."""


def bundle(attributes):
    """The files of the user-data by path, with their modes, and the release's identity."""
    import yaml

    text = attributes["user-data"].encode()
    if attributes.get("user-data-encoding") == "base64":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(base64.b64decode(text))) as file:
                text = file.read(LARGEST + 1)
        except (binascii.Error, OSError, EOFError) as error:
            raise Refused(f"the user-data cannot be decoded: {error}") from None
    if len(text) > LARGEST:
        raise Refused("the user-data is too large")
    try:
        config = yaml.safe_load(text)
        files = {file["path"]: (file["content"].encode(), int(file["permissions"], 8)) for file in config["write_files"]}
        said = json.loads(files[f"{release.PROJECT}/release.json"][0])
        identity = said["id"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        raise Refused("the user-data is not a bundle that this VM can change to: replace the VM") from None
    if not (isinstance(identity, str) and identity.isalnum() and len(identity) <= 64):
        raise Refused("the bundle's identity is wrong")
    for path in files:
        if not path.startswith(FOLDERS) or os.path.normpath(path) != path:
            raise Refused(f"the bundle has a file at {path}")
    if f"{release.LIB}/release.py" not in files:
        raise Refused("the bundle is of an older bake: replace the VM")
    return identity, files


def digest(attributes):
    """Names a user-data that has no identity."""
    return hashlib.sha256(attributes["user-data"].encode()).hexdigest()[:16]


def prepare(identity, asked):
    """Makes the image of a release and verifies its binaries, with its own scripts, for the request `asked`."""
    path = release.folder(identity)
    run = f"{path}/run"
    for script in ("image.sh", "verify.sh"):
        release.report(script.partition(".")[0], identity, asked=asked)
        release.private(run)
        namespace = ["unshare", "-m", "--propagation", "private", "sh", "-euc", PREPARE]
        arguments = ["sh", path, script, release.ROOT, release.RUN]
        done = subprocess.run([*namespace, *arguments], stderr=subprocess.PIPE, check=False)
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        if done.returncode != 0:
            line = said[-1] if said else f"exit code {done.returncode}"
            raise (Refused if done.returncode == 78 else release.Failed)(f"{script.partition('.')[0]}: {line}")


def require_room(path):
    missing = release.missing_room(path)
    if missing:
        raise Waiting(f"the data disk has {-(-missing >> 20)} MiB too little for a copy of the state: make gcp.data_disk larger")


def require_fit(identity, book):
    """What would stop the gateway only to find out: state that an older OpenClaw may not be able to read, and a Node
    that OpenClaw does not support."""
    project = f"{release.folder(identity)}/root{release.PROJECT}"
    package = release.image_package(project)
    owner, version = next(iter(book["history"]), {}).get("version", ""), release.version_in(package)
    if release.is_older(version, owner):
        raise Refused(f"the state belongs to OpenClaw {owner}, and this bundle has {version}: roll back instead")
    engines = package.get("engines")
    wanted = engines.get("node") if isinstance(engines, dict) else None
    if isinstance(wanted, str) and (node := release.image_node(project)) and not release.allows(wanted, node):
        raise Refused(f"OpenClaw {version} needs Node {wanted}, and its image has {node}: choose another gateway.image")


def going_back(book, keeps_state):
    """The release to go back to, and the copy of its state, or None to keep today's."""
    before = next((entry for entry in book["history"][1:] if release.has(entry["id"])), None)
    if before is None:
        raise Refused("there is no release to go back to")
    if keeps_state:
        return before["id"], None
    source = before.get("copy")
    if not source or not os.path.isdir(f"{release.STORE}/copies/{source}"):
        raise Refused("there is no copy of the state of that release; today's can be kept")
    return before["id"], source


def handle(attributes):
    """Carries out what the metadata asks for. True if a change has begun."""
    request = attributes.get("openclaw-request", "")
    is_new = request != release.request()
    with release.journal() as book:
        if book["change"]:
            return False
    kind, identity, source = "update", "", None
    try:
        if is_new and request.startswith("rollback="):
            kind = "rollback"
            identity, source = going_back(book, request.endswith(",keep-state"))
        elif "user-data" not in attributes:
            return False
        else:
            if digest(attributes) in book["failed"] and not is_new:
                return False
            identity, files = bundle(attributes)
            if identity == release.current():
                if is_new:
                    release.answer(request)
                    release.report("done", identity)
                return False
            if identity in book["failed"] and not is_new:
                return False
            release.sweep_releases(book, identity)
            release.report("staging", identity, asked=request)
            release.stage(identity, files)
        prepare(identity, request)
        if kind == "update":
            require_fit(identity, book)
        require_room(f"{release.STORE}/copies/{source}" if source else release.STATE)
    except Refused as why:
        with release.journal() as book:
            if kind == "update":
                book["failed"][identity or digest(attributes)] = str(why)
        release.answer(request)
        release.report("refused", identity, str(why))
        return False
    except (Waiting, release.Failed) as why:
        release.report("waiting", identity, str(why), asked=request)
        return False
    if attributes_after("")[0] != attributes:
        # Changed meanwhile: the next look finds the new wish, and the gateway stops only once.
        return False
    with release.journal() as book:
        release.begin(book, kind, identity, source, request)
    release.report("stopping", identity, asked=request)
    restart()
    return True


def restart():
    """Starts converge.sh again, which carries out the intent."""
    subprocess.run(["systemctl", "restart", "openclaw-gateway.service"], check=False)


def attributes_after(etag):
    """The VM's metadata once it has another etag, or after a minute, and that etag."""
    query = f"recursive=true&wait_for_change=true&last_etag={etag}&timeout_sec={ANSWER}" if etag else "recursive=true"
    status, headers, body = release.metadata("GET", f"attributes/?{query}", timeout=ANSWER + 30)
    if status != 200:
        raise release.Failed(f"the metadata server answers {status}")
    return json.loads(body), headers.get("ETag", "")


class Watcher:
    def __init__(self):
        self.program = os.path.realpath(__file__)
        self.etag = ""
        self.handled = 0.0
        self.published = {}

    def wait_for_gateway(self):
        """Waits until the state is mounted, and no change is in progress."""
        while not os.path.exists(release.SETTLED) or release.read()["change"]:
            # During a trial, this is the program of the release before.
            if release.take_back():
                restart()
            time.sleep(2)
        if release.current() is None:
            with release.journal():
                release.adopt()

    def publish(self):
        release.send()
        values = {"contract": release.CONTRACT, "releases": release.listing(release.read())}
        for key, value in values.items():
            if self.published.get(key) != value and release.put(key, value):
                self.published[key] = value

    def follow(self):
        """After a change, the program of the new release continues."""
        program = os.path.realpath(f"{release.ROOT}{release.LIB}/update.py")
        if program != self.program:
            os.execv(program, [program])

    def step(self):
        self.wait_for_gateway()
        self.follow()
        self.publish()
        attributes, etag = attributes_after(self.etag)
        is_due = etag != self.etag or release.uptime() - self.handled >= RETRY
        if is_due and release.current() is not None:
            if not os.path.exists(f"{release.BOOT}/request"):
                # The metadata of a new VM may have a rollback of the VM before.
                asked = attributes.get("openclaw-request", "")
                release.answer(asked if asked.startswith("rollback=") else "")
            handle(attributes)
            self.etag, self.handled = etag, release.uptime()


def main():
    watcher = Watcher()
    while True:
        try:
            watcher.step()
        except (release.Failed, OSError, ValueError, KeyError, http.client.HTTPException, subprocess.SubprocessError) as error:
            print(f"trying again: {error}", file=sys.stderr)
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()
