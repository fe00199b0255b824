/**
 * The checks of one message, by the library (message path, step 2). Runs in a thread of its own (`sender-auth-thread.ts`): the library
 * is loaded there alone, and what it costs there holds up nobody.
 *
 * What fails how: a check that breaks is `temperror`; a message that would cost too much to check is `permerror` for all that needs its
 * bytes. Never rejects.
 *
 * Sources: RFC 7208, RFC 6376, RFC 7489, RFC 8617; mailauth lib/
 */
import { Readable } from "node:stream";
import { domainToASCII } from "node:url";
import { arc } from "mailauth/lib/arc/index.js";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { dmarc } from "mailauth/lib/dmarc/index.js";
import { spf } from "mailauth/lib/spf/index.js";
import type { AuthResult } from "../core/ports/sender-auth.ts";
import { assertCheap, type OpenedMessage, openMessage, Uncheckable } from "./sender-auth-body.ts";
import { signatureFindings } from "./sender-auth-dkim.ts";
import { dmarcFinding } from "./sender-auth-dmarc.ts";
import type {
  ArcFinding,
  CheckedSubject,
  Findings,
  Resolve,
  SignatureFinding,
  SpfFinding,
} from "./sender-auth-findings.ts";

/** RFC 8301 §3.2. */
const MIN_KEY_BITS = 1024;
const RESULTS: ReadonlySet<string> = new Set<AuthResult>([
  ...(["none", "pass", "fail", "softfail"] as const),
  ...(["neutral", "temperror", "permerror", "policy"] as const),
]);

/** What one run over the message's bytes gives. */
interface Verified {
  readonly headerFrom: readonly string[];
  readonly dkim: readonly SignatureFinding[];
  readonly arc: ArcFinding;
}

export async function evaluate(
  subject: CheckedSubject,
  content: AsyncIterable<Uint8Array>,
  resolve: Resolve,
): Promise<Findings> {
  const { checks } = subject;
  const has = (name: CheckedSubject["checks"][number]) => checks.includes(name);
  const [sender, verified] = await Promise.all([
    has("spf") ? checkSpf(subject, resolve) : undefined,
    ["dkim", "dmarc", "arc"].some(name => checks.some(one => one === name))
      ? verify(subject, content, resolve)
      : undefined,
  ]);
  const dkim = has("dkim") ? verified?.dkim : undefined;
  const dmarc =
    has("dmarc") && verified !== undefined ? await checkDmarc(verified, sender, dkim, resolve) : undefined;
  return {
    ...(sender === undefined ? {} : { spf: sender.finding }),
    ...(dkim === undefined ? {} : { dkim }),
    ...(dmarc === undefined ? {} : { dmarc }),
    ...(has("arc") && verified !== undefined ? { arc: verified.arc } : {}),
  };
}

interface CheckedSpf {
  readonly finding: SpfFinding;
  /** Whose record it was. */
  readonly domain: string;
}

async function checkSpf(
  { ip, helo = "", mailFrom, mta }: CheckedSubject,
  resolver: Resolve,
): Promise<CheckedSpf> {
  const at = mailFrom.lastIndexOf("@");
  const domain = domainToASCII(mailFrom === "" ? helo : mailFrom.slice(at + 1)).replace(/\.$/u, "");
  const about =
    mailFrom === ""
      ? ({ identity: "helo", value: helo } as const)
      : ({ identity: "mailfrom", value: mailFrom } as const);
  if (ip === undefined) return { domain, finding: { ...about, result: "none", why: "client not known" } };
  // RFC 7208 §4.3: a name that cannot have a record.
  if (!domain.includes(".") || domain.startsWith("["))
    return { domain, finding: { ...about, result: "none", why: "no domain" } };
  const local = mailFrom === "" || at <= 0 ? "postmaster" : mailFrom.slice(0, at);
  const sender = `${local}@${domain}`;
  try {
    const { status } = await spf({ sender, ip, helo, mta, resolver });
    const text = status.comment ?? "";
    const [, why] = / during lookup of [^ ]+: (.*)$/su.exec(text) ?? [];
    return {
      domain,
      finding: { ...about, result: resultOf(status.result), ...(why === undefined ? {} : { why }) },
    };
  } catch (error) {
    return { domain, finding: { ...about, result: "temperror", why: messageOf(error) } };
  }
}

async function verify(
  subject: CheckedSubject,
  content: AsyncIterable<Uint8Array>,
  resolver: Resolve,
): Promise<Verified> {
  const needsBody = subject.checks.includes("dkim") || subject.checks.includes("arc");
  const pieces = content[Symbol.asyncIterator]();
  try {
    const opened = await openMessage({ [Symbol.asyncIterator]: () => pieces });
    assertCheap(opened);
    return await verifyOpened(opened, needsBody, resolver);
  } catch (error) {
    const result = error instanceof Uncheckable ? "permerror" : "temperror";
    const why = messageOf(error);
    const unknown = { domain: "", selector: "", algorithm: "", b: "" };
    return { headerFrom: [], dkim: [{ ...unknown, result, why }], arc: { result, why, instance: 0 } };
  } finally {
    // The rest is not wanted: whoever sends it need not wait for the other checks to hear of that.
    pieces.return?.().catch(() => undefined);
  }
}

async function verifyOpened(
  { header, fields, bytes }: OpenedMessage,
  needsBody: boolean,
  resolver: Resolve,
): Promise<Verified> {
  const input = needsBody ? bytes : [withoutSignatures(header, fields)];
  const source = Readable.from(input, { objectMode: false });
  const found = await new Promise<Awaited<ReturnType<typeof dkimVerify>>>((done, fail) => {
    // The library may not hear of it.
    source.once("error", fail);
    const options = { resolver, sender: "x@invalid", minBitLength: MIN_KEY_BITS };
    dkimVerify(source, options).then(done, fail);
  });
  const dkim = signatureFindings(header, fields, found.results, Math.floor(Date.now() / 1000));
  const flags = { failed: false };
  const watched: Resolve = async (name, type) => {
    try {
      return await resolver(name, type);
    } catch (error) {
      if (isTemporary(error)) flags.failed = true;
      throw error;
    }
  };
  const chain = await arc(found.arc, { resolver: watched, minBitLength: MIN_KEY_BITS });
  const result = resultOf(chain.status.result);
  const newest = found.arc.lastEntry?.messageSignature?.status.result;
  const isUnknown = result === "fail" && (flags.failed || newest === "temperror");
  const why = chain.status.comment || undefined;
  return {
    headerFrom: found.headerFrom,
    dkim,
    arc: {
      result: isUnknown ? "temperror" : result,
      instance: chain.i || 0,
      ...(result === "pass" || why === undefined ? {} : { why }),
    },
  };
}

/** For DMARC without DKIM only From counts. */
function withoutSignatures(header: Uint8Array, fields: OpenedMessage["fields"]): Buffer {
  const from = fields.filter(({ name }) => name === "from");
  return Buffer.concat([...from.map(({ start, end }) => header.subarray(start, end)), Buffer.from("\r\n")]);
}

async function checkDmarc(
  { headerFrom }: Verified,
  sender: CheckedSpf | undefined,
  dkim: readonly SignatureFinding[] | undefined,
  resolve: Resolve,
) {
  const broken = dkim?.find(one => one.domain === "" && one.b === "" && one.why !== undefined);
  if (broken !== undefined && headerFrom.length === 0)
    return { result: broken.result, from: "", ...(broken.why === undefined ? {} : { why: broken.why }) };
  try {
    const about = sender === undefined ? undefined : { ...sender.finding, domain: sender.domain };
    return await dmarcFinding(headerFrom, about, dkim, dmarc, resolve);
  } catch (error) {
    return { result: "temperror", from: "", why: messageOf(error) } as const;
  }
}

function isTemporary(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === "ETIMEOUT";
}

function resultOf(text: string): AuthResult {
  return RESULTS.has(text) ? (text as AuthResult) : "temperror";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
