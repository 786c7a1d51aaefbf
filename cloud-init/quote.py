#!/usr/bin/env python3
"""quote.py LOG: the line of a log that says most, short enough for a report and without a secret.

That is the last that speaks of an error, or the last of all. A program that has a secret may print
it as it is, a line of it, or in the form that JSON, an address or secrets.env itself has for it.
"""

import re
import sys
import urllib.parse

SECRETS = "/run/openclaw/secrets.env"


def forms(row):
    kept = row.partition("=")[2].rstrip("\n")[1:-1]
    json = kept.replace("$$", "$")
    value = re.sub(r"\\(.)", lambda escaped: {"n": "\n", "r": "\n"}.get(escaped[1], escaped[1]), json)
    lines = [line.strip() for line in value.split("\n")]
    return {kept, json, value, *lines, *(urllib.parse.quote(line, safe="") for line in [value, *lines])} - {""}


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        lines = [line for line in (re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in file) if line]
    # Of a stack trace the first line.
    errors = [line for line in lines if re.search("error", line, re.I) and not line.startswith("at ")]
    said = (errors or lines or ["it said nothing"])[-1]
    with open(SECRETS, encoding="utf-8") as file:
        secrets = set().union(*map(forms, file))
    # The longest first: another may be a part of it.
    for secret in sorted(secrets, key=len, reverse=True):
        said = said.replace(secret, "***")
    print(said[:200])


main()
