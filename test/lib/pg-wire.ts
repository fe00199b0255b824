/**
 * What goes over one connection to PostgreSQL, as far as crash tests need it: which statements a client's bytes run, and when the
 * server has answered them. Follows prepared statements by their names. Pure but for its own state.
 * Source: PostgreSQL manual §54.7 (message formats).
 */

const STARTUP_CODE = 196_608;
const PARSE = 0x50;
const BIND = 0x42;
const QUERY = 0x51;
const SYNC = 0x53;
const READY = 0x5a;

/** True for the first bytes that a client sends: StartupMessage of protocol 3.0. */
export function isPostgresStartup(bytes: Buffer): boolean {
  return bytes.length >= 8 && bytes.readInt32BE(4) === STARTUP_CODE;
}

export class PostgresWire {
  readonly #prepared = new Map<string, string>();
  /** Statements of each answer that is still to come (one ReadyForQuery each), in their order. */
  readonly #unanswered: string[][] = [];
  #open: string[] = [];
  /** Octets of a server message that are still to come. */
  #skip = 0;
  #rest = Buffer.alloc(0);

  /** @param bytes  whole client messages. @returns the statements that they run */
  sent(bytes: Buffer): readonly string[] {
    const run: string[] = [];
    for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
      const type = bytes[at];
      const [first, next] = cstring(bytes, at + 5);
      if (type === PARSE) this.#prepared.set(first, cstring(bytes, next)[0]);
      else if (type === BIND) run.push(this.#note(this.#prepared.get(cstring(bytes, next)[0]) ?? ""));
      else if (type === QUERY) {
        run.push(this.#note(first));
        this.#endGroup();
      } else if (type === SYNC) this.#endGroup();
    }
    return run;
  }

  /** @param bytes  any piece of what the server sent. @returns the statements whose answer is complete with it */
  received(bytes: Buffer): readonly string[] {
    const answered: string[] = [];
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = Math.min(this.#skip, all.length);
    this.#skip -= at;
    while (this.#skip === 0 && at + 5 <= all.length) {
      if (all[at] === READY) answered.push(...(this.#unanswered.shift() ?? []));
      const end = at + 1 + all.readInt32BE(at + 1);
      this.#skip = Math.max(0, end - all.length);
      at = Math.min(end, all.length);
    }
    this.#rest = Buffer.from(all.subarray(at));
    return answered;
  }

  #note(statement: string): string {
    this.#open.push(statement);
    return statement;
  }

  #endGroup(): void {
    this.#unanswered.push(this.#open);
    this.#open = [];
  }
}

/** @returns the text up to NUL, and the offset behind it */
function cstring(bytes: Buffer, from: number): readonly [text: string, next: number] {
  const end = bytes.indexOf(0, from);
  return end < 0
    ? [bytes.toString("utf8", from), bytes.length]
    : [bytes.toString("utf8", from, end), end + 1];
}
