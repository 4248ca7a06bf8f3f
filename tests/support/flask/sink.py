"""Takes mail on PORT and prints it, one JSON object a line: PORT [CERTIFICATE KEY]; with these two, by TLS from the first byte.

It takes any name and password, as the old server's provider takes the right ones.
"""

import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class Print:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        html = message.get_body(preferencelist=("html",))
        text = message.get_body(preferencelist=("plain",))
        mail = {
            "to": envelope.rcpt_tos,
            "from": str(message["From"]),
            "subject": str(message["Subject"]),
            "html": html.get_content() if html else None,
            "text": text.get_content() if text else None,
        }
        print("mail " + json.dumps(mail), flush=True)
        return "250 OK"


context = None
if len(sys.argv) > 2:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
controller = Controller(
    Print(),
    hostname="127.0.0.1",
    port=int(sys.argv[1]),
    ssl_context=context,
    auth_require_tls=False,
    authenticator=lambda *_: AuthResult(success=True),
)
controller.start()
print("listening", flush=True)
threading.Event().wait()
