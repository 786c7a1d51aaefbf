#!/usr/bin/env python3
"""configured.py FOLDER ARGS…: configure.py with the paths of a VM below a folder."""

import os
import sys

sys.dont_write_bytecode = True
folder = sys.argv[1]
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../../cloud-init"))
import configure  # noqa: E402

configure.LIB, configure.PROJECT = f"{folder}/lib", f"{folder}/project"
configure.STATE, configure.RUN = f"{folder}/state", f"{folder}/run"
configure.REHEARSAL = f"{folder}/rehearsal"
configure.COMPOSE = os.environ.get("COMPOSE_PROJECT_NAME", configure.COMPOSE)
configure.SETUP = f"{configure.COMPOSE}-setup"
if os.getuid() != 0:
    configure.UID = os.getuid()
with open(f"{folder}/pid", "w", encoding="utf-8") as file:
    file.write(str(os.getpid()))
sys.exit(configure.main(sys.argv[2:]))
