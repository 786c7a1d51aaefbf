#!/usr/bin/env python3
"""`docker` with a stand-in for OpenClaw's commands in it, for tests of configure.py.

It does to openclaw.json what the real commands were seen to do. Faults are files in $WORK:
cut (onboarding kills its caller between two saves), refuse (no onboarding), away (no Docker),
npm-down, refuse-patch (a text that no patch may hold), stopped (no gateway runs).
"""

import json
import os
import signal
import sys

WORK = os.environ["WORK"]
CONFIG = f"{WORK}/state/config/openclaw.json"
PROVIDERS = {"apiKey": ("anthropic", "claude-usual"), "gemini-api-key": ("google", "gemini-usual"), "openai-api-key": ("openai", None)}


def fault(name):
    return os.path.exists(f"{WORK}/{name}")


def load():
    try:
        with open(CONFIG, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(config):
    with open(CONFIG + ".tmp", "w", encoding="utf-8") as file:
        json.dump(config, file)
    os.rename(CONFIG + ".tmp", CONFIG)


def merge(old, patch):
    for key, value in patch.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict):
            old[key] = merge(old[key] if isinstance(old.get(key), dict) else {}, value)
        else:
            old[key] = value
    return old


def onboard(flags):
    choice = flags[flags.index("--auth-choice") + 1]
    config = load()
    config["wizard"] = "half"
    save(config)
    if fault("cut"):
        with open(f"{WORK}/pid", encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        os._exit(137)
    if fault("refuse"):
        if os.path.exists(f"{WORK}/state/onboarding"):
            with open(f"{WORK}/late", "w", encoding="utf-8") as file:
                file.write("late")
        sys.exit("Error: no plug-in for s3cret\n    at install (index.js:7)")
    config["wizard"] = "whole"
    if choice != "skip":
        provider, model = PROVIDERS[choice]
        merge(config, {"auth": {"profiles": {f"{provider}:default": {"provider": provider}}}})
        # OpenAI's leaves a default model as it is.
        if model:
            merge(config, {"agents": {"defaults": {"model": {"primary": f"{provider}/{model}"}}}})
    save(config)


def openclaw(words):
    if words[:1] == ["onboard"]:
        onboard(words)
    elif words[:2] == ["config", "patch"]:
        text = sys.stdin.read()
        refused = f"{WORK}/refuse-patch"
        if os.path.exists(refused):
            with open(refused, encoding="utf-8") as file:
                if file.read() in text:
                    sys.exit("Error: config is invalid")
        save(merge(load(), json.loads(text)))
    elif words[:2] == ["plugins", "install"]:
        if fault("npm-down"):
            sys.exit("npm error network: registry.npmjs.org is out of reach")
        name = words[2].rpartition("/")[2]
        save(merge(load(), {"plugins": {"entries": {name: {"enabled": True}}}}))
    else:
        sys.exit(f"unknown command: {words}")


def main(words):
    with open(f"{WORK}/calls", "a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")
    if fault("away"):
        sys.exit(1)
    if words[:2] == ["rm", "-f"]:
        # A container that outlived its client saves once more, until it is removed.
        if fault("late"):
            os.rename(f"{WORK}/late", CONFIG)
    elif words[0] == "ps":
        print("" if fault("stopped") else "abc")
    elif "dist/index.js" in words:
        openclaw(words[words.index("dist/index.js") + 1 :])
    else:
        sys.exit(f"unknown: {words}")


main(sys.argv[1:])
