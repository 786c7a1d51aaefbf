"""Has the gcloud that serve.py keeps at the socket, the first argument, do what the others say."""

import json
import os
import socket
import sys

FILES = [0, 1, 2]

for number in FILES:
    # Fails where it is closed, before the socket takes its place.
    os.fstat(number)
mask = os.umask(0)
os.umask(mask)
request = {
    "arguments": sys.argv[2:],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "umask": mask,
}
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [b" "], FILES)
    server.sendall(json.dumps(request).encode() + b"\n")
    answer = server.recv(16)
if not answer:
    sys.exit("the gcloud that is forked has ended without an answer")
code = int(answer)
# Killed by a signal, which a shell tells so.
sys.exit(code if code >= 0 else 128 - code)
