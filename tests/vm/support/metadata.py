"""The metadata server's part that update.py uses, with its long poll."""

import contextlib
import http.server
import json
import threading


class Metadata(http.server.BaseHTTPRequestHandler):
    attributes, changed, paths, reports, etag, is_away = {}, threading.Condition(), [], {}, 1, False
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def handle(self):
        # A VM that is killed resets its connections.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def answer(self, body=b"", status=200):
        self.send_response(status)
        self.send_header("ETag", str(Metadata.etag))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        Metadata.paths.append(self.path)
        if Metadata.is_away:
            self.answer(status=503)
            return
        with Metadata.changed:
            if f"last_etag={Metadata.etag}&" in self.path:
                Metadata.changed.wait(5)
            self.answer(json.dumps(Metadata.attributes).encode())

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Metadata.reports[self.path.rpartition("/")[2]] = body.decode()
        self.answer()

    @classmethod
    def change(cls, attributes):
        with cls.changed:
            cls.attributes, cls.etag = attributes, cls.etag + 1
            cls.changed.notify_all()

    @classmethod
    def serve(cls):
        """Starts the server. Returns its address."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), cls)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"
