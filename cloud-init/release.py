#!/usr/bin/env python3
"""Keeps the VM on one whole release, with the state that belongs to it.

A release is a bundle's files in a folder of the boot disk, below releases/ID/root. `current` is a link to one
of them; /opt/openclaw and /usr/local/lib/openclaw lead through it, so that one rename switches all scripts.
The journal and the copies of the state are on the data disk. A change of the release has these phases; each
can be repeated after a loss of power:

    save    the gateway is stopped, and the state copied; for a rollback, the copy to bring back is copied too
    swap    (rollback with the state of that time) the state is moved to the copies, and that copy moves in
    trial   the new release runs; it is kept once the gateway was ready for a minute, and has answered a
            message if the spec asks for it
    back    the copied state moves back, and `current` leads to the release before

    release.py             the stage of converge.sh: completes or reverts what was interrupted
    release.py claim       before the gateway starts: refuses an older OpenClaw on newer state
    release.py probed WORD while a trial runs: the word of probe.py; exit code 1 and the reason once it has failed
    release.py failed STAGE CODE TEXT
                           exit code 0: the trial has failed, and the next run goes back
"""

import contextlib
import ctypes
import fcntl
import http.client
import io
import json
import operator
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import urllib.parse

sys.dont_write_bytecode = True
import quote  # noqa: E402  (in this program's folder)

STATE = "/var/lib/openclaw"
STORE = "/var/lib/openclaw/releases"  # the journal and the copies of the state
BOOT = "/var/lib/openclaw-boot"
PROJECT = "/opt/openclaw"
LIB = "/usr/local/lib/openclaw"
RUN = "/run/openclaw"
TRIAL = "/run/openclaw/trial"  # while a trial runs
SETTLED = "/run/openclaw/settled"  # the state is mounted, and nothing interrupted is left
SERIAL = "/dev/ttyAMA0" if os.path.exists("/dev/ttyAMA0") else "/dev/ttyS0"  # the first on arm64
ROOT = ""  # before the paths of other files, for tests
# Neither state nor part of a copy: the gateway's archives, and these copies themselves.
NOT_STATE = ("releases", "backups", "lost+found")
KEPT = 2  # releases
SPARE = 64 << 20  # bytes that stay free on the data disk
STEADY = 60  # seconds that a gateway must be ready
LONGEST_TRIAL = 1800
GRACE = 300  # then the release before ends the trial
TRIES = 3  # boots of one trial
QUESTIONS = 3  # in one trial
QUESTION = "This message tests an update. Reply with one word."
ANSWER = 180  # seconds
KEPT_OUTPUT = 65536
# A retry does not help against errors of these stages.
GATEWAY = ("home.py", "start.sh", "watch")
CONTRACT = "1"  # how updates reach the VM
LARGEST_PACKAGE = 1 << 20
RENAME_EXCHANGE = 2
AT_FDCWD = -100


class Failed(Exception):
    """A step failed; the next run tries again."""


# --- Files: whole or not there ---


def checkpoint(_name):
    """Tests cut the power here."""


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(path):
    """Flushes the file system of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), f"{path} could not be flushed")
    finally:
        os.close(descriptor)


def write(path, content, mode=0o600):
    new = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    checkpoint("written")
    os.rename(new, path)
    sync(os.path.dirname(path))
    checkpoint("renamed")


def remove(path):
    """Removes a folder in two steps, so that its name never has half of it."""
    gone = path + ".gone"
    shutil.rmtree(gone, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, gone)
    checkpoint("renamed away")
    shutil.rmtree(gone, ignore_errors=True)


def private(path):
    """A folder for root only."""
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o700)


def link(path, target):
    new = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    checkpoint("linked")
    os.rename(new, path)
    sync(os.path.dirname(path))
    checkpoint("switched")


def exchange(one, other):
    """Two names trade places in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), f"{one} could not be exchanged")
    sync(os.path.dirname(one))
    checkpoint("exchanged")


# --- Journal ---


@contextlib.contextmanager
def journal():
    """The journal, which is saved if the block changes it and does not fail."""
    private(STORE)
    with open(f"{STORE}/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        book = read()
        before = json.dumps(book)
        yield book
        if json.dumps(book) != before:
            save(book)


def read():
    try:
        with open(f"{STORE}/journal.json", encoding="utf-8") as file:
            book = json.load(file)
    except FileNotFoundError:
        book = {}
    for key, empty in (("history", []), ("failed", {}), ("change", None)):
        book.setdefault(key, empty)
    return book


def save(book):
    write(f"{STORE}/journal.json", json.dumps(book, indent=1).encode() + b"\n")


# --- Requests ---


def request():
    """The last request of the metadata that was carried out or refused. On the boot disk, because it belongs to
    this VM: a restored data disk must not have it done again."""
    try:
        with open(f"{BOOT}/request", encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def answer(text):
    if text != request() or not os.path.exists(f"{BOOT}/request"):
        write(f"{BOOT}/request", text.encode())


# --- Releases ---


def folder(identity):
    return f"{BOOT}/releases/{identity}"


def has(identity):
    return os.path.isdir(folder(identity))


def current():
    """The release that `current` leads to, or None before there is one."""
    try:
        return os.path.basename(os.readlink(f"{BOOT}/current"))
    except FileNotFoundError:
        return None


def about(identity):
    """The values of release.json, with the lock's digest."""
    project = f"{folder(identity)}/root{PROJECT}"
    with open(f"{project}/release.json", encoding="utf-8") as file:
        said = json.load(file)
    with open(f"{project}/lock.sha256", encoding="utf-8") as file:
        said["lock"] = file.read().split()[0]
    return said


def links():
    return ((ROOT + PROJECT, f"{BOOT}/current/root{PROJECT}"), (ROOT + LIB, f"{BOOT}/current/root{LIB}"))


def is_applied():
    """Whether the user-data is applied for good: until then cloud-init may write its files again."""
    waiting = os.path.exists(f"{BOOT}/bridge-started") and not os.path.exists(f"{BOOT}/bridge-done")
    return os.path.exists(f"{BOOT}/applied") and not waiting


def adopt():
    """Makes a release of the files that cloud-init has written, and links of their folders."""
    for path, target in links():
        old = path + ".old"
        if os.path.islink(path):
            # The links trade places with the folders one after another.
            if os.path.isdir(old) and not os.path.islink(old):
                shutil.rmtree(old)
            continue
        if current() is None:
            if not is_applied():
                return
            with open(f"{ROOT}{PROJECT}/release.json", encoding="utf-8") as file:
                said = json.load(file)
            files = [name for name in said["files"] if os.path.exists(ROOT + name)]
            stage(said["id"], {name: read_file(ROOT + name) for name in [*files, *below(PROJECT), *below(LIB)]})
            link(f"{BOOT}/current", f"releases/{said['id']}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old)
        os.symlink(target, old)
        exchange(path, old)
        shutil.rmtree(old)


def below(path):
    """The files directly in a folder."""
    inside = ROOT + path
    return [f"{path}/{name}" for name in os.listdir(inside) if os.path.isfile(f"{inside}/{name}")]


def read_file(path):
    with open(path, "rb") as file:
        return file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode)


def stage(identity, files):
    """Writes a release, whole or not at all."""
    path = folder(identity)
    if has(identity):
        return
    new = path + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    for name, (content, mode) in files.items():
        inside = f"{new}/root{name}"
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        with open(inside, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
    checkpoint("staged")
    sync_all(new)
    os.rename(new, path)
    sync(os.path.dirname(path))
    checkpoint("there")


def switch(identity):
    """Lets `current` lead to this release, and puts its files outside of the two folders in place."""
    if current() != identity:
        link(f"{BOOT}/current", f"releases/{identity}")
    changed = False
    for name in about(identity)["files"]:
        source = f"{folder(identity)}/root{name}"
        if not os.path.exists(source):
            continue
        content, mode = read_file(source)
        try:
            same = read_file(ROOT + name) == (content, mode)
        except FileNotFoundError:
            same = False
        if not same:
            os.makedirs(os.path.dirname(ROOT + name), exist_ok=True)
            write(ROOT + name, content, mode)
            changed = True
    if changed:
        subprocess.run(["systemctl", "daemon-reload"], check=False, timeout=60)


def sweep_releases(book, *others):
    """Removes releases that neither the journal nor `others` name, with their images."""
    change = book["change"] or {}
    known = {entry["id"] for entry in book["history"]} | {change.get("from"), change.get("to"), current(), *others}
    before = images()
    sweep(f"{BOOT}/releases", known)
    for image in before - images():
        # cleanup.sh may have removed it.
        with contextlib.suppress(Failed):
            docker("image", "rm", image)


def images():
    """The images of all releases."""
    found = set()
    for name in os.listdir(f"{BOOT}/releases"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found.add(settings(f"{folder(name)}/root{PROJECT}")["OPENCLAW_IMAGE"])
    return found


def sweep_copies(book):
    """Removes copies of the state that the journal does not name."""
    change = book["change"] or {}
    sweep(f"{STORE}/copies", {entry.get("copy") for entry in book["history"]} | {change.get("copy"), change.get("source")})


def sweep(path, known):
    for name in os.listdir(path) if os.path.isdir(path) else []:
        if name not in known:
            remove(f"{path}/{name}")


# --- State ---


def names(path):
    return sorted(name for name in os.listdir(path) if name not in NOT_STATE)


def size(path):
    """The bytes that a copy of the state takes, without following links."""
    total = 0
    for name in names(path):
        one = f"{path}/{name}"
        total += os.lstat(one).st_blocks * 512
        for inside, folders, files in os.walk(one):
            for entry in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):
                    total += os.lstat(f"{inside}/{entry}").st_blocks * 512
    return total


def missing_room(path):
    """How many bytes are missing for a copy of the state in `path`; 0 if there is room."""
    free = os.statvfs(STATE)
    return max(0, size(path) + SPARE - free.f_bavail * free.f_frsize)


def copy(source, name):
    """Copies a state whole or not at all. The container wrote it: cp follows none of its links."""
    path = f"{STORE}/copies/{name}"
    if os.path.isdir(path):
        return
    private(f"{STORE}/copies")
    new = path + ".new"
    shutil.rmtree(new, ignore_errors=True)
    private(new)
    inside = [f"{source}/{entry}" for entry in names(source)]
    if inside:
        command = ["cp", "-a", "--reflink=auto", "--", *inside, new]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["cp failed"]
            shutil.rmtree(new, ignore_errors=True)
            raise Failed(f"the state could not be copied: {said[-1]}")
        checkpoint("copied")
    sync_all(new)
    os.rename(new, path)
    sync(os.path.dirname(path))
    checkpoint("saved")


def move_in(source, out, wanted):
    """Moves the state to `out` and the one in `source`, of these names, into its place. Can be repeated."""
    private(out)
    for name in names(STATE):
        if name not in wanted:
            os.rename(f"{STATE}/{name}", f"{out}/{name}")
            checkpoint("moved out")
    for name in wanted:
        if os.path.lexists(f"{source}/{name}"):
            if os.path.lexists(f"{STATE}/{name}"):
                os.rename(f"{STATE}/{name}", f"{out}/{name}")
                checkpoint("moved out")
            os.rename(f"{source}/{name}", f"{STATE}/{name}")
            checkpoint("moved in")
    for path in (source, out, STATE):
        sync(path)


# --- The gateway ---


def docker(*arguments, timeout=60):
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, timeout=timeout, check=False)
    except (OSError, subprocess.SubprocessError):
        raise Failed("Docker is away") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise Failed(f"docker {arguments[0]}: {said[-1]}")
    return done.stdout.decode(errors="replace").split()


def settings(project=None):
    with open(f"{project or ROOT + PROJECT}/settings.env", encoding="utf-8") as file:
        words = shlex.split(file.read(), comments=True)
    return dict(word.split("=", 1) for word in words)


def stop_gateway():
    """No container of the gateway runs afterwards, so its state is at rest."""
    running = ("ps", "-q", "--filter", "label=com.docker.compose.project=openclaw")
    found = docker(*running)
    if found:
        seconds = settings()["OPENCLAW_STOP_SECONDS"]
        docker("stop", "-t", seconds, *found, timeout=int(seconds) + 60)
    if docker(*running):
        raise Failed("the gateway does not stop")


def ask():
    """Sends the agent a message in a new conversation. Returns why there was no answer, or None."""
    labels = ("project=openclaw", "service=openclaw-gateway", "oneoff=False")
    try:
        found = docker("ps", "-q", *(word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")))
    except Failed as failure:
        return str(failure)
    agent = ["node", "dist/index.js", "agent", "--agent", "main", "--session-id", "update", "--message", QUESTION]
    command = ["timeout", "-k", "10", str(ANSWER), "docker", "exec", *found[:1], *agent]
    said = b""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while chunk := process.stdout.read1(KEPT_OUTPUT):
            said = (said + chunk)[-KEPT_OUTPUT:]
    if process.returncode == 124:
        return f"no answer within {ANSWER} seconds"
    if process.returncode != 0 or not said.strip():
        return quote.quote(said.decode(errors="replace"))
    return None


def image_package(project=None):
    """OpenClaw's package.json in a release's image; empty if it cannot be read. Runs no program of the image."""
    container = docker("create", "--network", "none", settings(project)["OPENCLAW_IMAGE"], "never-run")[0]
    try:
        command = ["docker", "cp", f"{container}:/app/package.json", "-"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
        return package_in(done.stdout)
    finally:
        with contextlib.suppress(Failed):
            docker("rm", "-f", "-v", container)


def package_in(archive):
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            entry = opened.next()
            if entry is None or not entry.isreg() or entry.size > LARGEST_PACKAGE:
                return {}
            found = json.loads(opened.extractfile(entry).read())
    except (tarfile.TarError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def version_in(package):
    """OpenClaw's version; empty if the package does not say."""
    found = package.get("version")
    return found if isinstance(found, str) and number(found) else ""


def image_version(project=None):
    return version_in(image_package(project))


def image_node(project):
    """The version of Node in a release's image; empty if it does not say."""
    alone = ["--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    try:
        said = docker("run", *alone, "--entrypoint", "node", settings(project)["OPENCLAW_IMAGE"], "--version")
    except Failed:
        return ""
    return said[0][1:] if len(said) == 1 and re.fullmatch(r"v\d+\.\d+\.\d+", said[0]) else ""


def allows(wanted, version):
    """Whether a range of npm, such as `>=24.16.0 <25 || >=26.1.0`, has this version. True if it cannot be parsed."""
    compare = {">=": operator.ge, ">": operator.gt, "<": operator.lt}
    alternatives = [[re.fullmatch(r"(>=|>|<)v?(\d+(?:\.\d+){0,2})", word) for word in part.split()] for part in wanted.split("||")]
    if not all(words and all(words) for words in alternatives):
        return True
    return any(all(compare[word[1]](number(version), number(word[2])) for word in words) for words in alternatives)


def number(version):
    """The numbers of a version such as 2026.9.4 or 2026.9.4-r20261001; None if it has none."""
    parts = version.replace("-r", ".").split("-")[0].split(".")
    return [int(part) for part in parts] if all(part.isdigit() and len(part) < 10 for part in parts) else None


def is_older(version, other):
    """False where one of them is unknown."""
    known = number(version or "-"), number(other or "-")
    return None not in known and known[0] < known[1]


# --- Reports ---


def metadata(method, path, body=None, timeout=10):
    """The status, the headers and the body of an answer of the metadata server."""
    server = urllib.parse.urlsplit(os.environ.get("OPENCLAW_METADATA_URL", "http://metadata.google.internal"))
    connection = http.client.HTTPConnection(server.hostname, server.port or 80, timeout=timeout)
    try:
        connection.request(method, f"/computeMetadata/v1/instance/{path}", body, {"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def listing(book):
    """The releases for `bake gcloud releases`, a line each: ID VERSION LOCK SINCE, and whether it can run."""
    rows = []
    for place, entry in enumerate(book["history"]):
        kept = "current" if place == 0 else "kept" if has(entry["id"]) and entry.get("copy") else "gone"
        rows.append(" ".join([entry["id"], entry.get("version") or "-", entry["lock"][:16] or "-", entry["since"], kept]))
    rows += [f"{identity} - - - failed: {plain(why)[:120]}" for identity, why in book["failed"].items()]
    return "\n".join(rows)


def plain(text):
    """One line of printable ASCII: the text may quote the container."""
    return "".join(character if " " <= character <= "~" else " " for character in text)


def console(line):
    """Writes to the serial console, in a process because that blocks while nothing drains it."""
    command = ["timeout", "5", "sh", "-c", 'printf "%s\\r\\n" "$1" >>"$2"', "sh", line, SERIAL]
    with contextlib.suppress(OSError):
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


def report(stage_name, identity="", error="", asked=None):
    """Reports a stage of a change, for the request `asked` or the last one, on the serial console and as guest
    attributes."""
    error = plain(error)[:400]
    console(f"openclaw: update={stage_name} release={identity}" + (f" error={error}" if error else ""))
    asked = request() if asked is None else asked
    values = {"update_release": identity, "update_error": error, "update": stage_name, "update_request": asked}
    private(RUN)
    with open(f"{RUN}/update.json", "w", encoding="utf-8") as file:
        json.dump(values, file)
    send()


def send():
    """Sends the last report, unless it has arrived. The request goes last: a reader that waits for it would take the
    stage of the request before for its own."""
    try:
        with open(f"{RUN}/update.json", encoding="utf-8") as file:
            values = json.load(file)
    except (FileNotFoundError, ValueError):
        return
    if all(put(key, value) for key, value in values.items()):
        os.unlink(f"{RUN}/update.json")


def put(key, value):
    """Sets a guest attribute; one without a value is deleted where the server accepts no empty one."""
    path = f"guest-attributes/openclaw/{key}"
    try:
        status, _, _ = metadata("PUT", path, value.encode(), timeout=3)
        if status >= 300 and not value:
            metadata("DELETE", path, timeout=3)
            return True
        return status < 300
    except (OSError, http.client.HTTPException):
        return False


# --- Changes ---


def uptime():
    """Seconds since boot: the clock jumps."""
    with open("/proc/uptime", encoding="utf-8") as file:
        return float(file.read().split()[0])


def boot_id():
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def timestamp():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def entry_of(identity, version=""):
    return {"id": identity, "version": version, "lock": about(identity)["lock"], "since": timestamp()}


def begin(book, kind, target, source=None, asked=""):
    """Writes the intent for the request `asked`; converge.sh carries it out once it is started again."""
    here = current()
    if not book["history"] or book["history"][0]["id"] != here:
        book["history"].insert(0, entry_of(here))
    stamp = f"{int(time.time())}-{os.urandom(4).hex()}"
    change = {"kind": kind, "phase": "save", "from": here, "to": target, "copy": stamp, "boots": [], "request": asked}
    if source:
        change["source"] = source
        change["incoming"] = f"{stamp}-in"
    book["change"] = change


def advance(book, phase, **values):
    book["change"].update(values, phase=phase)
    save(book)


def conclude(book):
    book["change"] = None
    save(book)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(TRIAL)


def settle():
    adopt()
    if current() is None:
        return
    with journal() as book:
        if book["change"] and has(book["change"]["to"]):
            # Only now: a loss of power before the intent was written must not lose the request.
            answer(book["change"]["request"])
        while book["change"]:
            phase = book["change"]["phase"]
            {"save": do_save, "swap": do_swap, "trial": do_trial, "back": do_back}[phase](book, book["change"])
            if phase == "trial" and book["change"] and book["change"]["phase"] == "trial":
                break
        if not book["change"]:
            switch(current())
        sweep_copies(book)
    write(SETTLED, b"")


def do_save(book, change):
    if not has(change["to"]) or not has(change["from"]):
        # Another boot disk: its user-data decides. The state is untouched.
        conclude(book)
        return
    report("saving", change["to"])
    stop_gateway()
    try:
        if change.get("source"):
            copy(f"{STORE}/copies/{change['source']}", change["incoming"])
        else:
            copy(STATE, change["copy"])
    except Failed as failure:
        conclude(book)
        report("refused", change["to"], f"{failure}; the release before runs on")
        return
    if change.get("source"):
        advance(book, "swap", names=names(f"{STORE}/copies/{change['incoming']}"))
    else:
        advance(book, "trial")


def do_swap(book, change):
    stop_gateway()
    move_in(f"{STORE}/copies/{change['incoming']}", f"{STORE}/copies/{change['copy']}", change["names"])
    advance(book, "trial")


def do_trial(book, change):
    if not has(change["to"]) or not has(change["from"]):
        # Another boot disk, which has one of both at most.
        if current() == change["from"]:
            back(book, "the VM was replaced by one of the release before")
        else:
            accept(book, change)
        return
    if boot_id() not in change["boots"]:
        if len(change["boots"]) >= TRIES:
            back(book, f"the gateway was not ready for a minute in {TRIES} boots of the VM")
            return
        advance(book, "trial", boots=[*change["boots"], boot_id()])
    switch(change["to"])
    if not os.path.exists(TRIAL):
        private(RUN)
        with open(TRIAL, "w", encoding="utf-8") as file:
            json.dump({"begun": uptime()}, file)
        report("trial", change["to"])


def take_back():
    """Ends a trial that the new release's own scripts should have ended. True if there was one."""
    # Before the data disk is mounted, a journal would be created on the boot disk.
    if not os.path.exists(TRIAL):
        return False
    with journal() as book:
        change = book["change"]
        if not change or change["phase"] != "trial":
            return False
        with open(TRIAL, encoding="utf-8") as file:
            begun = json.load(file)["begun"]
        if uptime() - begun < LONGEST_TRIAL + GRACE:
            return False
        back(book, "its scripts have not ended the trial")
    settle()
    return True


def back(book, why):
    change = book["change"]
    path = f"{STORE}/copies/{change['copy']}"
    book["failed"][change["to"]] = why
    advance(book, "back", names=names(path) if os.path.isdir(path) else None, error=why)


def do_back(book, change):
    report("back", change["from"], change["error"])
    stop_gateway()
    if change["names"] is not None:
        move_in(f"{STORE}/copies/{change['copy']}", f"{STORE}/copies/{change['copy']}-out", change["names"])
    if has(change["from"]):
        switch(change["from"])
    conclude(book)
    report("rolled-back", change["from"], change["error"])


def accept(book, change):
    """The new release is the one that the state belongs to."""
    left = dict(next((entry for entry in book["history"] if entry["id"] == change["from"]), {"id": change["from"], "lock": "", "since": ""}))
    left["copy"] = change["copy"]
    entry = next((entry for entry in book["history"] if entry["id"] == change["to"]), None)
    if has(change["to"]):
        entry = entry_of(change["to"], change.get("version", ""))
    book["history"] = [entry or {"id": change["to"], "version": change.get("version", ""), "lock": "", "since": timestamp()}, left][:KEPT]
    book["failed"].pop(change["to"], None)
    if change["kind"] == "rollback":
        book["failed"][change["from"]] = "rolled back by hand"
    conclude(book)


def claim():
    here = current()
    if here is None:
        return
    version = image_version()
    with journal() as book:
        change, owner = book["change"], next(iter(book["history"]), None)
        if change:
            change["version"] = version
            return
        if owner and owner["id"] == here:
            owner["version"] = version or owner["version"]
            return
        if owner and is_older(version, owner["version"]):
            kind = "state-newer"
            with open(f"{RUN}/error_kind", "w", encoding="utf-8") as file:
                file.write(f"{kind}\n")
            print(
                f"the state belongs to OpenClaw {owner['version']} (lock {owner['lock'][:16]}), and this bundle has "
                f"{version}, which may not be able to read it: the gateway is not started",
                file=sys.stderr,
            )
            sys.exit(78)
        book["history"] = [entry_of(here, version), *(entry for entry in book["history"] if entry["id"] != here)][:KEPT]


def probed(word):
    """Keeps the release once its gateway was ready for a minute and has answered what it must. Returns why the trial
    has failed, or None."""
    now = uptime()
    with journal() as book:
        change = book["change"]
        if not change or change["phase"] != "trial":
            return None
        with open(TRIAL, encoding="utf-8") as file:
            trial = json.load(file)
        if word != "ready":
            trial.pop("ready", None)
        elif now - trial.setdefault("ready", now) >= STEADY:
            unanswered = ask() if settings()["OPENCLAW_ASK_AFTER_UPDATE"] else None
            if not unanswered:
                accept(book, change)
                sweep_copies(book)
                report("done", change["to"])
                return None
            trial["questions"] = trial.get("questions", 0) + 1
            if trial["questions"] == QUESTIONS:
                return f"the agent did not answer {QUESTIONS} messages: {unanswered}"
        with open(TRIAL, "w", encoding="utf-8") as file:
            json.dump(trial, file)
        return None if now - trial["begun"] < LONGEST_TRIAL else "the gateway was not ready for a minute within half an hour"


def failed(stage_name, code, text):
    with journal() as book:
        change = book["change"]
        if not change or change["phase"] != "trial":
            return change is not None and change["phase"] == "back"
        with open(TRIAL, encoding="utf-8") as file:
            late = uptime() - json.load(file)["begun"] >= LONGEST_TRIAL / 2
        if code == "78" or stage_name in GATEWAY or late:
            back(book, f"{stage_name.rpartition('.')[0] or stage_name}: {text}")
            return True
    return False


def main(arguments):
    try:
        match arguments:
            case []:
                settle()
            case ["claim"]:
                claim()
            case ["probed", word]:
                if why := probed(word):
                    print(why)
                    return 1
            case ["failed", stage_name, code, text]:
                return 0 if failed(stage_name, code, text) else 1
    except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        print(f"the release could not be settled: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
