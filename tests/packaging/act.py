"""Runs the shell steps of a composite action as GitHub's runner does: `act.py ACTION_YML NAME=INPUT…`.

Knows the expressions that action.yml has, and fails on any other. GitHub's variables come from the environment.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml


def main() -> None:
    path = Path(sys.argv[1]).resolve()
    action = yaml.safe_load(path.read_text())
    inputs = {name: str(given.get("default", "")) for name, given in action["inputs"].items()}
    for argument in sys.argv[2:]:
        name, value = argument.split("=", 1)
        if name not in inputs:
            sys.exit(f"unknown input: {name}")
        inputs[name] = value

    def evaluate(expression: str) -> str:
        if match := re.fullmatch(r"inputs\.([a-z-]+)", expression):
            # A default may be an expression too.
            return substitute(inputs[match[1]])
        if expression == "github.token":
            return os.environ["TEST_TOKEN"]
        raise ValueError(f"unknown expression: {expression}")

    def substitute(text: str) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: evaluate(match[1]), str(text))

    def wanted(step: dict) -> bool:
        match step.get("if"):
            case None:
                return True
            case condition if match := re.fullmatch(r"inputs\.([a-z-]+) == '(.*)'", condition):
                return inputs[match[1]] == match[2]
            case condition:
                raise ValueError(f"unknown condition: {condition}")

    for step in action["runs"]["steps"]:
        if not wanted(step):
            print(f"skipped: {step['name']}")
            continue
        if set(step) - {"name", "id", "if", "shell", "env", "run"} or step["shell"] != "bash":
            raise ValueError(f"unknown keys in {step}")
        # GitHub runs a script file, so that a step reads nothing from it.
        script = Path(os.environ["RUNNER_TEMP"]) / "step.sh"
        script.write_text(step["run"])
        env = {name: substitute(value) for name, value in step.get("env", {}).items()}
        env |= {"GITHUB_ACTION_PATH": str(path.parent)}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        code = subprocess.run(command, env=os.environ | env, stdin=subprocess.DEVNULL).returncode
        if code:
            sys.exit(code)


main()
