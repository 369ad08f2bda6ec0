"""Reads every message of a folder with Python's email package and prints, as JSON, what it found in each."""

import email
import email.policy
import json
import pathlib
import sys


def addresses(field):
    return [[a.display_name, a.addr_spec] for a in field.addresses] if field else []


def counts(defect):
    # RFC 6531 allows what this complains about, and only messages that need SMTPUTF8 have it.
    return type(defect).__name__ != "NonASCIILocalPartDefect"


def read(path):
    data = path.read_bytes()
    if data.isascii():
        message = email.message_from_bytes(data, policy=email.policy.default)
    else:
        # RFC 6532: its header fields are UTF-8.
        message = email.message_from_string(data.decode("utf-8"), policy=email.policy.SMTPUTF8)
    bodies = {}
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        bodies[kind] = body.get_content() if body else None
    files, defects = [], []
    for part in message.walk():
        defects += [repr(defect) for defect in part.defects]
        for name, value in part.items():
            defects += [f"{name}: {defect!r}" for defect in getattr(value, "defects", []) if counts(defect)]
        name = part.get_filename()
        if name is not None:
            files.append(
                {
                    "name": name,
                    "type": part.get_content_type(),
                    "disposition": part.get_content_disposition(),
                    "id": part["content-id"],
                    "bytes": part.get_payload(decode=True).hex(),
                }
            )
    return {
        "from": addresses(message["from"]),
        "to": addresses(message["to"]),
        "cc": addresses(message["cc"]),
        "replyTo": addresses(message["reply-to"]),
        "subject": str(message["subject"]),
        "messageID": message["message-id"],
        "structure": [part.get_content_type() for part in message.walk() if part.is_multipart()],
        "headers": [[name, str(value)] for name, value in message.items()],
        "files": files,
        "defects": defects,
        **bodies,
    }


folder = pathlib.Path(sys.argv[1])
json.dump([read(path) for path in sorted(folder.glob("*.eml"))], sys.stdout)
