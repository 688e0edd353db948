"""Take a webhook: verify its signature, print the event, pass over what has come before. Needs `standardwebhooks`.

Make it with `slipway webhooks create https://…`, and put the secret that it prints into the file of SECRET_FILE. In
front of this belongs whatever ends TLS for you. Answer quickly and with 2xx, and do the work afterwards: what is not
answered within ten seconds comes again, under the same `webhook-id`.
"""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(Path(os.environ["SECRET_FILE"]).read_text().strip())
seen: set[str] = set()  # for a real receiver, a table


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.send_error(401)
            return
        if event["id"] not in seen:
            seen.add(event["id"])
            print(event["type"], event.get("subject"), event["time"], event["id"], flush=True)
        self.send_response(204)
        self.end_headers()


HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver).serve_forever()
