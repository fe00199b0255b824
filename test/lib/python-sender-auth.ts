/** dkimpy, pyspf and authheaders as a second opinion on senders (`python-sender-auth.py`): one process, a question at a time. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { packageRoot } from "../../src/platform/package-root.ts";
import { findPeer } from "./peers.ts";

export interface PythonSigning {
  readonly domain: string;
  readonly selector: string;
  /** PEM; of Ed25519 the 32 octets in base64. */
  readonly key: string;
  readonly header: "simple" | "relaxed";
  readonly body: "simple" | "relaxed";
  /** With `l=`. */
  readonly length?: boolean;
  /** Of `h=`, lower case; empty: what it signs by itself. */
  readonly names?: readonly string[];
  readonly ed25519?: boolean;
}

export class PythonSenderAuth {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** @returns undefined where it is not there. @throws {Error} in CI, where that is a failure */
  static async start(dnsPort: number): Promise<PythonSenderAuth | undefined> {
    const peer = await findPeer("senderauth");
    if (peer === undefined) return undefined;
    const modules = join(peer.dir, "usr/lib/python3/dist-packages");
    // The system's own: another Python may not take the modules.
    const child = spawn("/usr/bin/python3", [join(packageRoot(), "test/lib/python-sender-auth.py")], {
      env: { PYTHONPATH: modules, LD_LIBRARY_PATH: peer.libraries, PATH: "/usr/bin:/bin" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    child.stdin.write(`${JSON.stringify({ port: dnsPort })}\n`);
    return new PythonSenderAuth(child);
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.stdin.end();
    await ended;
  }

  verify(message: Buffer): Promise<{ readonly dkim: readonly string[]; readonly arc: string }> {
    return this.#ask({ op: "verify", message: message.toString("base64") });
  }

  async spf(ip: string, from: string, helo: string): Promise<string> {
    return (await this.#ask<{ readonly spf: string }>({ op: "spf", ip, from, helo })).spf;
  }

  async dmarc(
    message: Buffer,
    spf: { readonly result: string; readonly domain: string },
    dkim: { readonly result: string; readonly domain: string },
  ): Promise<string> {
    const asked = { op: "dmarc", message: message.toString("base64") };
    const about = { spf: spf.result, spf_domain: spf.domain, dkim: dkim.result, dkim_domain: dkim.domain };
    return (await this.#ask<{ readonly dmarc: string }>({ ...asked, ...about })).dmarc;
  }

  /** @returns the field, to be put on top. @throws {Error} it cannot sign this */
  async sign(message: Buffer, signing: PythonSigning): Promise<Buffer> {
    const given = { length: false, names: [], ed25519: false, ...signing };
    const { field } = await this.#ask<{ readonly field: string }>({
      ...{ op: "sign", message: message.toString("base64") },
      ...given,
    });
    return Buffer.from(field, "base64");
  }

  /** A set of ARC fields, to be put on top. */
  async seal(
    message: Buffer,
    domain: string,
    selector: string,
    key: string,
    results: string,
  ): Promise<Buffer> {
    const { fields } = await this.#ask<{ readonly fields: string }>({
      ...{ op: "seal", message: message.toString("base64") },
      ...{ domain, selector, key, results },
    });
    return Buffer.from(fields, "base64");
  }

  async #ask<T>(asked: Readonly<Record<string, unknown>>): Promise<T> {
    this.#child.stdin.write(`${JSON.stringify(asked)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("python3 ended");
    const answer = JSON.parse(value) as T & { readonly error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }
}
