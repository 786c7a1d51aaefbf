#!/usr/bin/env python3
"""probe.py: prints what the gateway does, as one line: a word, and what there is to say about it.

    ready      it works; what is said, if anything, is worth a note (a channel that is down)
    starting   it is on its way, or at its own restart
    silent     it runs, and does not answer as OpenClaw does
    refusing   it has started, and refuses its agents
    stopped    its container has stopped: with which exit code, the line in which it says why, what to do
    gone       it has no container
    away       Docker does not answer

Exits with 0 where it is ready, with 78 (EX_CONFIG) where somebody has to help, else with 1.

The status code of an answer proves nothing, since the Control UI answers unknown paths with 200, so
the JSON decides. /readyz is false for a broken channel, too, which is no reason to call a VM broken;
why it is false OpenClaw tells only on its own loopback interface, so it is asked there, in the
container, and only then.
"""

import http.client
import json
import shlex
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
import quote  # noqa: E402  (beside this program)

SETTINGS = "/opt/openclaw/settings.env"
LARGEST = 65536
# By label: Compose itself needs the secrets to name its containers.
LABELS = ("project=openclaw", "service=openclaw-gateway", "oneoff=False")
STATE = (
    "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.StartedAt}} "
    "{{if .State.Health}}{{.State.Health.Status}}{{end}}"
)
INSIDE = (
    "fetch(`http://127.0.0.1:${process.env.OPENCLAW_GATEWAY_PORT}/readyz`,{signal:AbortSignal.timeout(8000)})"
    f".then(r=>r.text()).then(t=>process.stdout.write(t.slice(0,{LARGEST})))"
)
DOCTOR = "run: bake gcloud cli -- doctor --fix"
READY, HELP_NEEDED, NOT_READY = 0, 78, 1


class Away(Exception):
    """Docker does not answer."""


def docker(*arguments, timeout=20):
    """What a docker command says on both its outputs, or `Away`."""
    try:
        done = subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        raise Away from None
    return done.stdout.decode(errors="replace")


def container():
    filters = [word for label in LABELS for word in ("--filter", f"label=com.docker.compose.{label}")]
    return docker("ps", "-aq", *filters).strip()


def too_long(*_):
    raise TimeoutError


def get(port, path, seconds=10):
    """The status and the beginning of the body of an answer, or `None`. No proxy has a say in it."""
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(LARGEST)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        signal.alarm(0)


def fields(body):
    """The JSON object that `body` is, or nothing of one."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def started(answer):
    """What an answer of /startupz means: a word, and the reason where it is not `ready`."""
    if answer is None:
        return "silent", "the gateway does not answer"
    status, body = answer
    said = fields(body).get("status")
    if said in ("starting", "draining"):
        return "starting", f"the gateway is {said}"
    if status == 200 and said == "started":
        return "ready", ""
    if status == 200:
        return "silent", "the gateway answers /startupz with a page: OpenClaw has this probe from 2026.8 on"
    return "silent", f"the gateway answers /startupz with status {status}"


def listed(report, name, kind):
    entries = report.get(name)
    return [entry for entry in entries if isinstance(entry, kind)] if isinstance(entries, list) else []


def refuses(report):
    """What /readyz says in detail: a word, and the reason or a note."""
    failing = listed(report, "failing", str)
    agents = [entry for entry in failing if entry.startswith("agent-database:")]
    if agents or "state-database" in failing:
        refusals = listed(report, "agentDatabases", dict)
        if refusals and all(entry.get("code") == "agent-database-inspection-pending" for entry in refusals):
            return "starting", "the gateway is still inspecting its agents' databases"
        reasons = [entry["reason"] for entry in refusals if isinstance(entry.get("reason"), str)]
        what = ", ".join(agents) or "state-database"
        why = quote.hide(": ".join([what, *reasons]))[: quote.LONGEST]
        return "refusing", f"the gateway refuses its agents ({why}); {DOCTOR}"
    if failing:
        names = quote.hide(", ".join(failing))[: quote.LONGEST]
        return "ready", f"not working: {names} (see: bake gcloud logs --gateway)"
    return "ready", "the gateway says that it is not ready, and not why"


def look_at_running(identity, health, port):
    word, said = started(get(port, "/startupz"))
    if word == "silent":
        # Docker's own check decides how long a start may take.
        return ("starting", "the gateway is starting") if health == "starting" else (word, said)
    if health == "unhealthy":
        return "silent", "the gateway is unhealthy"
    if word == "ready":
        answer = get(port, "/readyz")
        if answer is not None and fields(answer[1]).get("ready") is False:
            try:
                report = fields(docker("exec", identity, "node", "-e", INSIDE))
            except Away:
                report = {}
            return refuses(report)
    return word, said


def stopped(code, out_of_memory, line):
    """Why a container with this exit code is not running, and what to do about it."""
    if out_of_memory:
        return "the gateway ran out of memory (exit code 137): choose a larger gcp.machine_type, or a larger host.swap"
    said = f"(exit code {code}): {line}"
    if code == 78:
        return f"the gateway cannot use its state or configuration safely {said}; {DOCTOR}"
    if code == 134:
        heap = "; choose a larger gcp.machine_type" if "heap" in line else ""
        return f"the gateway aborted itself {said}{heap}"
    if code == 137:
        return f"the gateway was killed {said}; the kernel does so where memory runs out"
    if code in (0, 143):
        return f"the gateway was stopped (exit code {code})"
    return f"the gateway stopped {said}; if it is its configuration, {DOCTOR}"


def last_words(identity, since):
    """The line in which the gateway says why it stops, of its last run alone."""
    # Docker cuts a line into pieces of 16 KB at most, so this is bounded.
    period = ("--since", since) if since else ()
    try:
        return quote.quote(docker("logs", "--tail", "200", *period, identity))
    except Away:
        return "its log could not be read"


def look():
    try:
        identity = container()
        if not identity:
            return "gone", "the gateway's container is gone", NOT_READY
        state = docker("inspect", "-f", STATE, identity).split()
    except Away:
        return "away", "Docker is away", NOT_READY
    status, code, out_of_memory, since, health, *_ = [*state, *[""] * 5]
    if status in ("running", "created", "restarting"):
        with open(SETTINGS, encoding="utf-8") as file:
            words = shlex.split(file.read(), comments=True)
        port = int(dict(word.split("=", 1) for word in words)["OPENCLAW_PORT"])
        if status != "running":
            return "starting", "the gateway is starting", NOT_READY
        word, said = look_at_running(identity, health, port)
        return word, said, {"ready": READY, "refusing": HELP_NEEDED}.get(word, NOT_READY)
    code = int(code) if code.isdigit() else 1
    line = last_words(identity, since)
    return "stopped", stopped(code, out_of_memory == "true", line), HELP_NEEDED if code == 78 else NOT_READY


def main():
    word, said, code = look()
    # A container can say anything: one line, without control characters, and no secret.
    said = quote.hide(said)
    print(word, "".join(character if character.isprintable() else " " for character in said)[:360])
    sys.exit(code)


if __name__ == "__main__":
    main()
