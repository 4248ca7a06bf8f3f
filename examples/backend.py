#!/usr/bin/env python3
"""An application for trying the examples: it shows what it received.

    python3 backend.py            listens on 127.0.0.1:9001
"""

import http.server
import json
import sys


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        received = {
            "method": self.command,
            "target": self.path,
            "headers": [list(pair) for pair in self.headers.items()],
            "body_bytes": len(self.rfile.read(length)),
        }
        body = json.dumps(received, separators=(",", ":")).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9001").rpartition(":")
http.server.ThreadingHTTPServer((host, int(port)), Echo).serve_forever()
