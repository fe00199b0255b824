/**
 * Authentication of senders (message path, steps 2 to 5): SPF, DKIM, DMARC and ARC of mail from outside, where the client is known. The
 * checks run in threads of their own (`sender-auth-threads.ts`) by a library, with DNS of our own (`sender-auth-dns.ts`).
 *
 * What fails how: what cannot be found out in time, for whatever reason, is `temperror`; nothing is refused for it.
 *
 * Source: mail-path.md §5; RFC 8601
 */
import { BlockList, isIP } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import { toMairustError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { AuthOutcome, AuthSubject, SenderAuth } from "../core/ports/sender-auth.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { askServers, CachedDns } from "./sender-auth-dns.ts";
import type { CheckedSubject, CheckName, Findings } from "./sender-auth-findings.ts";
import { authservIdOf, factsOf, headerValue, isSameId, unknownFindings } from "./sender-auth-header.ts";
import { CheckThreads } from "./sender-auth-threads.ts";

/** For all checks of one message, and never more than this share of its whole time: hooks come after them. */
const CHECK_MS = 6_000;
const CHECK_SHARE = 0.5;

export interface SenderAuthOptions {
  readonly checks: readonly CheckName[];
  /** `sender_auth.resolver`. */
  readonly resolver: "system" | readonly string[];
  /** Our name in the field. */
  readonly authservId: string;
  readonly log: Log;
  /** Counts results. */
  readonly observe?: (method: CheckName, result: string) => void;
}

export class LibrarySenderAuth implements SenderAuth {
  readonly isOff: boolean;
  readonly readsBody: boolean;
  readonly #options: SenderAuthOptions;
  readonly #threads: CheckThreads;

  /** @throws {MairustError} `config_invalid` */
  constructor(options: SenderAuthOptions) {
    const { checks, resolver } = options;
    this.#options = options;
    this.isOff = checks.length === 0;
    this.readsBody = checks.includes("dkim") || checks.includes("arc");
    this.#threads = new CheckThreads({
      dns: new CachedDns(askServers(resolver)),
      onLost: (why, messages) => options.log.warn("sender_auth.thread_lost", { why, messages }),
    });
  }

  async check(subject: AuthSubject, whole: Deadline): Promise<AuthOutcome> {
    const { authservId, observe } = this.#options;
    const findings = await this.#find(subject, whole);
    const facts = factsOf(findings);
    for (const method of this.#options.checks) observe?.(method, facts[method].result);
    return { facts, header: headerValue(authservId, findings) };
  }

  isOurs(value: string): boolean {
    return isSameId(authservIdOf(value), this.#options.authservId);
  }

  /** Ends the threads. */
  stop(): Promise<void> {
    return this.#threads.stop();
  }

  async #find({ client, mailFrom, content }: AuthSubject, whole: Deadline): Promise<Findings> {
    const { checks, authservId, log } = this.#options;
    const ip = clientAddress(client.address);
    const subject: CheckedSubject = {
      checks,
      mailFrom,
      mta: authservId,
      ...(ip === undefined ? {} : { ip }),
      ...(client.helo === undefined ? {} : { helo: client.helo }),
    };
    const isRead = checks.some(name => name !== "spf");
    const deadline = deadlineAfter(Math.min(CHECK_MS, whole.remainingMs() * CHECK_SHARE), whole);
    try {
      const read = isRead ? () => content.read() : undefined;
      return await this.#threads.check(
        { subject, sizeBytes: isRead ? content.sizeBytes : 0, read },
        deadline,
      );
    } catch (error) {
      const failure = toMairustError(error, "check the sender");
      log.warn("sender_auth.failed", { code: failure.code, error: failure });
      return unknownFindings(checks, failure.code === "deadline" ? "not finished in time" : "not checked");
    } finally {
      deadline.dispose();
    }
  }
}

const OWN_ADDRESSES = new BlockList();
OWN_ADDRESSES.addSubnet("127.0.0.0", 8, "ipv4");
OWN_ADDRESSES.addAddress("::1", "ipv6");

/** What this host hands in again, or takes without SMTP, has no client that SPF could be asked about. */
function clientAddress(address: string | undefined): string | undefined {
  const kind = isIP(address ?? "");
  if (address === undefined || kind === 0) return undefined;
  return OWN_ADDRESSES.check(address, kind === 6 ? "ipv6" : "ipv4") ? undefined : address;
}
