/** Faults of the certificate for `imap.client_listen`: a service that runs keeps the one before, so nobody may notice until it ends. */
import { messageOf } from "../../core/errors.ts";
import { certificateEnd } from "../../platform/tls-server.ts";
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding } from "../../wire/site-calls.ts";
import { modeOf, octal } from "../host-read.ts";
import { finding } from "./finding.ts";

/** What renews certificates does so weeks before. */
const SOON_DAYS = 14;
const DAY_MS = 86_400_000;

/** @param now  `Date.now()` */
export async function checkCertificate({ tls }: Config, now: number): Promise<readonly SiteFinding[]> {
  if (tls.cert_file === "") return [];
  return [...(await checkKeyMode(tls.key_file)), ...(await checkEnd(tls, now))];
}

async function checkKeyMode(path: string): Promise<readonly SiteFinding[]> {
  const mode = await modeOf(path);
  if (mode === undefined || (mode & 0o007) === 0) return [];
  return [
    finding(
      "error",
      "tls_key_mode",
      `everybody may read ${path} (mode ${octal(mode)})`,
      "whoever reads it can be this server towards mail clients",
      `chmod 0640 ${path}, with a group that the service's user is in`,
    ),
  ];
}

async function checkEnd(tls: Config["tls"], now: number): Promise<readonly SiteFinding[]> {
  let end: Date;
  try {
    end = await certificateEnd(tls);
  } catch (error) {
    return [
      finding(
        "error",
        "tls_certificate_unusable",
        messageOf(error),
        "the service does not start with it; one that runs keeps the certificate before",
        "correct tls.cert_file and tls.key_file, and let the service's user read both",
      ),
    ];
  }
  const days = Math.floor((end.getTime() - now) / DAY_MS);
  if (days >= SOON_DAYS) return [];
  return [
    finding(
      days < 0 ? "error" : "warning",
      "tls_certificate_ends",
      `the certificate ${tls.cert_file} ${days < 0 ? "has ended" : "ends"} on ${end.toISOString().slice(0, 10)}`,
      "mail clients refuse it from then on",
      "renew it; the service reads the files again by itself",
    ),
  ];
}
