#!/usr/bin/env python3
"""quote.py LOG: the line of a log that says most, short enough for a report and without a secret.

That is the last that speaks of an error or a refusal, or the last of all. A program that has a secret may print
it as it is, a line of it, or in the form that JSON, an address or secrets.env itself has for it.
"""

import re
import sys
import urllib.parse

SECRETS = "/run/openclaw/secrets.env"
LONGEST = 200
# Of a stack trace, JavaScript's or V8's own, only the first line is of use.
FRAME = re.compile(r"at |\d+: (0x)?[0-9a-f]+ |-+ .*stack trace")
TELLING = re.compile(r"error|fatal|failed to|refus(ed|ing)|start blocked", re.I)
# npm states the cause after its codes, and then says where to read more.
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
    """`text` without any of the secrets of this boot."""
    try:
        with open(SECRETS, encoding="utf-8") as file:
            secrets = set().union(*map(forms, file))
    except FileNotFoundError:
        return text
    # The longest first: another may be a part of it.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def decisive(text):
    """The line of `text` that says most."""
    lines = [line for line in (NOISE.sub("", line).strip() for line in text.split("\n")) if line]
    said = [line for line in lines if not FRAME.match(line)]
    telling = [place for place, line in enumerate(said) if TELLING.search(line)]
    if not telling:
        return (said or lines or ["it said nothing"])[-1]
    place = telling[-1]
    if NPM.match(said[place]):
        return next((line for line in said if NPM_CAUSE.match(line)), said[place])
    # One that ends in a colon has its reason in the next line.
    return " ".join(said[place : place + 2] if said[place].endswith(":") else [said[place]])


def quote(text):
    return hide(decisive(text))[:LONGEST]


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        print(quote(file.read()))


if __name__ == "__main__":
    main()
