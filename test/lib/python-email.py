"""Reads messages (8 hex digits of length, then the octets, repeated) and writes one JSON line for each: its parts as
Python's email package sees them, with IMAP part numbers, which RFC 3501 6.4.5 defines. An independent parser for tests."""
import base64
import email
import email.policy
import json
import sys


def text(octets_as_str):
    return base64.b64encode(octets_as_str.encode("utf-8", "surrogateescape")).decode()


def describe(part, path, out):
    entry = {
        "path": path,
        "type": part.get_content_type(),
        "fields": [[name.lower(), text(str(value))] for name, value in part._headers],
        "defects": [type(defect).__name__ for defect in part.defects],
    }
    # get_payload() would replace what no charset explains.
    payload = part._payload
    out.append(entry)
    if part.get_content_maintype() == "multipart" and isinstance(payload, list):
        for index, child in enumerate(payload):
            describe(child, path + [index + 1], out)
    elif isinstance(payload, list) and part.get_content_type() in ("message/rfc822", "message/global"):
        inner = payload[0]
        entry["message"] = True
        is_multipart = inner.get_content_maintype() == "multipart" and isinstance(inner._payload, list)
        describe(inner, path if is_multipart else path + [1], out)
        out[-1 if not is_multipart else out.index(entry) + 1]["inner"] = True
    elif not isinstance(payload, list):
        # Python enters every message/*; a delivery status (RFC 3464) is not a message (RFC 2046 5.2).
        entry["body"] = text(payload or "")
        if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in ("base64", "quoted-printable"):
            entry["decoded"] = base64.b64encode(part.get_payload(decode=True) or b"").decode()


def main():
    source = sys.stdin.buffer
    while True:
        head = source.read(8)
        if not head:
            break
        message = email.message_from_bytes(source.read(int(head, 16)), policy=email.policy.compat32)
        parts = []
        root = message.get_content_maintype() == "multipart" and isinstance(message._payload, list)
        describe(message, [] if root else [1], parts)
        print(json.dumps(parts))


main()
