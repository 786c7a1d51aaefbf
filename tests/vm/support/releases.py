"""A VM's folders below a temporary one for release.py and update.py, with a stand-in for the engine.

The stand-in gateway migrates its state: it writes its version into it, and refuses a state of a newer one.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../../cloud-init"))
import release  # noqa: E402

RUN = release.subprocess.run

class PowerCut(Exception):
    pass


class World:
    def __init__(self):
        self.path = tempfile.mkdtemp(dir="/dev/shm")
        self.ticks, self.boots, self.cut_at, self.checkpoints = 100.0, 0, None, 0
        self.running, self.versions, self.serial, self.commands, self.broken_cp = False, {}, [], [], None
        self.removed, self.asks, self.node, self.wanted_node = [], "", "v24.16.0", ">=24.16.0 <25 || >=26.1.0"
        inside = self.path + "/vm"
        release.ROOT = inside
        release.STATE, release.STORE = f"{inside}/var/lib/openclaw", f"{inside}/var/lib/openclaw/releases"
        release.BOOT, release.RUN = f"{inside}/var/lib/openclaw-boot", f"{inside}/run/openclaw"
        release.TRIAL, release.SETTLED = f"{release.RUN}/trial", f"{release.RUN}/settled"
        release.uptime = lambda: self.ticks
        release.boot_id = lambda: f"boot-{self.boots}"
        release.checkpoint = self.checkpoint
        for folder in (release.STATE, release.BOOT, release.RUN, inside + "/etc"):
            os.makedirs(folder)
        release.docker, release.image_package, release.console = self.docker, self.image_package, self.serial.append
        release.subprocess.run = self.run
        os.environ["OPENCLAW_METADATA_URL"] = "http://127.0.0.1:9"

    def close(self):
        release.subprocess.run = RUN
        release.checkpoint = lambda _name: None
        shutil.rmtree(self.path)

    # --- Bundles ---

    def files(self, identity, version):
        """The files of a bundle: its image has OpenClaw `version`."""
        self.versions[f"image-{identity}"] = version
        unit = "/etc/systemd/system/openclaw-gateway.service"
        said = {"id": identity, "files": [unit]}
        return {
            "/opt/openclaw/release.json": (json.dumps(said).encode(), 0o644),
            "/opt/openclaw/lock.sha256": (f"{identity * 8}  bake.lock\n".encode(), 0o644),
            "/opt/openclaw/settings.env": (f"OPENCLAW_IMAGE=image-{identity}\nOPENCLAW_STOP_SECONDS=330\nOPENCLAW_ASK_AFTER_UPDATE={self.asks}\n".encode(), 0o644),
            "/usr/local/lib/openclaw/converge.sh": (f"#!/bin/sh\n# {identity}\n".encode(), 0o755),
            "/usr/local/lib/openclaw/release.py": (b"#!/usr/bin/env python3\n", 0o755),
            "/usr/local/lib/openclaw/image.sh": (b"#!/bin/sh\n", 0o755),
            "/usr/local/lib/openclaw/verify.sh": (b"#!/bin/sh\n", 0o755),
            unit: (f"# {identity}\n".encode(), 0o644),
        }

    def first_boot(self, identity, version):
        """As cloud-init leaves the files; then the first start."""
        for name, (content, mode) in self.files(identity, version).items():
            path = release.ROOT + name
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, mode)
        open(f"{release.BOOT}/applied", "w", encoding="utf-8").close()

    def stage(self, identity, version):
        release.stage(identity, self.files(identity, version))

    def new_boot_disk(self, identity, version):
        """Another VM of this bundle, with the same data disk."""
        for path in (release.BOOT, release.ROOT + "/opt", release.ROOT + "/usr", release.ROOT + "/etc"):
            shutil.rmtree(path, ignore_errors=True)
        os.makedirs(release.BOOT)
        self.first_boot(identity, version)
        self.lose_power()

    # --- Time and power ---

    def checkpoint(self, _name):
        self.checkpoints += 1
        if self.cut_at is not None and self.checkpoints == self.cut_at:
            self.cut_at = None
            raise PowerCut

    def lose_power(self):
        self.boots += 1
        self.ticks = 20.0
        shutil.rmtree(release.RUN)
        os.makedirs(release.RUN)
        self.running = False

    # --- The gateway ---

    def start(self, healthy=lambda identity: True):
        """The stages and some minutes of the watch, as converge.sh runs them, until the release is settled."""
        for _ in range(12):
            release.settle()
            here = release.current()
            text = self.run_gateway(here, healthy)
            if text is None:
                for _ in range(8):
                    self.ticks += 15
                    release.probed("ready")
                return here
            if not release.failed("start.sh", "78", text):
                return None
        raise AssertionError("it never came to an end")

    def run_gateway(self, identity, healthy):
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                release.claim()
        except SystemExit:
            return "refused before its start"
        version = release.image_version()
        self.running = True
        state = self.state()
        if state.get("version") and release.is_older(version, state["version"]):
            self.running = False
            return "the state is of a newer version"
        # Even a release that never becomes healthy migrates first.
        state["version"] = version
        state.setdefault("history", []).append(identity)
        for name in ("config", "workspace", "secrets"):
            os.makedirs(f"{release.STATE}/{name}", exist_ok=True)
        for name in ("config", "workspace"):
            with open(f"{release.STATE}/{name}/db", "w", encoding="utf-8") as file:
                json.dump(state, file)
        if not healthy(identity):
            return "Gateway failed to start: no such column"
        return None

    def state(self):
        found = []
        for name in ("config", "workspace"):
            try:
                with open(f"{release.STATE}/{name}/db", encoding="utf-8") as file:
                    found.append(json.load(file))
            except FileNotFoundError:
                found.append({})
        assert found[0] == found[1], f"the state is of two times: {found}"
        return found[0]

    # --- The engine and other programs ---

    def docker(self, command, *arguments, timeout=60):
        if command == "image":
            self.removed.append(arguments[-1])
        if command == "stop":
            self.running = False
        if command == "run":
            return self.node.split()
        return ["abc"] if self.running and command == "ps" else []

    def image_package(self, project=None):
        return {"version": self.versions[release.settings(project)["OPENCLAW_IMAGE"]], "engines": {"node": self.wanted_node}}

    def run(self, command, **options):
        self.commands.append(command)
        if command[0] == "systemctl":
            return None
        if command[0] == "cp" and self.broken_cp:
            os.makedirs(f"{command[-1]}/config")
            command = ["sh", "-c", 'echo "$1" >&2; exit 1', "sh", self.broken_cp]
        return RUN(command, **options)
