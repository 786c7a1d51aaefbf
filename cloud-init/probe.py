#!/usr/bin/env python3
"""probe.py: prints the gateway's state as one line, `WORD TEXT`, or `WORD/KIND TEXT` for an error.

    ready      it works; the text, if any, is a remark (a channel that is down)
    starting   it starts or restarts
    silent     it runs, but does not answer as OpenClaw does
    refusing   it has started, but refuses its agents
    stopped    its container has stopped; the text has the exit code, the reason and what to do
    gone       it has no container
    away       Docker does not answer

Exit code 0: ready. 78 (EX_CONFIG): it needs help. 1: anything else.

probe.py internet: prints a remark if the gateway's container reaches no host of the internet, else an empty line.

The Control UI answers unknown paths with 200, so only the JSON of an answer counts. /readyz is false
for a broken channel as well, which does not make the VM broken. OpenClaw gives the reason only on its
own loopback interface, so then probe.py asks inside the container.
"""

import http.client
import json
import re
import shlex
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
import quote  # noqa: E402  (in this program's folder)

SETTINGS = "/opt/openclaw/settings.env"
LARGEST = 65536
# 200 lines of a log, which Docker cuts at 16 KB.
MOST_OUTPUT = 4 << 20
# By label: Compose needs the secrets even to list its containers.
LABELS = ("project=openclaw", "service=openclaw-gateway", "oneoff=False")
STATE = (
    "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.StartedAt}} "
    "{{if .State.Health}}{{.State.Health.Status}}{{end}}"
)
INSIDE = (
    "fetch(`http://127.0.0.1:${process.env.OPENCLAW_GATEWAY_PORT}/readyz`,{signal:AbortSignal.timeout(8000)})"
    f".then(r=>r.text()).then(t=>process.stdout.write(t.slice(0,{LARGEST})))"
)
# Where anything may be reached; of two operators.
ANYWHERE = ["www.gstatic.com,443", "one.one.one.one,443"]
CONNECT = (
    "const net=require('net');let left=process.argv.length-1;for(const at of process.argv.slice(1)){"
    "const [host,port]=at.split(','),s=net.connect({host,port:+port});s.setTimeout(8000,()=>s.destroy({code:'ETIMEDOUT'}));"
    "s.on('connect',()=>{console.log('REACHED');process.exit()});"
    "s.on('error',e=>{if(!--left){console.log(e.code);process.exit()}})}"
)
DOCTOR = "run: bake gcloud cli -- doctor --fix"
READY, HELP_NEEDED, NOT_READY = 0, 78, 1


class Away(Exception):
    """Docker does not answer."""


def docker(*arguments, timeout=20):
    """The end of both outputs of a docker command, or `Away`. The container may print without end."""
    command = ["timeout", str(timeout), "docker", *arguments]
    said = b""
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            while chunk := process.stdout.read1(LARGEST):
                said = (said + chunk)[-MOST_OUTPUT:]
    except OSError:
        raise Away from None
    if process.returncode != 0:
        raise Away
    return said.decode(errors="replace")


def container():
    filters = [word for label in LABELS for word in ("--filter", f"label=com.docker.compose.{label}")]
    return docker("ps", "-aq", *filters).strip()


def too_long(*_):
    raise TimeoutError


def get(port, path, seconds=10):
    """The status and the beginning of the body of an answer, or `None`. Ignores proxies."""
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
    """`body` as a JSON object; empty if it is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def started(answer):
    """The state by an answer of /startupz: a word, and the reason unless `ready`."""
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
    """The state by the details of /readyz: a word, and the reason or a remark."""
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
    return "ready", "the gateway reports that it is not ready, without a reason"


def settings():
    with open(SETTINGS, encoding="utf-8") as file:
        words = shlex.split(file.read(), comments=True)
    return dict(word.split("=", 1) for word in words)


def internet():
    """From inside, because the host may have the internet while containers have none."""
    given = settings()
    hosts = given["OPENCLAW_NAMES"].split()[:4] if given["OPENCLAW_EGRESS"] == "listed" else ANYWHERE
    try:
        said = docker("exec", container(), "node", "-e", CONNECT, *hosts, timeout=30) if hosts else ""
    except Away:
        return ""
    # The container may print anything.
    word = said.split()[-1:] or [""]
    if word[0] == "REACHED" or not re.fullmatch("E[A-Z_]{3,20}", word[0]):
        return ""
    names = ", ".join(host.replace(",", ":") for host in hosts)
    return f"no internet: the gateway reaches none of {names} ({word[0]})"


def look_at_running(identity, health, port):
    word, said = started(get(port, "/startupz"))
    if word == "silent":
        # Docker's health check decides how long a start may take.
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
    """Why a container with this exit code stopped, and what to do."""
    if out_of_memory:
        return "stopped/out-of-memory", "the gateway ran out of memory (exit code 137): choose a larger gcp.machine_type, or a larger host.swap"
    said = f"(exit code {code}): {line}"
    if code == 78:
        return "stopped/gateway-refuses-state", f"the gateway cannot use its state or configuration safely {said}; {DOCTOR}"
    if code == 134:
        if "heap" in line:
            return "stopped/out-of-memory", f"the gateway aborted itself {said}; choose a larger gcp.machine_type"
        return "stopped/gateway-stopped", f"the gateway aborted itself {said}"
    if code == 137:
        return "stopped/gateway-stopped", f"the gateway was killed {said}; the kernel does so where memory runs out"
    if code in (0, 143):
        return "stopped/gateway-stopped", f"the gateway was stopped (exit code {code})"
    return "stopped/gateway-stopped", f"the gateway stopped {said}; if it is its configuration, {DOCTOR}"


def last_words(identity, since):
    """The line of the last run's log that gives the reason."""
    # Bounded: Docker cuts lines into pieces of 16 KB.
    period = ("--since", since) if since else ()
    try:
        return quote.quote(docker("logs", "--tail", "200", *period, identity))
    except Away:
        return "its log could not be read"


def look():
    try:
        identity = container()
        if not identity:
            return "gone/gateway-stopped", "the gateway's container is gone", NOT_READY
        state = docker("inspect", "-f", STATE, identity).split()
    except Away:
        return "away/docker-unavailable", "Docker is away", NOT_READY
    status, code, out_of_memory, since, health, *_ = [*state, *[""] * 5]
    if status in ("running", "created", "restarting"):
        port = int(settings()["OPENCLAW_PORT"])
        if status != "running":
            return "starting", "the gateway is starting", NOT_READY
        word, said = look_at_running(identity, health, port)
        kind = {"silent": "/gateway-unresponsive", "refusing": "/gateway-refuses-state"}.get(word, "")
        return word + kind, said, {"ready": READY, "refusing": HELP_NEEDED}.get(word, NOT_READY)
    code = int(code) if code.isdigit() else 1
    word, said = stopped(code, out_of_memory == "true", last_words(identity, since))
    return word, said, HELP_NEEDED if code == 78 else NOT_READY


def main():
    if sys.argv[1:] == ["internet"]:
        print(internet())
        return
    word, said, code = look()
    # The container controls this text: one line, without control characters, and no secret.
    said = quote.hide(said)
    print(word, "".join(character if character.isprintable() else " " for character in said)[:360])
    sys.exit(code)


if __name__ == "__main__":
    main()
