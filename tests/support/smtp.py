"""A mail server for tests: says where it listens, then one line of JSON for each mail it took.

--security tls | starttls | plain, --cert, --key, --user, --password, --port
--answers: what it says to the first mails (451,550,hang); those after them are taken.
"""
import argparse, asyncio, base64, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

options = argparse.ArgumentParser()
for name in ("security", "cert", "key", "user", "password", "answers"):
    options.add_argument("--" + name, default="")
options.add_argument("--port", type=int, default=0)
options = options.parse_args()
answers = [answer for answer in options.answers.split(",") if answer]


def say(kind, value):
    print(kind, json.dumps(value), flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        if answers:
            answer = answers.pop(0)
            say("answered", answer)
            if answer == "hang":
                await asyncio.sleep(3600)
            return f"{answer} no, {envelope.rcpt_tos[0]}"
        content = base64.b64encode(envelope.original_content).decode()
        mail = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "content": content}
        encrypted = server.transport.get_extra_info("ssl_object") is not None
        say("mail", dict(mail, tls=encrypted, authenticated=bool(session.authenticated)))
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login.decode(), data.password.decode()) == (options.user, options.password)
    say("login", good)
    return AuthResult(success=good)


async def main():
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    settings = dict(hostname="mail.test", authenticator=authenticate, auth_required=bool(options.user))
    if options.security == "starttls":
        settings.update(tls_context=context, require_starttls=True)
    elif options.user:
        settings.update(auth_require_tls=False)
    loop = asyncio.get_running_loop()
    wrapped = context if options.security == "tls" else None
    server = await loop.create_server(lambda: SMTP(Handler(), **settings), "127.0.0.1", options.port, ssl=wrapped)
    say("listening", server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
