#!/usr/bin/env python3
"""Takes uploads on a port of this machine, keeps nothing of them, and answers how many bytes they had: to try the page with."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upload(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        left = length
        while left > 0 and (part := self.rfile.read(min(left, 65536))):
            left -= len(part)
        answer = f"{length - left} bytes\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
    sys.exit("usage: backend.py PORT")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Upload).serve_forever()
