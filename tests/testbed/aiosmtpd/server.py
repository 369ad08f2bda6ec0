"""aiosmtpd with STARTTLS at one port and TLS from the first byte at another, as the settings in the file of the first
argument say. Whoever has logged in may send to everybody but those whose address begins with `gone`, and to those with
`grey` from the second time on. It hands a message on to the sink before it answers."""

import asyncio
import json
import smtplib
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

with open(sys.argv[1]) as file:
    settings = json.load(file)


def log_in(server, session, envelope, mechanism, login):
    wanted = settings["users"].get(login.login.decode())
    # Not handled: it is left to aiosmtpd to say 535.
    return AuthResult(success=wanted is not None and wanted == login.password.decode(), handled=False)


class Judge:
    def __init__(self):
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 No such user here"
        if address.startswith("grey") and address not in self.seen:
            self.seen.add(address)
            return "450 4.7.1 Greylisted, please come back"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        await asyncio.to_thread(self.hand_on, envelope)
        return "250 2.0.0 OK"

    def hand_on(self, envelope):
        options = ["BODY=8BITMIME"] + (["SMTPUTF8"] if envelope.smtp_utf8 else [])
        with smtplib.SMTP(*settings["sink"]) as sink:
            sink.sendmail(envelope.mail_from, envelope.rcpt_tos, envelope.original_content, options)


class Submission(Controller):
    """The base class passes only some options on, and no other way is documented."""

    def __init__(self, judge, port, implicit):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["certificate"], settings["key"])
        self.options = {
            "data_size_limit": settings["messageSizeLimit"],
            "enable_SMTPUTF8": True,
            "hostname": "aiosmtpd.test",
            "authenticator": log_in,
            "auth_required": True,
            # It does not count TLS from the first byte as TLS.
            "auth_require_tls": not implicit,
            "tls_context": None if implicit else context,
            "require_starttls": not implicit,
        }
        super().__init__(judge, hostname="127.0.0.1", port=port, ssl_context=context if implicit else None)

    def factory(self):
        return SMTP(self.handler, **self.options)


judge = Judge()
for port, implicit in [(settings["implicitPort"], True), (settings["startTLSPort"], False)]:
    Submission(judge, port, implicit).start()
asyncio.new_event_loop().run_forever()
