"""Writes messages as a client does that passes them through Python's email package: python-email.py CLIENT

Standard input and output hold messages one after the other, each with a line before it that says its octets; -1 in the output stands
for a message that the client cannot write. The client's own parser, policy and code are used, on what the test stored.
"""
import sys

sys.path.insert(0, "/usr/share/offlineimap3")


def offlineimap():
    """offlineimap/folder/IMAP.py getmessage(), then Maildir.py save_to_tmp_file()."""
    from email import policy
    from email.errors import NoBoundaryInMultipartDefect
    from email.parser import BytesParser

    from offlineimap.folder.Base import BaseFolder

    rfc = policy.default.clone(cte_type="8bit", utf8=True, refold_source="none", linesep="\r\n")
    unix = policy.default.clone(cte_type="8bit", utf8=True, refold_source="none")
    parser = BytesParser(policy=rfc)

    def write(message):
        parsed = parser.parsebytes(message)
        if any(isinstance(defect, NoBoundaryInMultipartDefect) for defect in parsed.defects):
            parsed = parser.parsebytes(BaseFolder._quote_boundary_fix(None, message))
        parsed.as_bytes(policy=rfc)
        return parsed.as_bytes(policy=unix)

    return write


def getmail():
    """getmailcore/destinations.py Maildir with received and delivered_to off."""
    from getmailcore.message import Message

    return lambda message: Message(fromstring=message).flatten(False, False)


def main():
    write = {"offlineimap": offlineimap, "getmail": getmail}[sys.argv[1]]()
    for line in iter(sys.stdin.buffer.readline, b""):
        message = sys.stdin.buffer.read(int(line))
        try:
            written = write(message)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.stdout.buffer.write(b"-1\n")
            continue
        sys.stdout.buffer.write(b"%d\n" % len(written) + written)


main()
