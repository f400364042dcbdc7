"""Stands in for `python -m vllm.entrypoints.openai.api_server`: its options, /health, and a streamed chat completion.

The name of the model says how it behaves: `broken` ends while loading, `slow` is never ready, `silent` answers nothing,
`mortal` ends after its first answer, `stubborn` only when it is killed.
"""

import argparse
import http.server
import json
import os
import signal
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        words = [] if asked["model"] == "silent" else [asked["messages"][0]["content"][:20], " [1]"]
        for word in words:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.wfile.flush()
        if asked["model"] == "mortal":
            os._exit(9)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("--model", "--served-model-name", "--host", "--port", "--max-model-len"):
        parser.add_argument(name, required=name != "--max-model-len")
    given = parser.parse_args()
    if given.model == "broken":
        sys.exit(3)
    if given.model == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if given.model == "slow":
        time.sleep(60)
    http.server.ThreadingHTTPServer((given.host, int(given.port)), Handler).serve_forever()
