"""The SDKs that sign or verify in Python only, one JSON request and one JSON answer per line.

A request is {"call": name, "args": {...}}, an answer {"result": value} or {"error": text}. Bodies are base64.
"""

import base64
import importlib.metadata
import json
import sys

import django
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["*"], ANYMAIL={})
django.setup()

from anymail.exceptions import AnymailWebhookValidationFailure  # noqa: E402 (Django must be configured first)
from anymail.webhooks.mailgun import MailgunTrackingWebhookView  # noqa: E402
from anymail.webhooks.mandrill import MandrillCombinedWebhookView  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from slack_sdk.signature import SignatureVerifier  # noqa: E402


def slack_sign(secret, timestamp, body):
    return SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=base64.b64decode(body))


def mailgun_verify(secret, body, headers):
    view = MailgunTrackingWebhookView(webhook_signing_key=secret)
    return anymail_accepts(view, "/", body, headers)


def mandrill_verify(secret, url, body, headers):
    view = MandrillCombinedWebhookView(webhook_key=secret, webhook_url=url)
    return anymail_accepts(view, "/", body, headers)


def anymail_accepts(view, path, body, headers):
    headers = dict(headers)
    kind = headers.pop("content-type", "application/json")
    extra = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    request = RequestFactory().post(path, base64.b64decode(body), content_type=kind, **extra)
    try:
        view.validate_request(request)
    except AnymailWebhookValidationFailure:
        return False
    return True


def version(package):
    return importlib.metadata.version(package)


CALLS = {call.__name__: call for call in (slack_sign, mailgun_verify, mandrill_verify, version)}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"result": CALLS[request["call"]](**request["args"])}
    except Exception as error:  # whatever an SDK raises is the answer
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
