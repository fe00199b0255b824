"""Copies an account with Python's imaplib: imaplib-copy.py HOST PORT USER PASSWORD AUTHORIZE DIR

Appends what is new since the last run to DIR/records (test/lib/clients/records.ts says how), and keeps the highest UID of each
mailbox in DIR/state. AUTHORIZE is empty when USER is the account. Every size is compared with RFC822.SIZE.
"""
import imaplib
import json
import os
import re
import sys

host, port, user, password, authorize, folder = sys.argv[1:]
CHUNK = 500
STATE = os.path.join(folder, "state")


def check(answer, what):
    kind, data = answer
    if kind != "OK":
        raise SystemExit(f"{what}: {kind} {data}")
    return data


def log_in():
    client = imaplib.IMAP4(host, int(port))
    if authorize:
        plain = f"{authorize}\0{user}\0{password}".encode()
        check(client.authenticate("PLAIN", lambda _challenge: plain), "AUTHENTICATE")
    else:
        check(client.login(user, password), "LOGIN")
    return client


def mailboxes(client):
    for line in check(client.list(), "LIST"):
        attributes, name = re.fullmatch(rb'\(([^)]*)\) "/" (.*)', line).groups()
        if b"\\noselect" not in attributes.lower():
            yield name.decode().strip('"')


def copy(client, name, last, out):
    check(client.select(f'"{name}"', readonly=True), "EXAMINE")
    validity = client.response("UIDVALIDITY")[1][0].decode()
    if last and last[0] != validity:
        raise SystemExit(f"UIDVALIDITY of {name} changed")
    highest = last[1] if last else 0
    found = check(client.uid("SEARCH", None, f"UID {highest + 1}:*"), "SEARCH")[0].split()
    # n:* names the last message even when its UID is lower.
    uids = [int(uid) for uid in found if int(uid) > highest]
    for at in range(0, len(uids), CHUNK):
        some = uids[at : at + CHUNK]
        span = f"{some[0]}:{some[-1]}"
        answers = check(client.uid("FETCH", span, "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"), "FETCH")
        for answer in answers:
            if isinstance(answer, tuple):
                write(name, answer[0].decode(), answer[1], out)
    return validity, max(uids, default=highest)


def write(name, items, body, out):
    uid = re.search(r"\bUID (\d+)", items)[1]
    flags = re.search(r"\bFLAGS \(([^)]*)\)", items)[1]
    date = re.search(r'\bINTERNALDATE "([^"]*)"', items)[1]
    size = int(re.search(r"\bRFC822\.SIZE (\d+)", items)[1])
    if size != len(body):
        raise SystemExit(f"{name} {uid}: RFC822.SIZE {size}, but {len(body)} octets")
    out.write(f"{name}\t{uid}\t{flags}\t{date}\t{len(body)}\n".encode() + body + b"\n")


state = json.load(open(STATE)) if os.path.exists(STATE) else {}
client = log_in()
with open(os.path.join(folder, "records"), "ab") as out:
    for name in mailboxes(client):
        if name not in state:
            out.write(f"{name}\t0\t\t\t0\n\n".encode())
        state[name] = copy(client, name, state.get(name), out)
client.logout()
with open(STATE, "w") as out:
    json.dump(state, out)
