"""Records a session on a terminal, from `bake init` to `ready`: `record.py FILE`.

`tests/boot/session.rs` starts it, with servers on loopback in the internet's place and `debian-13.qcow2` in the current
folder. The file has the format of asciinema (asciicast v2): a header, then `[SECONDS, "o", TEXT]` for each output.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

COLUMNS, ROWS = 96, 28
PROMPT = "$ "
# Each command, and the answers to its questions: all defaults.
SESSION = [
    ("bake init my-gateway", 6),
    ("cd my-gateway", 0),
    ("sed -i s,openclaw/openclaw:2026.9.4,openclaw/standin:1, bake.yaml  # the tests' gateway", 0),
    ("bake lock --update", 0),
    ("bake check", 0),
    ("bake render", 0),
    ("bake rehearse --disk ../debian-13.qcow2", 0),
]
# The terminal counts as waiting for input after this many seconds without output.
QUIET = 0.4
# A person reads before typing on.
READING = 1.6


class Terminal:
    def __init__(self) -> None:
        self.events: list[tuple[float, str]] = []
        pid, self.screen = pty.fork()
        if pid == 0:
            # The terminal echoes what is typed, without control sequences of an editor.
            os.environ |= {"PS1": PROMPT, "TERM": "xterm-256color"}
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.begun = time.monotonic()

    def wait_for(self, end: str) -> None:
        """Reads until the last output ends like this, and nothing follows."""
        shown = ""
        while True:
            ready, _, _ = select.select([self.screen], [], [], QUIET)
            if ready:
                text = os.read(self.screen, 1 << 16).decode()
                shown += text
                self.events.append((time.monotonic() - self.begun, text))
            elif shown.endswith(end):
                return

    def type(self, text: str) -> None:
        for part in re.findall(" *[^ ]+", text):
            os.write(self.screen, part.encode())
            self.read_for(0.15)
        os.write(self.screen, b"\n")

    def read_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.screen], [], [], left)[0]:
                self.events.append((time.monotonic() - self.begun, os.read(self.screen, 1 << 16).decode()))


def main() -> None:
    terminal = Terminal()
    terminal.wait_for(PROMPT)
    for command, questions in SESSION:
        terminal.type(command)
        for _ in range(questions):
            terminal.wait_for(": ")
            terminal.type("")
        terminal.wait_for("\n" + PROMPT)
        time.sleep(READING)
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "From bake init to ready"}
    with open(sys.argv[1], "w") as file:
        for line in [header, *([round(seconds, 3), "o", text] for seconds, text in terminal.events)]:
            print(json.dumps(line), file=file)


main()
