#!/usr/bin/env python3
"""quote.py LOG: prints the line of a log that explains a failure, short and without secrets.

That is the last line about an error or a refusal, or else the last line. A secret may appear in a log as
it is, line by line, in part, or as JSON, a URL, base64 or secrets.env encode it; all of these are hidden.
"""

import base64
import re
import sys
import urllib.parse
from json import dumps

SECRETS = "/run/openclaw/secrets.env"
LONGEST = 200
# So many characters of a long secret are hidden too: messages quote the beginning or the end of a key.
PART = 8
LONG = 2 * PART
# The frames of a stack trace, of JavaScript or V8.
FRAME = re.compile(r"at |\d+: (0x)?[0-9a-f]+ |-+ .*stack trace")
TELLING = re.compile(r"error|fatal|failed to|refus(ed|ing)|start blocked", re.I)
# OpenClaw lists the migrations that a failed one has kept from running, and repeats that one without its reason.
CONSEQUENCE = re.compile(r"because prior step .* refused execution|\((blocked-by-prior-refusal|step-refused)\)|maintenance_required")
# npm prints the cause after its codes, and then where to read more.
NPM = re.compile(r"npm (error|ERR!) ")
NPM_CAUSE = re.compile(r"npm (error|ERR!) (?!code |syscall |errno |path |A complete log)\S")
NOISE = re.compile(r"\x1b\[[0-9;]*m|^\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d) ")


def encoded(value):
    """The forms of `value` in base64, anywhere in a longer text, as in `user:password` (RFC 4648)."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + value.encode()).decode().rstrip("=")
        # The first and the last character may contain bits of other text.
        text = text[(0, 2, 3)[before] :]
        text = text if (before + len(value.encode())) % 3 == 0 else text[:-1]
        yield from (text, text.replace("+", "-").replace("/", "_"))


def ascii_json(text):
    return dumps(text)[1:-1]


def forms(row):
    """The texts by which a log may contain the secret of this row of secrets.env."""
    kept = row.partition("=")[2].rstrip("\n")[1:-1]
    json = kept.replace("$$", "$")
    value = re.sub(r"\\(.)", lambda escaped: {"n": "\n", "r": "\n"}.get(escaped[1], escaped[1]), json)
    lines = [line.strip() for line in value.split("\n")]
    plain = [value, *lines]
    # In a path, wholly, and in a form (RFC 3986, and application/x-www-form-urlencoded); JSON in ASCII.
    ways = (urllib.parse.quote, lambda line: urllib.parse.quote(line, safe=""), urllib.parse.quote_plus, ascii_json)
    quoted = (way(line) for line in plain for way in ways)
    # Too short, it would be found in other words.
    long = (line for line in plain if len(line) >= PART)
    return {kept, json, *plain, *quoted, *(text for line in long for text in encoded(line))} - {""}


def hide(text):
    """`text` without the secrets of this boot."""
    try:
        with open(SECRETS, encoding="utf-8") as file:
            secrets = set().union(*map(forms, file))
    except FileNotFoundError:
        return text
    # The longest first: a secret may contain another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return hide_parts(text, [secret for secret in secrets if len(secret) >= LONG])


def hide_parts(text, secrets):
    """`text` without parts of these secrets."""
    parts = {secret[start : start + PART] for secret in secrets for start in range(len(secret) - PART + 1)}
    kept, end = [], 0
    for start in range(len(text)):
        if text[start : start + PART] in parts:
            if start >= end:
                kept.append("***")
            end = start + PART
        elif start >= end:
            kept.append(text[start])
    return "".join(kept)


def decisive(text):
    """The line of `text` that explains a failure."""
    lines = [line for line in (NOISE.sub("", line).strip() for line in text.split("\n")) if line]
    said = [line for line in lines if not FRAME.match(line)]
    telling = [place for place, line in enumerate(said) if TELLING.search(line) and not CONSEQUENCE.search(line)]
    if not telling:
        return (said or lines or ["it said nothing"])[-1]
    place = telling[-1]
    if NPM.match(said[place]):
        return next((line for line in said if NPM_CAUSE.match(line)), said[place])
    # The reason follows a line that ends in a colon.
    return " ".join(said[place : place + 2] if said[place].endswith(":") else [said[place]])


def quote(text):
    return hide(decisive(text))[:LONGEST]


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        print(quote(file.read()))


if __name__ == "__main__":
    main()
