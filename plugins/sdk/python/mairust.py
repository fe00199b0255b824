"""The SDK for plugins of MaiRust Sidecar in Python (3.9 or later): one file, no dependency. Lay it beside the plugin, in its package.

A plugin says what to do at a hook point; the rest is here: the lines of a worker, one process for each call, a web server that
checks signatures. What fails in a handler is answered with the action "error", which no host knows: that voids the answer, and the
hook's on_error decides. The SDK for Node is the same in the same order; README.md holds both together.
"""
import base64
import hashlib
import hmac
import http.client
import http.server
import io
import json
import math
import os
import queue
import re
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict, Union
from urllib.parse import urlsplit

POINTS = ("pre_receive", "pre_delivery", "post_receive", "pre_send")
PERMANENT_CODES = (550, 552, 553, 554)
TEMPORARY_CODES = (450, 451, 452)
LEVELS = ("trace", "debug", "info", "warn", "error")

# Longest payload that a host sends.
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
# Longest answer of a server that a plugin asks, unless `fetch` is told otherwise.
MAX_FETCHED_BYTES = 1024 * 1024
# Of a call's time, kept back by `fetch`: what it takes to answer the host.
RESERVE_MS = 50
# How old, or how early, a signed request may be.
TOLERANCE_S = 300
# As many as a host opens.
MAX_CONNECTIONS = 256
IDLE_CONNECTION_S = 75
# The host cuts longer lines of a log.
MAX_LOG_LINE = 4000

# ---------------------------------------------------------------------------------------------------------------- message


class Header(TypedDict):
    name: str
    value: str


class Envelope(TypedDict):
    mail_from: str
    rcpt_to: List[str]
    client_ip: Optional[str]
    client_name: Optional[str]
    helo: Optional[str]
    tls: Optional[bool]
    auth_user: Optional[str]
    queue_id: Optional[str]


class AuthCheck(TypedDict):
    result: str
    detail: Optional[str]


class Auth(TypedDict):
    spf: AuthCheck
    dkim: AuthCheck
    dmarc: AuthCheck
    arc: AuthCheck


class Context(TypedDict):
    direction: str
    stage: str
    tags: List[str]
    thread_id: Optional[str]
    account: Optional[str]


class Preview(TypedDict):
    text: str
    truncated: bool
    source: str
    charset_declared: Optional[str]
    charset_used: str
    decode_errors: int


class BodyPart(TypedDict):
    type: str
    text: str
    truncated: bool
    charset_declared: Optional[str]
    charset_used: str


class AttachmentMetadata(TypedDict):
    index: int
    filename: Optional[str]
    content_type: str
    size_bytes: int
    disposition: Optional[str]
    content_id: Optional[str]


class Attachment(AttachmentMetadata, total=False):
    sha256: str
    preview_base64: str
    preview_truncated: bool
    content_base64: Optional[str]
    content_url: Optional[str]


class Provenance(TypedDict):
    plugin_id: str
    hook: str
    changes: List[str]


class PluginName(TypedDict):
    id: str
    version: str


class PayloadEnvelope(TypedDict):
    api: str
    call_id: str
    hook: str
    mode: str
    attempt: int
    deadline_ms: int
    plugin: PluginName
    received_at: str
    size_bytes: int
    settings: Dict[str, Union[str, float, bool]]


class Payload(PayloadEnvelope, total=False):
    """What a plugin is sent for a call: `hook-1.schema.json`. A key that the grants do not cover is absent."""

    provenance: List[Provenance]
    headers: List[Header]
    headers_truncated: bool
    envelope: Envelope
    auth: Auth
    context: Context
    body_preview: Optional[Preview]
    body: List[BodyPart]
    attachments: List[Attachment]
    mime_truncated: bool


class Message:
    """One message, as far as the administrator lets the plugin see it. What was not granted reads as empty; `granted` tells."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def granted(self, key: str) -> bool:
        """Whether the grants cover this key of the payload."""
        return key in self.payload

    @property
    def headers(self) -> List[Header]:
        """Top to bottom, decoded."""
        return self.payload.get("headers", [])

    def header(self, name: str) -> str:
        """The first field of that name, in any case; "" when there is none."""
        return next(iter(self.header_all(name)), "")

    def header_all(self, name: str) -> List[str]:
        """The values of all fields of that name."""
        return [one["value"] for one in self.headers if one["name"].lower() == name.lower()]

    @property
    def headers_truncated(self) -> bool:
        return self.payload.get("headers_truncated", False)

    @property
    def subject(self) -> str:
        return self.header("subject")

    @property
    def from_(self) -> str:
        """The field From, not the sender of the envelope."""
        return self.header("from")

    @property
    def envelope(self) -> Optional[Envelope]:
        return self.payload.get("envelope")

    @property
    def auth(self) -> Optional[Auth]:
        """The host's own checks of SPF, DKIM, DMARC, ARC."""
        return self.payload.get("auth")

    @property
    def context(self) -> Optional[Context]:
        return self.payload.get("context")

    @property
    def tags(self) -> List[str]:
        """Tags so far, those of the plugins before this one among them."""
        context = self.context
        return [] if context is None else context["tags"]

    @property
    def provenance(self) -> List[Provenance]:
        """Who changed what before."""
        return self.payload.get("provenance", [])

    @property
    def preview(self) -> Optional[Preview]:
        """The first text, at most 4096 bytes; None: none, or not granted."""
        return self.payload.get("body_preview")

    @property
    def body(self) -> List[BodyPart]:
        """Every text part; with less than read_body = "full": none."""
        return self.payload.get("body", [])

    @property
    def text(self) -> str:
        """The text as plain as it is at hand: the text/plain parts of the whole body, else the preview."""
        plain = [part["text"] for part in self.body if part["type"] == "text/plain"]
        if plain:
            return "\n".join(plain)
        return "" if self.preview is None else self.preview["text"]

    @property
    def attachments(self) -> List[Attachment]:
        return self.payload.get("attachments", [])

    def bytes_of(self, attachment: Attachment) -> Optional[bytes]:
        """Its bytes: all, or the first 4096, or None, as granted and as large as it is."""
        content = attachment.get("content_base64")
        if content is None:
            content = attachment.get("preview_base64")
        return None if content is None else base64.b64decode(content)

    @property
    def mime_truncated(self) -> bool:
        """Parts were left out of the body or the attachments."""
        return self.payload.get("mime_truncated", False)

    @property
    def received_at(self) -> str:
        """RFC 3339."""
        return self.payload["received_at"]

    @property
    def size_bytes(self) -> int:
        return self.payload["size_bytes"]


# ---------------------------------------------------------------------------------------------------------------- verdict


class Change(TypedDict, total=False):
    add: List[str]
    remove: List[str]


class AddedHeaders(TypedDict, total=False):
    add: List[Tuple[str, str]]


class AppendText(TypedDict, total=False):
    plain: str
    html: str


class Recipients(TypedDict, total=False):
    add_bcc: List[str]


class Usage(TypedDict, total=False):
    input_tokens: float
    output_tokens: float
    cost_usd: float
    model: str


class Answer(TypedDict, total=False):
    """What a plugin answers: `answer-1.schema.json`."""

    call_id: str
    action: str
    code: int
    permanent: bool
    reason: str
    tags: Change
    flags: Change
    folder: str
    metadata: Dict[str, Any]
    headers: AddedHeaders
    append_text: AppendText
    recipients: Recipients
    usage: Usage
    explanation: str
    defer: bool


class Verdict:
    """The answer, piece by piece; untouched it delivers the message unchanged.

    What would void the whole answer (a wrong type, a code of the other kind) raises here, where the mistake is. What goes beyond the
    grant or a rule the host drops alone and counts.
    """

    def __init__(self, call_id: Optional[str] = None) -> None:
        self._answer: Dict[str, Any] = {} if call_id is None else {"call_id": call_id}

    def deliver(self) -> "Verdict":
        return self._decide("deliver")

    def reject(self, reason: Optional[str] = None, code: Optional[int] = None) -> "Verdict":
        """Refuse for good."""
        if code is not None and code not in PERMANENT_CODES:
            raise ValueError("reject takes no code %r" % (code,))
        return self._decide("reject", reason, code)

    def tempfail(self, reason: Optional[str] = None, code: Optional[int] = None) -> "Verdict":
        """Refuse for now: the sender tries again."""
        if code is not None and code not in TEMPORARY_CODES:
            raise ValueError("tempfail takes no code %r" % (code,))
        return self._decide("tempfail", reason, code)

    def hold(self, reason: Optional[str] = None) -> "Verdict":
        """Keep it until a person decides."""
        return self._decide("hold", reason)

    def tag(self, *names: str) -> "Verdict":
        return self._put("tags", "add", names)

    def untag(self, *names: str) -> "Verdict":
        return self._put("tags", "remove", names)

    def flag(self, *names: str) -> "Verdict":
        r"""`\Seen`, `\Flagged`, `\Answered` and keywords."""
        return self._put("flags", "add", names)

    def unflag(self, *names: str) -> "Verdict":
        return self._put("flags", "remove", names)

    def folder(self, name: str) -> "Verdict":
        """File it there."""
        self._answer["folder"] = _text(name, "folder")
        return self

    def metadata(self, key: str, value: Any) -> "Verdict":
        """Kept with the message under `plugin:<id>:<key>`. @param value  what JSON can hold"""
        json.dumps(value, allow_nan=False)
        self._answer.setdefault("metadata", {})[_text(key, "a metadata key")] = value
        return self

    def header(self, name: str, value: str) -> "Verdict":
        """Add a field `X-…`."""
        pair = [_text(name, "a field name"), _text(value, "a field")]
        self._answer.setdefault("headers", {}).setdefault("add", []).append(pair)
        return self

    def append_text(self, plain: Optional[str] = None, html: Optional[str] = None) -> "Verdict":
        """At the end of mail that is sent."""
        texts = {"plain": plain, "html": html}
        self._answer["append_text"] = {key: _text(text, key) for key, text in texts.items() if text is not None}
        return self

    def bcc(self, *addresses: str) -> "Verdict":
        """Blind copies of mail that is sent, to addresses that the administrator named."""
        added = self._answer.setdefault("recipients", {}).setdefault("add_bcc", [])
        added.extend(_text(address, "an address") for address in addresses)
        return self

    def usage(
        self,
        input_tokens: Optional[float] = None,
        output_tokens: Optional[float] = None,
        cost_usd: Optional[float] = None,
        model: Optional[str] = None,
    ) -> "Verdict":
        """What the call cost; `call.budget.spend` sums several requests up."""
        numbers = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cost_usd": cost_usd}
        kept: Dict[str, Any] = {key: value for key, value in numbers.items() if value is not None}
        for key, value in kept.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError("usage.%s is not 0 or more" % key)
        if model is not None:
            kept["model"] = _text(model, "usage.model")
        self._answer["usage"] = kept
        return self

    def explain(self, why: str) -> "Verdict":
        """Why, for people. Never for programs: it is shown as untrusted text."""
        self._answer["explanation"] = _text(why, "an explanation")
        return self

    def defer(self) -> "Verdict":
        """The result comes later by callback."""
        self._answer["defer"] = True
        return self

    def to_json(self) -> Dict[str, Any]:
        return self._answer

    def _decide(self, action: str, reason: Optional[str] = None, code: Optional[int] = None) -> "Verdict":
        for key in ("code", "reason"):
            self._answer.pop(key, None)
        self._answer["action"] = action
        if code is not None:
            self._answer["code"] = code
        if reason is not None:
            self._answer["reason"] = _text(reason, "a reason")
        return self

    def _put(self, what: str, way: str, names: Sequence[str]) -> "Verdict":
        added = [_text(name, what) for name in names]
        self._answer.setdefault(what, {}).setdefault(way, []).extend(added)
        return self


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError("%s is not a text" % what)
    return value


# ------------------------------------------------------------------------------------------------------------------- call


class CallFailed(Exception):
    """A call that fails for a reason that is no bug: one line of the log instead of a traceback. The verdict is void all the same."""


class DeadlineExceeded(CallFailed):
    pass


class BudgetExceeded(CallFailed):
    pass


class Deadline:
    """A call's time. Waiting for a free worker counts towards it, so ask it instead of counting yourself."""

    def __init__(self, ms: float) -> None:
        self._ends_at = time.monotonic() + ms / 1000

    @property
    def remaining_ms(self) -> float:
        """Milliseconds, never below 0."""
        return max(0.0, (self._ends_at - time.monotonic()) * 1000)

    @property
    def expired(self) -> bool:
        return self.remaining_ms == 0

    def sleep(self, ms: float) -> None:
        """Wait, not longer than there is time. Raises DeadlineExceeded when that is too short."""
        time.sleep(min(ms, self.remaining_ms) / 1000)
        self.check()

    def check(self) -> None:
        """Raises DeadlineExceeded when the time is over: for loops that take long."""
        if self.expired:
            raise DeadlineExceeded("the call's time is over")


class Budget:
    """What one call spends on a model. The host keeps the day's accounts from what is reported.

    The limits here are the plugin's own, for one call: `Plugin(budget={"calls": 3, "tokens": 4000})`.
    """

    def __init__(self, verdict: Verdict, calls: float = math.inf, tokens: float = math.inf) -> None:
        self._verdict = verdict
        self.limits = {"calls": calls, "tokens": tokens}
        self.calls = 0
        self.input_tokens: float = 0
        self.output_tokens: float = 0
        self.cost_usd: float = 0

    @property
    def tokens(self) -> float:
        return self.input_tokens + self.output_tokens

    def allows(self, tokens: float = 0) -> bool:
        """Whether one more request, which will cost that many tokens, may be made."""
        return self.calls < self.limits["calls"] and self.tokens + tokens <= self.limits["tokens"]

    def spend(
        self, input_tokens: float = 0, output_tokens: float = 0, cost_usd: float = 0, model: Optional[str] = None
    ) -> None:
        """One request was made: add it, and report the sum. Raises BudgetExceeded when it was one too many."""
        self.calls += 1
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost_usd += cost_usd
        self._verdict.usage(self.input_tokens, self.output_tokens, self.cost_usd, model)
        if self.calls > self.limits["calls"] or self.tokens > self.limits["tokens"]:
            raise BudgetExceeded(
                "%d requests, %d tokens: more than one call may spend" % (self.calls, self.tokens)
            )


class Log:
    """Lines for the plugin's log, which is its stderr. Fields are for programs, the message is for people."""

    def __init__(self, level: str = "info", format: str = "json", fields: Optional[Mapping[str, Any]] = None) -> None:
        self._level, self._format, self._fields = level, format, dict(fields or {})

    def trace(self, message: str, **fields: Any) -> None:
        self._write("trace", message, fields)

    def debug(self, message: str, **fields: Any) -> None:
        self._write("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._write("info", message, fields)

    def warn(self, message: str, **fields: Any) -> None:
        self._write("warn", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        self._write("error", message, fields)

    def child(self, **fields: Any) -> "Log":
        """With more fields on each line."""
        return Log(self._level, self._format, {**self._fields, **fields})

    def _write(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        if self._level in LEVELS and LEVELS.index(level) < LEVELS.index(self._level):
            return
        fields = {**self._fields, **fields}
        line = _text_line(level, message, fields) if self._format == "text" else _json_log_line(level, message, fields)
        # One write: lines of several threads do not mix.
        os.write(2, (line + "\n").encode("utf-8", "replace"))


def _json_log_line(level: str, message: str, fields: Mapping[str, Any]) -> str:
    line = json.dumps({"level": level, "message": str(message), **fields}, ensure_ascii=False, default=str)
    if len(line) <= MAX_LOG_LINE:
        return line
    # A line that the host cuts would be no JSON any more; six characters are the longest escape of one.
    return json.dumps({"level": level, "message": str(message)[: MAX_LOG_LINE // 8], "cut": True})


def _text_line(level: str, message: str, fields: Mapping[str, Any]) -> str:
    pairs = ["%s=%s" % (key, json.dumps(value, ensure_ascii=False, default=str)) for key, value in fields.items()]
    return re.sub(r"[\r\n\u2028\u2029]+", " ", " ".join([level, str(message), *pairs]))[:MAX_LOG_LINE]


class Call:
    """What is around a message: settings, time, log, budget, a way out."""

    def __init__(
        self, payload: Payload, verdict: Verdict, log: Log, trace: str, budget: Optional[Mapping[str, float]]
    ) -> None:
        self.id = payload["call_id"]
        self.point = payload["hook"]
        # `shadow`: recorded, nothing applied.
        self.mode = payload["mode"]
        # 1, 2, … : the same call may come again.
        self.attempt = payload["attempt"]
        # As the administrator set them, defaults filled in by the host.
        self.settings = dict(payload["settings"])
        self.deadline = Deadline(payload["deadline_ms"])
        self.budget = Budget(verdict, **(budget or {}))
        # W3C Trace Context where the transport has a place for it, else "". `fetch` passes it on.
        self.trace = trace
        self.log = log.child(call_id=self.id)

    def fetch(
        self,
        url: str,
        method: Optional[str] = None,
        headers: Optional[Mapping[str, str]] = None,
        body: Union[str, bytes, None] = None,
        timeout_ms: float = math.inf,
        max_bytes: int = MAX_FETCHED_BYTES,
    ) -> "Fetched":
        """Ask a server within the call's time: see `fetch_url`."""
        traced = {**({"traceparent": self.trace} if self.trace else {}), **(headers or {})}
        left = min(timeout_ms, self.deadline.remaining_ms - RESERVE_MS)
        return fetch_url(url, method, traced, body, left, max_bytes)


# ------------------------------------------------------------------------------------------------------------------ fetch


class FetchError(CallFailed):
    """A request without an answer. `kind`: `timeout`, `too_large`, `unreached`."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Fetched:
    """The answer to a request, read to its end."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        # Names in lower case.
        self.headers = headers
        self.body = body

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Raises ValueError when it is no JSON; RecursionError where it is nested too deep is one as well."""
        try:
            return json.loads(self.text)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


def fetch_url(
    url: str,
    method: Optional[str] = None,
    headers: Optional[Mapping[str, str]] = None,
    body: Union[str, bytes, None] = None,
    timeout_ms: float = 30_000,
    max_bytes: int = MAX_FETCHED_BYTES,
) -> Fetched:
    """One request over a connection of its own. Raises FetchError.

    Goes through `HTTPS_PROXY` by CONNECT, http too: the only way out of a sandbox. No redirects; an answer of more than `max_bytes`
    is an error. Any status is an answer.
    """
    target = urlsplit(url)
    if target.scheme not in ("http", "https") or not target.hostname:
        raise ValueError("not an http:// or https:// URL")
    if not timeout_ms > 0:
        raise FetchError("timeout", "no time is left")
    octets = body.encode() if isinstance(body, str) else body
    connection = _connection(target, min(timeout_ms / 1000, threading.TIMEOUT_MAX))
    path = (target.path or "/") + ("?" + target.query if target.query else "")
    own = {"accept-encoding": "identity", "connection": "close"}
    given = {name.lower(): value for name, value in (headers or {}).items()}
    said: "queue.Queue[Union[Fetched, BaseException]]" = queue.Queue(1)

    def exchange() -> None:
        try:
            connection.request(
                method or ("GET" if octets is None else "POST"), path, octets, {**own, **given}
            )
            response = connection.getresponse()
            content = response.read(max_bytes + 1)
            if len(content) > max_bytes:
                raise FetchError("too_large", "more than %d bytes came" % max_bytes)
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            names = {name.lower(): value for name, value in response.getheaders()}
            said.put(Fetched(response.status, names, content))
        except BaseException as error:  # handed over to the caller
            said.put(error)
        finally:
            connection.close()

    # In a thread of its own: the look-up of a name and an answer that comes drop by drop know no time-out.
    threading.Thread(target=exchange, daemon=True).start()
    try:
        answer = said.get(timeout=min(timeout_ms / 1000, threading.TIMEOUT_MAX))
    except queue.Empty:
        _cut(connection)
        raise FetchError("timeout", "%s did not answer in %d ms" % (target.netloc, timeout_ms)) from None
    if isinstance(answer, Fetched):
        return answer
    if isinstance(answer, FetchError):
        raise answer
    if isinstance(answer, (OSError, http.client.HTTPException)):
        kind = "timeout" if isinstance(answer, socket.timeout) else "unreached"
        raise FetchError(kind, "%s: %s" % (target.netloc, answer or type(answer).__name__)) from None
    raise answer


def _proxy_for(target: Any) -> Optional[Any]:
    named = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or ""
    if named == "":
        return None
    host = "." + target.hostname
    for one in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(","):
        one = one.strip()
        if one == "*" or (one != "" and host.endswith(one if one.startswith(".") else "." + one)):
            return None
    return urlsplit(named)


def _connection(target: Any, timeout_s: float) -> http.client.HTTPConnection:
    is_tls = target.scheme == "https"
    port = target.port or (443 if is_tls else 80)
    proxy = _proxy_for(target)
    host, at = (target.hostname, port) if proxy is None else (proxy.hostname, proxy.port or 80)
    if is_tls:
        made: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, at, timeout=timeout_s, context=ssl.create_default_context()
        )
    else:
        made = http.client.HTTPConnection(host, at, timeout=timeout_s)
    if proxy is not None:
        made.set_tunnel(target.hostname, port)
    return made


def _cut(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is None:
        return
    try:
        # The plain socket's own method: that of TLS would wait for the other thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # closed already


# -------------------------------------------------------------------------------------------------------------- signature


def _key_of(secret: str) -> bytes:
    """@param secret  `whsec_…` as `mairust plugin rotate` prints it"""
    key = base64.b64decode(re.sub("^whsec_", "", secret))
    if len(key) < 24:
        raise ValueError("a secret is not whsec_ and base64 of at least 24 bytes")
    return key


def is_signed(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: Optional[float] = None) -> bool:
    """Whether the host has made this request, and lately: by `X-MaiRust-Signature` or by the list `webhook-signature`.

    @param secrets  `whsec_…`; in a rotation the old one and the new one
    @param headers  names in lower case
    @param body     as it came
    @param now      seconds since 1970
    """
    at = time.time() if now is None else now

    def is_fresh(stamp: str) -> bool:
        return re.fullmatch("[0-9]{1,12}", stamp) is not None and abs(at - int(stamp)) <= TOLERANCE_S

    def is_same(given: str, made: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), made.encode())

    own_stamp, list_stamp, call_id = (
        headers.get(name, "") for name in ("x-mairust-timestamp", "webhook-timestamp", "webhook-id")
    )
    listed = headers.get("webhook-signature", "").split(" ")[:8]
    for key in map(_key_of, secrets):

        def mac(before: str) -> Any:
            return hmac.new(key, before.encode("utf-8", "replace") + body, hashlib.sha256)

        own = "sha256=" + mac(own_stamp + ".").hexdigest()
        if is_fresh(own_stamp) and is_same(headers.get("x-mairust-signature", ""), own):
            return True
        made = "v1," + base64.b64encode(mac("%s.%s." % (call_id, list_stamp)).digest()).decode()
        if is_fresh(list_stamp) and any([is_same(one, made) for one in listed]):
            return True
    return False


def _secrets_of_environment() -> List[str]:
    """`MAIRUST_PLUGIN_SECRET`, or the file that `MAIRUST_PLUGIN_SECRET_FILE` names; several are separated by spaces."""
    file = os.environ.get("MAIRUST_PLUGIN_SECRET_FILE", "")
    if file == "":
        return os.environ.get("MAIRUST_PLUGIN_SECRET", "").split()
    with open(file, encoding="utf-8") as source:
        return source.read().split()


# --------------------------------------------------------------------------------------------------------------- manifest


class Manifest:
    """What the SDK needs of `plugin.toml`: one-line texts by `table.key`, and `hooks.on`.

    Whether it is valid `mairust plugin lint` says. Default: beside this file or above it, else beside the program, else in the
    working directory.
    """

    def __init__(self, path: Optional[str] = None) -> None:
        self.path = ""
        self.values: Dict[str, str] = {}
        self.on: List[str] = []
        here = os.path.dirname(os.path.abspath(__file__))
        program = os.path.dirname(os.path.abspath(getattr(sys.modules["__main__"], "__file__", None) or "."))
        places = [here, os.path.dirname(here), program, os.path.dirname(program), os.getcwd()]
        for file in [os.path.join(place, "plugin.toml") for place in places] if path is None else [path]:
            try:
                with open(file, encoding="utf-8") as source:
                    text = source.read()
            except OSError:
                continue  # not here
            self.path = file
            self._parse(text)
            return

    def _parse(self, source: str) -> None:
        table = ""
        for line in source.split("\n"):
            opened = re.match(r"\s*\[([^\[\]]+)\]", line)
            if opened:
                table = opened.group(1).strip() + "."
            pair = re.match(r"\s*([a-z_]+)\s*=\s*(?:\"([^\"\\]*)\"|'([^']*)')\s*(?:#.*)?$", line)
            if pair:
                value = pair.group(2) if pair.group(2) is not None else pair.group(3)
                self.values.setdefault(table + pair.group(1), value)
            named = re.match(r"\s*on\s*=\s*\[([^\]]*)\]", line) if table == "hooks." else None
            if named:
                self.on = re.findall(r"[\"']([^\"']*)[\"']", named.group(1))


# ----------------------------------------------------------------------------------------------------------------- plugin

Handler = Callable[[Message, Verdict, Call], Any]


class Plugin:
    def __init__(
        self,
        manifest: Optional[str] = None,
        id: Optional[str] = None,
        version: Optional[str] = None,
        logging: Optional[Mapping[str, str]] = None,
        budget: Optional[Mapping[str, float]] = None,
    ) -> None:
        self._handlers: Dict[str, Handler] = {}
        self._health: Callable[[], Any] = lambda: None
        self._stops: List[Callable[[], Any]] = []
        self._budget = budget
        self.manifest = Manifest(manifest)
        values = self.manifest.values
        self.id = id or os.environ.get("MAIRUST_PLUGIN_ID") or values.get("id", "")
        self.version = version or values.get("version", "0.0.0")
        said = {key: values["logging." + key] for key in ("level", "format") if "logging." + key in values}
        self.log = Log(**{**said, **(logging or {})})

    @property
    def points(self) -> List[str]:
        """Points that have a handler."""
        return list(self._handlers)

    def on(self, point: str, handler: Optional[Handler] = None) -> Any:
        """What to do at a hook point: `@plugin.on("pre_delivery")` above a function, or with it as second argument."""
        if point not in POINTS:
            raise ValueError('there is no hook point "%s"' % point)
        if point in self._handlers:
            raise ValueError('"%s" has a handler' % point)

        def register(given: Handler) -> Handler:
            self._handlers[point] = given
            return given

        return register if handler is None else register(handler)

    def health(self, check: Callable[[], Any]) -> Callable[[], Any]:
        """How it is: None is ok, a text is degraded, an exception is an error. Stands above a function, too."""
        self._health = check
        return check

    def on_stop(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """What is done before the process leaves. Stands above a function, too."""
        self._stops.append(work)
        return work

    def answer(self, payload: Payload, trace: str = "") -> Dict[str, Any]:
        """One call. Never raises: what fails is logged, and answered with the action "error"."""
        try:
            verdict = Verdict(payload["call_id"])
            call = Call(payload, verdict, self.log, trace, self._budget)
            if call.point not in self._handlers:
                raise LookupError('there is no handler for "%s"' % call.point)
            self._handlers[call.point](Message(payload), verdict, call)
            return verdict.to_json()
        except CallFailed as error:
            self.log.warn("the call failed", call_id=payload.get("call_id"), error=str(error))
            return {"call_id": payload.get("call_id"), "action": "error"}
        except Exception:
            self.log.error("the handler failed", call_id=payload.get("call_id"), error=traceback.format_exc(limit=-8))
            return {"call_id": payload.get("call_id"), "action": "error"}

    def health_now(self) -> Dict[str, Any]:
        try:
            said = self._health()
        except Exception as error:
            return {"status": "error", "details": str(error)}
        if said is None:
            return {"status": "ok"}
        return {"status": "degraded", "details": said} if isinstance(said, str) else said

    def run(self, name: str, mode: Optional[str] = None) -> None:
        """Work as `[entry]` of the manifest says: worker, spawn, or web server. `name` is `__name__`: does nothing where this
        module was only imported, by a test."""
        if name != "__main__":
            return
        values = self.manifest.values
        script = values.get("entry.mode", "worker") if values.get("entry.protocol", "script") == "script" else "http"
        found = mode or script
        if found == "http":
            server = self.serve()
            ended = threading.Event()
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, lambda *_: ended.set())
            ended.wait()
            server.stop()
            return
        output = _protocol_output()
        try:
            if found == "spawn":
                self._run_once(output)
            else:
                self._run_worker(output)
        except BrokenPipeError:
            pass  # the host has gone
        self._stop()
        sys.stdout.flush()
        sys.stderr.flush()
        # What the plugin left open (a thread, a connection) is no reason to stay.
        os._exit(0)

    def serve(
        self,
        host: Optional[str] = None,
        port: Optional[int] = None,
        socket_path: Optional[str] = None,
        path: Optional[str] = None,
        secrets: Optional[Sequence[str]] = None,
    ) -> "Server":
        """Be a web server: POST is a call, GET asks for the health; both must be signed.

        Default: `MAIRUST_PLUGIN_LISTEN`, else where the manifest's endpoint says.
        """
        where = _listen_of(self.manifest.values)
        given = {"host": host, "port": port, "socket_path": socket_path, "path": path}
        where.update({key: value for key, value in given.items() if value is not None})
        known = list(_secrets_of_environment() if secrets is None else secrets)
        if not known:
            raise ValueError("Cannot serve: no secret in MAIRUST_PLUGIN_SECRET or MAIRUST_PLUGIN_SECRET_FILE")
        for secret in known:
            _key_of(secret)
        return Server(self, where, known)

    def _run_worker(self, output: io.RawIOBase) -> None:
        for line in sys.stdin.buffer:
            request = _parsed(line)
            if request is None:
                self.log.error("this line is no request")
                said: Dict[str, Any] = {"action": "error"}
            elif "mairust" in request:
                said = {"mairust": 1, "plugin": self.id, "version": self.version, "api": ["1"]}
            elif "health" in request:
                said = self.health_now()
            else:
                said = self.answer(request)
            _write_all(output, _encoded(said) + b"\n")

    def _run_once(self, output: io.RawIOBase) -> None:
        request = _parsed(sys.stdin.buffer.read())
        if request is None:
            self.log.error("standard input is no request")
            os._exit(1)
        _write_all(output, _encoded(self.answer(request)))

    def _stop(self) -> None:
        for work in self._stops:
            try:
                work()
            except Exception as error:
                self.log.error("the end failed", error=str(error))


def _parsed(line: bytes) -> Optional[Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None  # the caller says what it expected
    return value if isinstance(value, dict) else None


def _encoded(said: Mapping[str, Any]) -> bytes:
    # In ASCII: half a surrogate pair of a mail's text cannot be written otherwise.
    return json.dumps(said, separators=(",", ":")).encode()


def _write_all(output: io.RawIOBase, octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        left = left[output.write(left) or 0 :]


def _protocol_output() -> io.RawIOBase:
    """From now on what is printed, and what child processes write to stdout, goes to stderr. Returns the way to the host."""
    global _output
    if _output is None:
        _output = io.FileIO(os.dup(1), "w")
        os.dup2(2, 1)
        # Line by line, as a log should come.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
    return _output


_output: Optional[io.FileIO] = None
# The host has started us: whatever is printed from now on is no answer. Elsewhere `run()` sees to it.
if "MAIRUST_PLUGIN_ID" in os.environ:
    _protocol_output()


class Server:
    """A plugin as a web server, in threads of its own. `stop()` ends it."""

    def __init__(self, plugin: Plugin, where: Mapping[str, Any], secrets: Sequence[str]) -> None:
        self._plugin = plugin
        places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        socket_path = where.get("socket_path")

        class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
            address_family = _family(where)
            allow_reuse_address = socket_path is None
            daemon_threads = True
            block_on_close = False
            request_queue_size = MAX_CONNECTIONS

            def process_request(self, request: Any, client_address: Any) -> None:
                places.acquire()
                super().process_request(request, client_address)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    places.release()

            def handle_error(self, request: Any, client_address: Any) -> None:
                plugin.log.debug("a connection failed", error=str(sys.exc_info()[1]))

        if socket_path is not None and os.path.exists(socket_path):
            os.unlink(socket_path)
        at = socket_path if socket_path is not None else (where.get("host", "127.0.0.1"), where.get("port", 0))
        self._server = Threads(at, _request_handler(plugin, where.get("path"), secrets))
        # Host and port, or the path of the socket.
        self.address = self._server.server_address
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._plugin._stop()


def _family(where: Mapping[str, Any]) -> int:
    if where.get("socket_path") is not None:
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in where.get("host", "") else socket.AF_INET


def _request_handler(plugin: Plugin, path: Optional[str], secrets: Sequence[str]) -> Any:
    class RequestHandler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_CONNECTION_S
        # Buffered: an answer goes out in one piece, without waiting for Nagle.
        wbufsize = -1

        def do_GET(self) -> None:
            self._one()

        def do_POST(self) -> None:
            self._one()

        def _one(self) -> None:
            status, said = self._answer()
            body = b"" if said is None else _encoded(said)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answer(self) -> Tuple[int, Optional[Mapping[str, Any]]]:
            length = self.headers.get("content-length", "0")
            if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_PAYLOAD_BYTES:
                self.close_connection = True
                return 413, None
            if "transfer-encoding" in self.headers:
                self.close_connection = True
                return 411, None
            body = self.rfile.read(int(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if not is_signed(secrets, headers, body):
                return 401, None
            if self.command == "GET":
                return 200, plugin.health_now()
            if path is not None and self.path != path:
                return 404, None
            payload = _parsed(body)
            if payload is None:
                return 400, None
            return 200, plugin.answer(payload, headers.get("traceparent", ""))

        def address_string(self) -> str:
            return ""

        def log_message(self, format: str, *args: Any) -> None:
            plugin.log.trace(format % args)

    return RequestHandler


def _listen_of(values: Mapping[str, str]) -> Dict[str, Any]:
    endpoint = values.get("entry.endpoint", "")
    said = os.environ.get("MAIRUST_PLUGIN_LISTEN", "")
    unix = re.fullmatch(r"unix:(?://)?(/[^:]*)(?::(/.*))?", said or endpoint)
    where: Dict[str, Any] = {}
    at = re.fullmatch(r"unix:.*:(/[^:]*)", endpoint)
    if at:
        where["path"] = at.group(1)
    if re.match("https?:", endpoint):
        url = urlsplit(endpoint)
        where["path"] = (url.path or "/") + ("?" + url.query if url.query else "")
        if url.scheme == "http":
            where.update(host=url.hostname, port=url.port or 80)
    if unix:
        return {**({"path": where["path"]} if "path" in where else {}), "socket_path": unix.group(1)}
    place = re.fullmatch(r"(.*):([0-9]+)", said)
    if place:
        where.update(host=place.group(1).strip("[]"), port=int(place.group(2)))
    return where


# ------------------------------------------------------------------------------------------------------------------ tests


def sample_payload(**more: Any) -> Any:
    """A payload with only what is given: `sample_payload(headers=[…], body_preview={…})`."""
    return {
        "api": "mairust.hook/1",
        "call_id": "0190a000-0000-7000-8000-000000000001",
        "hook": "pre_delivery",
        "mode": "enforce",
        "attempt": 1,
        "deadline_ms": 2000,
        "plugin": {"id": "com.example.sample", "version": "1.0.0"},
        "received_at": "2026-03-01T12:00:00.000Z",
        "size_bytes": 1000,
        "settings": {},
        **more,
    }


def run_fixture(plugin: Plugin, fixture: Any, **more: Any) -> Dict[str, Any]:
    """Call the plugin with a fixture: a payload, or a JSON file of one, or of `{"payload": …}` as in plugins/contract/samples.

    @param more  instead of what stands in the fixture
    """
    if isinstance(fixture, str):
        with open(fixture, encoding="utf-8") as source:
            fixture = json.load(source)
    return plugin.answer({**fixture.get("payload", fixture), **more})


def assert_loaded(plugin: Plugin) -> None:
    """It has a manifest with an id, and a handler for each point that the manifest names."""
    if plugin.manifest.path == "":
        raise AssertionError("there is no plugin.toml")
    if plugin.id == "":
        raise AssertionError("%s has no id" % plugin.manifest.path)
    if not plugin.manifest.on:
        raise AssertionError("%s names no hook point" % plugin.manifest.path)
    for point in plugin.manifest.on:
        assert_hook_registered(plugin, point)


def assert_hook_registered(plugin: Plugin, point: str) -> None:
    if point not in plugin.points:
        raise AssertionError('there is no handler for "%s"' % point)
