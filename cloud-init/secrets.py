#!/usr/bin/env python3
"""Writes /run/openclaw/secrets.env, the secrets of this boot, for Compose.

Generated secrets are made once and kept with the state; those of Secret Manager are read at every
start. In Python, since a shell changes some bytes of values and passes them as arguments of programs.
Exit code 78 (EX_CONFIG): a retry is not enough.
"""

import base64
import http.client
import json
import os
import shlex
import ssl
import sys
import time
import urllib.error
import urllib.request

KEPT = "/var/lib/openclaw/secrets"
OUTPUT = "/run/openclaw/secrets.env"
# The rows that configure.py has removed from it.
WITHHELD = "/run/openclaw/withheld.env"
METADATA = os.environ.get("OPENCLAW_METADATA_URL", "http://metadata.google.internal") + "/computeMetadata/v1/"
MANAGER = os.environ.get("OPENCLAW_SECRET_MANAGER_URL", "https://secretmanager.googleapis.com") + "/v1/"


class NotYet(Exception):
    """May pass by itself: the network or a server is away."""


class HelpNeeded(Exception):
    """Needs a change, of the secret or of its permissions."""

    kind = "secret-unavailable"


class Invalid(HelpNeeded):
    """The value cannot be used."""

    kind = "secret-invalid"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token must not follow a redirection to another server."""

    def redirect_request(self, *_args):
        return None


def get(url, header, proxies=None):
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler(proxies))
    with opener.open(urllib.request.Request(url, headers=header), timeout=15) as answer:
        return answer.read()


def metadata(path):
    try:
        return get(METADATA + path, {"Metadata-Flavor": "Google"}, {}).decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise HelpNeeded(f"the metadata server has no {path}: does the VM have a service account?") from None
        raise NotYet(f"the metadata server answers {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotYet(f"the metadata server does not answer ({type(error).__name__})") from None


def cause(error):
    """Why there is no answer. A wrong clock and an interception show in the certificate."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"{reason.verify_message}; the VM's time is {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC"
    return type(error).__name__


def read_secret(secret, project, token):
    url = f"{MANAGER}projects/{project}/secrets/{secret}/versions/latest:access"
    try:
        answer = json.loads(get(url, {"Authorization": "Bearer " + token}))
        value = base64.b64decode(answer["payload"]["data"], validate=True)
    except urllib.error.HTTPError as error:
        meaning = {
            401: "refused: the VM's service account is disabled, deleted or replaced",
            403: "forbidden: the VM's service account may not read it",
            404: "missing: no such secret, or it has no version",
        }
        if error.code in meaning or error.code == 400:
            raise HelpNeeded(f"secret {secret} is {meaning.get(error.code, 'disabled or destroyed')} ({error.code})") from None
        raise NotYet(f"secret {secret} could not be read: Secret Manager answers {error.code}") from None
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        raise NotYet(f"secret {secret} could not be read ({cause(error)})") from None
    # `echo` and editors add a line break.
    return value.rstrip(b"\r\n")


def write(path, content):
    """Whole or not at all, and for root only."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def generated(name):
    path = f"{KEPT}/{name}"
    if not os.path.exists(path):
        write(path, os.urandom(32).hex().encode())
    with open(path, "rb") as file:
        return file.read().rstrip(b"\r\n")


def line(name, value):
    """One line, in double quotes: the one form in which Compose's parser can carry any text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{name} is not text (UTF-8)") from None
    if not text or "\0" in text:
        raise Invalid(f"{name} is empty" if not text else f"{name} has a NUL character")
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "$$"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'{name}="{text}"\n'.encode()


def main():
    settings = {}
    with open("/opt/openclaw/settings.env", encoding="utf-8") as file:
        for word in shlex.split(file.read(), comments=True):
            key, _, value = word.partition("=")
            settings[key] = value
    before = {}
    for path in WITHHELD, OUTPUT:
        if os.path.exists(path):
            with open(path, "rb") as file:
                before.update({row.partition(b"=")[0].decode(): row for row in file})

    token = project = None
    rows, kinds, help_needed, not_yet, reused = [], [], [], [], []
    for entry in settings["OPENCLAW_SECRETS"].split():
        name, _, origin = entry.partition("=")
        try:
            if origin == "generate":
                rows.append(line(name, generated(name)))
                continue
            if token is None:
                project = settings["OPENCLAW_PROJECT"] or metadata("project/project-id")
                token = json.loads(metadata("instance/service-accounts/default/token"))["access_token"]
            rows.append(line(name, read_secret(origin.partition(":")[2], project, token)))
        except HelpNeeded as error:
            kinds.append(error.kind)
            help_needed.append(str(error))
        except (NotYet, ValueError, KeyError) as error:
            # A gateway that ran since this boot must start without the network too.
            if name in before:
                rows.append(before[name])
                reused.append(name)
            else:
                not_yet.append(str(error) if isinstance(error, NotYet) else "the metadata server's token is unreadable")

    problems = list(dict.fromkeys(help_needed + not_yet))
    if kinds:
        with open("/run/openclaw/error_kind", "w", encoding="utf-8") as file:
            file.write(kinds[0] + "\n")
    if problems:
        print("; ".join(problems), file=sys.stderr)
        sys.exit(78 if help_needed else 1)
    os.makedirs(os.path.dirname(OUTPUT), mode=0o700, exist_ok=True)
    write(OUTPUT, b"".join(rows))
    if reused:
        print("Secret Manager is out of reach, so as read before: " + " ".join(reused), file=sys.stderr)


main()
