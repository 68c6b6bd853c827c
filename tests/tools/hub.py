"""A hub on this machine: the few addresses that an upload of `huggingface_hub` asks for, over plain HTTP.

with Hub() as hub:
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    ...
hub.files     # {"README.md": b"---\\n...", ...}, as committed
"""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """Takes repositories and commits; every file is uploaded as a regular one, none through LFS."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        if self.path.endswith("/repos/create"):
            words = json.loads(body)
            self.reply({"url": f"{self.server.address}/datasets/{words['organization']}/{words['name']}"})
        elif self.path.endswith("/validate-yaml"):
            self.reply({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self.reply({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif "/commit/" in self.path:
            self.commit([json.loads(line) for line in body.splitlines()])
            self.reply(
                {
                    "commitUrl": f"{self.server.address}/datasets/someone/data/commit/1",
                    "commitOid": "1",
                    "success": True,
                }
            )
        else:
            self.reply({}, 404)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.reply({"sha": "0", "id": "someone/data", "siblings": [], "tags": [], "private": False})

    def commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line["key"] == "file":
                self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])

    def reply(self, value: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass
