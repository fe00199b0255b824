/** A sidecar for the overload by IMAP, with listeners for clients and a certificate. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../src/mailhost/scratch.ts";
import { makeCertificate } from "./certificate.ts";
import { crowdedImap, type ImapOverloadPorts } from "./imap-overload.ts";
import { type Sidecar, startSidecar } from "./sidecar.ts";

/** @param folder  empty, of the caller, who removes it and stops the sidecar */
export async function startCrowdedSidecar(
  folder: string,
): Promise<{ readonly sidecar: Sidecar; readonly ports: ImapOverloadPorts }> {
  const certificates = join(folder, "tls");
  mkdirSync(certificates, { recursive: true });
  const { path, keyPath } = makeCertificate(certificates, "localhost");
  const ports = { plain: await freePort(), tls: await freePort() };
  const sidecar = await startSidecar({
    dir: join(folder, "s"),
    logLevel: "warn",
    imap: crowdedImap(ports),
    toml: `[tls]\ncert_file = "${path}"\nkey_file = "${keyPath}"`,
  });
  return { sidecar, ports };
}
