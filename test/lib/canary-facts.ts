/** What is known of a message of `canary-mail.ts` when hooks run: tokens stand in its envelope too. */
import type { MessageFacts } from "../../src/core/ports/hooks.ts";
import type { ProvenanceEntry } from "../../src/wire/hook-payload.ts";
import { factsOf } from "../unit/hooks/message.ts";
import type { CanaryMail } from "./canary-mail.ts";

export function canaryFacts({ source, around }: CanaryMail): MessageFacts {
  return factsOf(source, {
    mailFrom: `${around.mailFrom}@example.org`,
    recipients: [`${around.recipient}@example.com`],
    domainRecipients: [`${around.recipient}@example.com`, `${around.otherRecipient}@example.com`],
    client: {
      name: around.clientName,
      helo: around.helo,
      source: around.clientSource,
      ident: around.clientSource,
    },
    queueId: around.queueId,
    threadKey: around.threadKey,
    account: around.account,
    authUser: around.authUser,
    tags: [around.tag],
    tls: true,
    senderAuth: {
      spf: { result: "pass", detail: `smtp.mailfrom=${around.spf}` },
      dkim: { result: "fail", detail: `header.d=${around.dkim}` },
      dmarc: { result: "policy", detail: around.dmarc },
      arc: { result: "none", detail: around.arc },
    },
  });
}

/** What hooks of an earlier point did. */
export function canaryProvenance({ around }: CanaryMail): readonly ProvenanceEntry[] {
  return [{ plugin_id: "com.example.before", hook: around.provenance, changes: ["tags"] }];
}
