/** A certificate for a test's server, signed by itself. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificate {
  readonly key: Buffer;
  readonly cert: Buffer;
  /** Of the certificate: what a client is told to trust. */
  readonly path: string;
  readonly keyPath: string;
}

/** @param folder  of the test, which removes it */
export function makeCertificate(folder: string, name: string): Certificate {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const request = [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-keyout",
    key,
    "-out",
    cert,
  ];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  execFileSync("openssl", [...request, ...names], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(cert), path: cert, keyPath: key };
}
