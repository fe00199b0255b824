"""Checks and signs senders' mail with dkimpy, pyspf and authheaders: one JSON line in, one out.

First line: {"port": of a DNS server on loopback}. Then
  {"op": "verify", "message": base64}             -> {"dkim": [one for each signature], "arc": "pass|fail|none"}
  {"op": "spf", "ip", "from", "helo"}             -> {"spf": result}
  {"op": "dmarc", "message", "spf", "spf_domain", "dkim", "dkim_domain"} -> {"dmarc": result}
  {"op": "sign", "message", "domain", "selector", "key", "header", "body", "length", "names", "ed25519"} -> {"field": base64}
  {"op": "seal", "message", "domain", "selector", "key", "results"} -> {"fields": base64}
"""
import base64
import json
import sys

import dns.resolver

import authheaders
import dkim
import spf


def of_text(text):
    return base64.b64decode(text)


def to_text(octets):
    return base64.b64encode(octets).decode()


def configure(port):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = port
    resolver.lifetime = 1
    dns.resolver.default_resolver = resolver


def verify_dkim(message):
    results = []
    fields, _ = dkim.rfc822_parse(message)
    for index in range(sum(1 for name, _ in fields if name.lower() == b"dkim-signature")):
        try:
            one = dkim.DKIM(message, minkey=1024, timeout=1)
            results.append("pass" if one.verify(idx=index) else "fail")
        except dkim.DnsTimeoutError:
            results.append("temperror")
        except Exception as error:
            results.append("fail: %s" % error)
    return results


def verify(asked):
    message = of_text(asked["message"])
    arc = "none"
    try:
        result, _, _ = dkim.ARC(message, minkey=1024, timeout=1).verify()
        arc = result.decode()
    except Exception:
        arc = "fail"
    return {"dkim": verify_dkim(message), "arc": arc}


def check_spf(asked):
    query = spf.query(asked["ip"], asked["from"], asked["helo"], strict=True, timeout=2)
    return {"spf": query.check()[0]}


def check_dmarc(asked):
    from authres import DKIMAuthenticationResult, SPFAuthenticationResult
    spf_result = SPFAuthenticationResult(result=asked["spf"], smtp_mailfrom="x@" + asked["spf_domain"])
    dkim_result = DKIMAuthenticationResult(result=asked["dkim"], header_d=asked["dkim_domain"])
    found = authheaders.check_dmarc(of_text(asked["message"]), spf_result, dkim_result)
    return {"dmarc": found.result}


def sign(asked):
    message = of_text(asked["message"])
    one = dkim.DKIM(message, signature_algorithm=b"ed25519-sha256" if asked["ed25519"] else b"rsa-sha256")
    names = [name.encode() for name in asked["names"]] or None
    field = one.sign(
        asked["selector"].encode(), asked["domain"].encode(), asked["key"].encode(),
        canonicalize=(asked["header"].encode(), asked["body"].encode()),
        include_headers=names, length=asked["length"],
    )
    return {"field": to_text(field)}


def seal(asked):
    results = asked["results"].encode()
    message = b"Authentication-Results: " + results + b"\r\n" + of_text(asked["message"])
    fields = dkim.arc_sign(message, asked["selector"].encode(), asked["domain"].encode(), asked["key"].encode(), results.split(b";")[0])
    return {"fields": to_text(b"".join(fields))}


OPERATIONS = {"verify": verify, "spf": check_spf, "dmarc": check_dmarc, "sign": sign, "seal": seal}

configure(json.loads(sys.stdin.readline())["port"])
for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = OPERATIONS[asked["op"]](asked)
    except Exception as error:  # the caller shows it
        answer = {"error": "%s: %s" % (type(error).__name__, error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
