/**
 * TLS to another mail server, for clients of ours: what goes in clear, whose certificate is trusted, and how a refused one is told.
 * A password goes in clear only within this host: elsewhere it is TLS from the start or STARTTLS, never neither.
 */
import { isIP } from "node:net";

export interface ServerTls {
  readonly host: string;
  /** TLS from the start. */
  readonly secure: boolean;
  readonly verifyCertificate: boolean;
}

export interface ClientTls {
  readonly secure: boolean;
  /** Left out: where the server offers it. */
  readonly doSTARTTLS?: true;
  readonly tls: { readonly rejectUnauthorized: boolean };
}

export function clientTls({ host, secure, verifyCertificate }: ServerTls): ClientTls {
  if (secure) return { secure, tls: { rejectUnauthorized: verifyCertificate } };
  // Nobody stands between, and a server's certificate seldom has the name "127.0.0.1" (Debian's Dovecot signs one of its own).
  if (isLoopback(host)) return { secure, tls: { rejectUnauthorized: false } };
  return { secure, doSTARTTLS: true, tls: { rejectUnauthorized: verifyCertificate } };
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/** Of OpenSSL's X509_V_ERR_ names, and Node's own for a wrong name (Node.js documentation, tls: X509 certificate error codes). */
const CERTIFICATE_CODE =
  /^(?!ERR_SSL_)(?:ERR_TLS_CERT_ALTNAME_INVALID|CERT_\w+|CRL_\w+|\w*_CERT\w*|\w*_ISSUER_\w+|\w*_LEAF_SIGNATURE|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$/u;

/** @returns for people, when the server's certificate is why there is no connection */
export function certificateProblem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !CERTIFICATE_CODE.test(String(error.code)))
    return undefined;
  // Node 24 adds advice of its own.
  const [reason] = error.message.split(";", 1);
  return `its certificate is not trusted (${reason}): have it signed by an authority that this host knows, name that in NODE_EXTRA_CA_CERTS, or take any with --insecure`;
}
