#!/usr/bin/env python3
"""Applies the spec to openclaw.json: onboarding, model, channels, origins of the Control UI.

Every change goes through OpenClaw's own commands, in a container of the gateway's service. After
onboarding, openclaw.json belongs to its user: a change of the spec is applied once, and recorded below
/var/lib/openclaw/applied. A failure, or a step for a person, is one line on standard error; the next start
tries again. Only a failed onboarding keeps the gateway down (exit code 1).

configure.py --allow-origin PORT allows one more port for browsers while the gateway runs.
"""

import errno
import fcntl
import json
import os
import re
import shlex
import stat
import subprocess
import sys

LIB = "/usr/local/lib/openclaw"
PROJECT = "/opt/openclaw"
STATE = "/var/lib/openclaw"
RUN = "/run/openclaw"
# In a rehearsal only: the port on the host.
REHEARSAL = "/run/openclaw-rehearsal-port"
COMPOSE = "openclaw"
SERVICE = "openclaw-gateway"
SETUP = "openclaw-setup"
# The gateway's port and user in its container.
CONTAINER_PORT = 18789
UID = 1000
TOKEN = "OPENCLAW_GATEWAY_TOKEN"
# The name of the provider in openclaw.json for `base_url` of the spec.
SERVED = "custom"
# The container writes this file, so its size is limited.
LARGEST_CONFIG = 4 << 20
MOST_PORTS = 16  # for --allow-origin
KEPT_OUTPUT = 32768

MISSING, UNREADABLE = "missing", "unreadable"


class Failed(Exception):
    """A command of OpenClaw failed; the message is its output."""


# --- Files ---


def sync(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_config():
    """openclaw.json as a dict, or MISSING, or UNREADABLE. The container may have put anything in its place."""
    try:
        descriptor = os.open(f"{STATE}/config/openclaw.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES):
            return UNREADABLE
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return UNREADABLE
    with open(descriptor, "rb") as file:
        text = file.read(LARGEST_CONFIG + 1)
    if len(text) > LARGEST_CONFIG:
        return UNREADABLE
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE
    return config if isinstance(config, dict) else UNREADABLE


def write_config(config):
    """Creates openclaw.json whole or not at all, in a folder that the container writes."""
    folder = os.open(f"{STATE}/config", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    new = "openclaw.json.bake"
    try:
        try:
            os.unlink(new, dir_fd=folder)
        except FileNotFoundError:
            pass
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder), "wb") as file:
            os.fchown(file.fileno(), UID, UID)
            file.write(json.dumps(config).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, "openclaw.json", src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_config():
    try:
        os.unlink(f"{STATE}/config/openclaw.json")
    except FileNotFoundError:
        return
    sync(f"{STATE}/config")


def mark():
    return f"{STATE}/onboarding"


def set_mark():
    descriptor = os.open(mark(), os.O_WRONLY | os.O_CREAT, 0o600)
    os.fsync(descriptor)
    os.close(descriptor)
    sync(STATE)


def clear_mark():
    os.unlink(mark())
    sync(STATE)


def read_applied(name):
    """A file that write_applied wrote; {} before the first time."""
    try:
        with open(f"{STATE}/applied/{name}", "rb") as file:
            return as_dict(json.load(file))
    except (FileNotFoundError, ValueError):
        return {}


def read_record():
    """The applied settings."""
    return read_applied("openclaw.json")


def write_record(record):
    write_applied("openclaw.json", record)


def write_applied(name, content):
    folder = f"{STATE}/applied"
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o700)
        sync(STATE)
    path = f"{folder}/{name}"
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(json.dumps(content, sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)
    sync(folder)


def read_copy():
    """openclaw.json as it was when the gateway last started."""
    return read_applied("copy.json")


def write_private(path, content):
    """Writes a file for root only, whole or not at all."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.rename(path + ".new", path)


def withhold(secrets):
    """Removes secrets from the gateway's environment. secrets.py writes the file again before each
    start, and finds in withheld.env what it has read before."""
    path = f"{RUN}/secrets.env"
    with open(path, "rb") as file:
        rows = list(file)
    names = {secret.encode() for secret in secrets}
    withheld = [row for row in rows if row.partition(b"=")[0] in names]
    if withheld:
        write_private(f"{RUN}/withheld.env", b"".join(withheld))
        write_private(path, b"".join(row for row in rows if row not in withheld))


# --- Values ---


def at(config, *path):
    """The value at a path, or None. The container writes openclaw.json, so any type is possible."""
    for key in path:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def as_dict(value):
    return value if isinstance(value, dict) else {}


def merged(*patches):
    """Merges patches recursively."""
    result = {}
    for patch in patches:
        for key, value in patch.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def origins(port):
    return [f"http://127.0.0.1:{port}", f"http://localhost:{port}"]


def origins_patch(config, ports, dropped=()):
    """Allows the origins of `ports` and removes those of `dropped`."""
    given = at(config, "gateway", "controlUi", "allowedOrigins")
    given = given if isinstance(given, list) else []
    unwanted = [origin for port in dropped if port not in ports for origin in origins(port)]
    allowed = [origin for origin in given if origin not in unwanted]
    allowed += [origin for port in ports for origin in origins(port) if origin not in allowed]
    return {"gateway": {"controlUi": {"allowedOrigins": allowed}}} if allowed != given else {}


def primary(config):
    """The default model, which OpenClaw writes as text or as an object."""
    model = at(config, "agents", "defaults", "model")
    return model if isinstance(model, str) else at(model, "primary")


def is_none(model):
    return model["choice"] == "skip" and not model.get("base_url")


def choice_of(model):
    """The keys that identify a model."""
    return {key: model.get(key) for key in ("choice", "name", "base_url", "api", "key")}


def wanted_primary(model):
    """The default model in the spec, or None for the provider's usual one."""
    name = model.get("name")
    provider = SERVED if model.get("base_url") else model.get("provider")
    if not name or not provider:
        return None
    return name if name.startswith(provider + "/") else f"{provider}/{name}"


def default_model(value):
    return {"agents": {"defaults": {"model": value}}}


def model_patch(model):
    """Sets the model of the spec, in addition to what onboarding does for a known provider."""
    wanted = wanted_primary(model)
    if wanted is None:
        return {}
    patch = default_model({"primary": wanted})
    if model.get("base_url"):
        served = {"baseUrl": model["base_url"], "api": model["api"], "models": [{"id": model["name"], "name": model["name"]}]}
        if model.get("key"):
            served["apiKey"] = {"source": "env", "provider": "default", "id": model["key"]}
        patch["models"] = {"providers": {SERVED: served}}
    return patch


def has_provider(config, provider):
    """Whether onboarding has configured this provider."""
    profiles = as_dict(at(config, "auth", "profiles")).values()
    return provider is not None and any(at(profile, "provider") == provider for profile in profiles)


def channel_patch(name, how):
    patch = {"channels": {name: {"enabled": True}}}
    if how["plugin"]:
        patch["plugins"] = {"entries": {name: {"enabled": True}}}
    return patch


def has_channel(config, name):
    return isinstance(at(config, "channels", name), dict)


def first_config(spec):
    """The settings before onboarding, so that a first boot needs one call of OpenClaw."""
    ready = [channel_patch(name, spec.known[name]) for name in spec.channels if name in spec.known and not spec.known[name]["plugin"]]
    limit = {"gateway": {"auth": {"rateLimit": {"maxAttempts": 10, "windowMs": 60000, "lockoutMs": 300000}}}}
    served = model_patch(spec.model) if spec.model.get("base_url") else {}
    return merged(origins_patch({}, spec.ports), limit, served, *ready)


class Spec:
    """The settings, and the known channels."""

    def __init__(self, settings, known, extra_port=""):
        self.model = as_dict(json.loads(settings.get("OPENCLAW_MODEL") or "{}"))
        self.keys = self.model.pop("keys", None)
        self.model["choice"] = settings["OPENCLAW_AUTH_CHOICE"]
        self.channels = settings["OPENCLAW_CHANNELS"].split()
        self.secrets = [entry.partition("=")[0] for entry in settings["OPENCLAW_SECRETS"].split()]
        self.known = known
        ports = [int(settings["OPENCLAW_PORT"]), CONTAINER_PORT]
        if re.fullmatch(r"[0-9]{1,5}", extra_port):
            ports.append(int(extra_port))
        self.ports = list(dict.fromkeys(ports))

    def hidden(self):
        """Secrets that OpenClaw's commands must not see: with the token of a channel, every command tries
        to install a missing plug-in, and some fail while npm is unreachable."""
        needed = {TOKEN, self.model.get("key"), *(self.keys or [])}
        if self.model["choice"] != "skip" and self.keys is None:
            return []
        return [name for name in self.secrets if name not in needed]


def read_spec():
    settings = {}
    with open(f"{PROJECT}/settings.env", encoding="utf-8") as file:
        for word in shlex.split(file.read(), comments=True):
            key, _, value = word.partition("=")
            settings[key] = value
    with open(f"{LIB}/channels.json", encoding="utf-8") as file:
        known = json.load(file)
    rehearsal = ""
    if os.path.exists(REHEARSAL):
        with open(REHEARSAL, encoding="utf-8") as file:
            rehearsal = file.read().strip()
    return Spec(settings, known, rehearsal)


# --- OpenClaw ---


def run(command, text=b""):
    """Runs a command of OpenClaw and keeps the end of its output."""
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        pass
    said = b""
    while chunk := process.stdout.read1(65536):
        said = (said + chunk)[-KEPT_OUTPUT:]
    code = process.wait()
    with open(os.open(f"{RUN}/start.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(said)
    if code != 0:
        raise Failed(f"exit code {code}: {quote()}")


def quote():
    """The line of the last command's output that explains its failure."""
    said = subprocess.run([f"{LIB}/quote.py", f"{RUN}/start.log"], stdout=subprocess.PIPE, check=False)
    return said.stdout.decode(errors="replace").strip() or "it said nothing"


def remove_setup():
    command = ["timeout", "60", "docker", "rm", "-f", SETUP]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


class Setup:
    """Commands in a container of the gateway's service, without its ports: openclaw-cli would need a
    running gateway for its network. It has a name because it can outlive its client."""

    def __init__(self, hidden):
        self.hidden = [word for name in hidden for word in ("-e", f"{name}=")]

    def __call__(self, *arguments, text=b""):
        remove_setup()
        compose = ["docker", "compose", "run", "--rm", "-T", "--no-deps", "--name", SETUP, *self.hidden, SERVICE]
        run(["timeout", "600", *compose, "node", "dist/index.js", *arguments], text)

    def onboard(self, choice):
        self(
            *("onboard", "--non-interactive", "--accept-risk", "--skip-health", "--mode", "local"),
            *("--auth-choice", choice, "--secret-input-mode", "ref"),
            *("--gateway-auth", "token", "--gateway-token-ref-env", TOKEN, "--gateway-bind", "lan"),
            *("--skip-channels", "--no-install-daemon"),
        )

    def patch(self, patch):
        self("config", "patch", "--stdin", text=json.dumps(patch).encode())


class Running(Setup):
    """Commands in the container of a running gateway."""

    def __init__(self, hidden, container):
        super().__init__(hidden)
        self.container = container

    def __call__(self, *arguments, text=b""):
        run(["timeout", "300", "docker", "exec", "-i", *self.hidden, self.container, "node", "dist/index.js", *arguments], text)


def container():
    """The gateway's own, if it runs: containers of `docker compose run` belong to the same service."""
    labels = [f"project={COMPOSE}", f"service={SERVICE}", "oneoff=False"]
    filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    said = subprocess.run(["timeout", "60", "docker", "ps", "-q", *filters], stdout=subprocess.PIPE, check=False)
    return (said.stdout.decode().split() or [None])[0]


# --- Steps ---


class Configuration:
    """One run of this script over openclaw.json."""

    def __init__(self, spec, openclaw):
        self.spec = spec
        self.openclaw = openclaw
        self.record = read_record()
        self.notes = []

    def bring_in_line(self):
        config = read_config()
        if config is MISSING and self.restore():
            config = read_config()
        if config is MISSING or os.path.lexists(mark()):
            self.onboard()
        elif config is UNREADABLE:
            self.notes.append("openclaw.json is not plain JSON, so model, channels and origins were left as they are")
            return
        self.apply_model()
        self.apply_channels()
        self.apply_origins()
        self.report_links()
        withhold(self.secrets_without_plugin())
        self.keep_copy()

    def restore(self):
        """Puts back an openclaw.json that the container has deleted: that is no reason to run onboarding, with the
        secrets that it sees. An unfinished onboarding has left none."""
        copy = read_copy()
        if not copy or os.path.lexists(mark()):
            return False
        write_config(copy)
        self.notes.append("openclaw.json was missing, so it was restored as of the gateway's last start")
        return True

    def keep_copy(self):
        config = read_config()
        if isinstance(config, dict) and config and config != read_copy():
            try:
                write_applied("copy.json", config)
            except OSError as error:
                self.notes.append(f"no copy of openclaw.json could be kept: {error.strerror}")

    def onboard(self):
        """Onboarding saves more than once. While the mark exists, it is incomplete, and openclaw.json is
        only its work: the gateway has never run with it."""
        if self.record and not os.path.lexists(mark()):
            self.notes.append("openclaw.json was missing, so it was created again")
        set_mark()
        remove_setup()
        remove_config()
        write_config(first_config(self.spec))
        try:
            self.openclaw.onboard(self.spec.model["choice"])
        except Failed as failed:
            self.undo(f"onboarding failed with {failed}")
        config = read_config()
        if not isinstance(config, dict) or not config:
            self.undo(f"onboarding left no openclaw.json: {quote()}")
        model = choice_of(self.spec.model)
        if wanted_primary(self.spec.model) not in (None, primary(config)):
            model = {**model, "name": None, "base_url": None}
        self.record = {
            "model": model,
            "primary": None if is_none(self.spec.model) else primary(config),
            "channels": [name for name in self.spec.channels if has_channel(config, name)],
            "ports": self.record.get("ports", []),
        }
        sync(f"{STATE}/config")
        write_record(self.record)
        clear_mark()

    def undo(self, why):
        # A container that outlived its client could save once more, so it must be gone first. Later changes
        # are an administrator's work, and stay.
        if remove_setup():
            remove_config()
            clear_mark()
        raise Failed(why)

    def apply_model(self):
        """Applies the model of the spec, once for each change."""
        model, config = self.spec.model, as_dict(read_config())
        applied = self.record.get("model")
        if applied is None:
            # Configured before records existed: by the same choice, or not at all.
            known = is_none(model) or has_provider(config, model.get("provider"))
            applied = {**choice_of(model), "name": None} if known else {}
            if applied == choice_of(model):
                self.record.update(model=applied, primary=None)
                write_record(self.record)
        if applied == choice_of(model):
            return
        try:
            self.change_model(applied, model, config)
        except Failed as failed:
            self.notes.append(f"the model could not be set: {failed}")
            return
        now = primary(as_dict(read_config()))
        expected = wanted_primary(model)
        if expected is not None and now != expected:
            self.notes.append(f"the model could not be set: openclaw.json has {json.dumps(now)[:80]}")
            return
        self.record.update(model=choice_of(model), primary=None if is_none(model) else now)
        write_record(self.record)

    def change_model(self, applied, model, config):
        patch = model_patch(model)
        # Only onboarding knows a provider's usual model.
        usual = wanted_primary(model) is None
        if not is_none(model) and not model.get("base_url") and (usual or applied.get("choice") != model["choice"]):
            self.onboard_again(model, at(config, "agents", "defaults", "model"))
            config = as_dict(read_config())
        if is_none(model) and primary(config) is not None and primary(config) == self.record.get("primary"):
            patch = default_model(None)
        # Its key may be missing from the environment, which the gateway would report at every start.
        served = isinstance(at(config, "models", "providers", SERVED), dict)
        if applied.get("base_url") and not model.get("base_url") and served:
            patch = merged(patch, {"models": {"providers": {SERVED: None}}})
        if patch:
            self.openclaw.patch(patch)

    def onboard_again(self, model, before):
        """Onboarding of some providers keeps an existing default model, so remove it first."""
        if before is not None:
            self.openclaw.patch(default_model(None))
        try:
            self.openclaw.onboard(model["choice"])
        except Failed:
            if before is not None and primary(as_dict(read_config())) is None:
                self.openclaw.patch(default_model(before))
            raise

    def apply_channels(self):
        """Adds each channel once: a channel that the user removes later stays removed."""
        config = as_dict(read_config())
        if "channels" not in self.record:
            self.record["channels"] = self.channels_of_marks(config)
        why, patches = {}, {}
        for name in self.spec.channels:
            if name in self.record["channels"]:
                continue
            how = self.spec.known.get(name)
            if how is None:
                self.notes.append(f"bake does not set up the channel {name}: bake gcloud cli -- channels add --channel {name}")
            elif not has_channel(config, name):
                try:
                    self.install_plugin(config, name, how)
                    patches[name] = channel_patch(name, how)
                except Failed as failed:
                    why[name] = f"its plug-in {how['plugin']} could not be installed, {failed}"
        if patches:
            try:
                self.openclaw.patch(merged(*patches.values()))
            except Failed:
                # One by one, since OpenClaw may refuse only some of them.
                for name, patch in patches.items():
                    try:
                        self.openclaw.patch(patch)
                    except Failed as failed:
                        why[name] = str(failed)
            config = as_dict(read_config())
        before = list(self.record["channels"])
        for name in self.spec.channels:
            if name in self.spec.known and name not in before:
                if has_channel(config, name):
                    self.record["channels"].append(name)
                else:
                    self.notes.append(f"channel {name} could not be added: {why.get(name, 'openclaw.json does not have it')}")
        if self.record != read_record():
            write_record(self.record)

    def channels_of_marks(self, config):
        """Channels that releases without a record have added. They also marked channels without plug-in."""
        try:
            marks = os.listdir(f"{STATE}/channels-added")
        except FileNotFoundError:
            marks = []
        plugin = {name: how["plugin"] for name, how in self.spec.known.items()}
        return sorted(name for name in marks if not plugin.get(name) or has_channel(config, name))

    def install_plugin(self, config, name, how):
        if not how["plugin"] or isinstance(at(config, "plugins", "entries", name), dict):
            return
        try:
            self.openclaw("plugins", "install", how["plugin"])
        except Failed as failed:
            if "already exists" not in str(failed):
                raise

    def apply_origins(self):
        ports = [*self.spec.ports, *self.record.get("ports", [])]
        patch = origins_patch(as_dict(read_config()), ports)
        if not patch:
            return
        try:
            self.openclaw.patch(patch)
        except Failed as failed:
            self.notes.append(f"the Control UI's origins could not be set: {failed}")

    def report_links(self):
        """Notes the channels that need an account to be linked."""
        config = as_dict(read_config())
        for name in self.spec.channels:
            link = as_dict(self.spec.known.get(name)).get("link")
            if link and has_channel(config, name) and not os.path.lexists(f"{STATE}/config/{link}"):
                self.notes.append(f"{name} waits to be linked: bake gcloud cli -- channels login --channel {name}")

    def secrets_without_plugin(self):
        """Tokens of channels without plug-in: the gateway tries to install it at every start, which takes
        minutes while npm is unreachable."""
        config = as_dict(read_config())
        missing = [
            how
            for name, how in self.spec.known.items()
            if how["plugin"] and not has_channel(config, name) and at(config, "plugins", "entries", name) is None
        ]
        return {secret for how in missing for secret in how["secrets"]}

    def allow_origin(self, port):
        """Allows one more port while the gateway runs, and drops the oldest beyond the limit."""
        ports = [kept for kept in self.record.get("ports", []) if kept != port]
        dropped = []
        if port not in self.spec.ports:
            ports.append(port)
            dropped, ports = ports[:-MOST_PORTS], ports[-MOST_PORTS:]
        patch = origins_patch(as_dict(read_config()), [*self.spec.ports, *ports], dropped)
        if patch:
            self.openclaw.patch(patch)
            if origins_patch(as_dict(read_config()), [port]):
                raise Failed(f"openclaw.json does not have it: {quote()}")
        if ports != self.record.get("ports", []):
            self.record["ports"] = ports
            write_record(self.record)


def main(arguments):
    port = None
    if arguments:
        number = arguments[1] if len(arguments) == 2 and arguments[0] == "--allow-origin" else ""
        port = int(number) if re.fullmatch(r"[1-9][0-9]{0,4}", number) else 0
        if not 1 <= port <= 65535:
            print("usage: allow-origin PORT, from 1 to 65535", file=sys.stderr)
            return 2
    os.makedirs(RUN, mode=0o700, exist_ok=True)
    lock = os.open(f"{RUN}/configure.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    spec = read_spec()
    try:
        if port is None:
            configuration = Configuration(spec, Setup(spec.hidden()))
            configuration.bring_in_line()
            if configuration.notes:
                print("; ".join(configuration.notes), file=sys.stderr)
        else:
            name = container()
            if name is None:
                raise Failed("the gateway does not run")
            Configuration(spec, Running(spec.hidden(), name)).allow_origin(port)
    except Failed as failed:
        print(f"port {port} could not be allowed: {failed}" if port else failed, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or STATE}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
