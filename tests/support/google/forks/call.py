"""Has the gcloud that serve.py keeps at the socket, the first argument, do what the others say."""

import json
import os
import socket
import sys

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
    socket.send_fds(server, [b" "], [0, 1, 2])
    server.sendall(json.dumps(request).encode())
    server.shutdown(socket.SHUT_WR)
    code = int(server.recv(16) or 70)
    # Killed by a signal, which a shell tells so.
    sys.exit(code if code >= 0 else 128 - code)
