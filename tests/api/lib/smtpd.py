"""A mail server (aiosmtpd) for the tests: options as JSON in argv[1], what happens as JSON lines on stdout.

It ends with its standard input. Mails are taken apart by Python's own email package, so that what the module has
written is judged by somebody else.
"""
import email
import email.policy
import json
import socket
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


def say(**what):
    print(json.dumps(what), flush=True)


def body(message, kind):
    part = message.get_body((kind,))
    return part.get_content() if part else None


def defects(message):
    found = [str(defect) for part in message.walk() for defect in part.defects]
    return found + [str(defect) for value in message.values() for defect in getattr(value, 'defects', [])]


class Handler:
    async def handle_DATA(self, server, session, envelope):
        raw = envelope.content
        message = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
        lines = raw.split(b'\r\n')
        say(
            mail=True,
            peer=list(session.peer),
            tls=session.ssl is not None or isinstance(server.transport.get_extra_info('sslcontext'), ssl.SSLContext),
            user=session.auth_data.login.decode() if session.auth_data else None,
            helo=session.host_name,
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            options=envelope.mail_options,
            headers=[[name, str(value)] for name, value in message.items()],
            text=body(message, 'plain'),
            html=body(message, 'html'),
            defects=defects(message),
            ascii=all(byte < 128 for byte in raw),
            bare=any(b'\r' in line or b'\n' in line for line in lines),
            longest=max(map(len, lines)),
            raw=raw.decode('utf-8', 'replace'),
        )
        return '250 taken'


def main():
    options = json.loads(sys.argv[1])
    if options.get('deaf'):
        # takes no connection: those that fit into its queue are there already
        listener = socket.socket()
        listener.bind(('127.0.0.1', options['port']))
        listener.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(('127.0.0.1', options['port']))
        say(ready=True)
        sys.stdin.read()
        return
    context = None
    if options.get('cert'):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options['cert'], options['key'])

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and [data.login.decode(), data.password.decode()] == options['auth']
        say(login=mechanism, good=good)
        return AuthResult(success=good, handled=good, auth_data=data)

    smtp = {'enable_SMTPUTF8': options.get('utf8', True)}
    if options.get('auth'):
        smtp.update(
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=bool(context) and not options.get('implicit'),
            auth_exclude_mechanism=options.get('without', []),
        )
    if context and not options.get('implicit'):
        smtp.update(tls_context=context, require_starttls=options.get('insist', False))
    Controller(
        Handler(),
        hostname='127.0.0.1',
        port=options['port'],
        ssl_context=context if options.get('implicit') else None,
        **smtp,
    ).start()
    say(ready=True)
    sys.stdin.read()


main()
