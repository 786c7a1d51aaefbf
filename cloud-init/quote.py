#!/usr/bin/env python3
"""quote.py LOG: prints the line of a log that explains a failure, short and without secrets.

That is the last line about an error or a refusal, or else the last line. A secret may appear in a log as
it is, line by line, or as JSON, a URL or secrets.env encode it; all of these are hidden.
"""

import re
import sys
import urllib.parse

SECRETS = "/run/openclaw/secrets.env"
LONGEST = 200
# The frames of a stack trace, of JavaScript or V8.
FRAME = re.compile(r"at |\d+: (0x)?[0-9a-f]+ |-+ .*stack trace")
TELLING = re.compile(r"error|fatal|failed to|refus(ed|ing)|start blocked", re.I)
# npm prints the cause after its codes, and then where to read more.
NPM = re.compile(r"npm (error|ERR!) ")
NPM_CAUSE = re.compile(r"npm (error|ERR!) (?!code |syscall |errno |path |A complete log)\S")
NOISE = re.compile(r"\x1b\[[0-9;]*m|^\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d) ")


def forms(row):
    kept = row.partition("=")[2].rstrip("\n")[1:-1]
    json = kept.replace("$$", "$")
    value = re.sub(r"\\(.)", lambda escaped: {"n": "\n", "r": "\n"}.get(escaped[1], escaped[1]), json)
    lines = [line.strip() for line in value.split("\n")]
    return {kept, json, value, *lines, *(urllib.parse.quote(line, safe="") for line in [value, *lines])} - {""}


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
    return text


def decisive(text):
    """The line of `text` that explains a failure."""
    lines = [line for line in (NOISE.sub("", line).strip() for line in text.split("\n")) if line]
    said = [line for line in lines if not FRAME.match(line)]
    telling = [place for place, line in enumerate(said) if TELLING.search(line)]
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
