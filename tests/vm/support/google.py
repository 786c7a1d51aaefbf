#!/usr/bin/env python3
"""A metadata server and Secret Manager on loopback: google.py FOLDER

The port goes to FOLDER/port. Secrets are files FOLDER/secrets/ID, whose absence is a 404; FOLDER/fault
holds `CODE` for an answer to everything, FOLDER/fault-ID for one secret. Guest attributes are written
to FOLDER/attributes/KEY, and every request is a line of FOLDER/requests.
"""

import base64
import http.server
import json
import os
import sys

FOLDER = sys.argv[1]
TOKEN = "ya29.test-token"


def path(*names):
    return os.path.join(FOLDER, *names)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def answer(self, code, body=b""):
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/stolen")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with open(path("requests"), "a", encoding="utf-8") as file:
            file.write(f"{self.command} {self.path} {self.headers.get('Authorization', '-')}\n")
        if os.path.exists(path("fault")):
            with open(path("fault"), encoding="utf-8") as file:
                return self.answer(int(file.read()))
        if self.path.startswith("/computeMetadata/v1/"):
            return self.metadata(self.path.removeprefix("/computeMetadata/v1/"), body)
        return self.secret()

    def metadata(self, name, body):
        if self.headers.get("Metadata-Flavor") != "Google":
            return self.answer(403)
        if name == "project/project-id":
            return self.answer(200, b"from-metadata")
        if name == "instance/service-accounts/default/token":
            return self.answer(200, json.dumps({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}).encode())
        if name.startswith("instance/guest-attributes/openclaw/"):
            key = name.rpartition("/")[2]
            if self.command == "PUT" and not body and os.path.exists(path("refuse-empty")):
                return self.answer(400)
            os.makedirs(path("attributes"), exist_ok=True)
            if self.command == "DELETE":
                if not os.path.exists(path("attributes", key)):
                    return self.answer(404)
                os.unlink(path("attributes", key))
            else:
                with open(path("attributes", key), "wb") as file:
                    file.write(body)
            return self.answer(200)
        return self.answer(404)

    def secret(self):
        parts = self.path.split("/")
        if len(parts) < 8 or not self.path.endswith("/versions/latest:access"):
            return self.answer(404)
        if self.headers.get("Authorization") != "Bearer " + TOKEN:
            return self.answer(401)
        secret = parts[5]
        if os.path.exists(path("fault-" + secret)):
            with open(path("fault-" + secret), encoding="utf-8") as file:
                return self.answer(int(file.read()))
        try:
            with open(path("secrets", secret), "rb") as file:
                value = file.read()
        except FileNotFoundError:
            return self.answer(404, b'{"error": {"code": 404, "status": "NOT_FOUND"}}')
        data = base64.b64encode(value).decode()
        return self.answer(200, json.dumps({"name": self.path, "payload": {"data": data}}).encode())

    do_GET = do_PUT = do_DELETE = handle_any


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(path("port.new"), "w", encoding="utf-8") as file:
    file.write(str(server.server_port))
os.rename(path("port.new"), path("port"))
server.serve_forever()
