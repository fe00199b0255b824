/**
 * One IMAP session: takes framed commands in order, lets through what the state allows, answers each with one tagged line.
 * Nothing a client sends ends anything but its own session. Source: RFC 3501 §3, §5; RFC 2177 (IDLE); RFC 5530 (codes).
 */
import type { Socket } from "node:net";
import { type MairustError, toMairustError } from "../../core/errors.ts";
import type { Account } from "../../core/ports/directory.ts";
import { inSlices } from "../../platform/slices.ts";
import { capabilities } from "./capability.ts";
import { type ImapCommand, parseCommandInSteps, type TaggedCommand, tagOf } from "./command.ts";
import type { Connection } from "./connection.ts";
import type { ImapParts, SessionContext } from "./context.ts";
import { dispatch, LOG_IN_FIRST } from "./dispatch.ts";
import type { FrameEvent, FrameLimits } from "./framer.ts";
import { idle } from "./idle.ts";
import { type Credentials, LoginFailures, login, loginRefusal, receivePlain } from "./login.ts";
import { announce, holdsNewsBack, MailboxLost, tellHowFar } from "./news.ts";
import { ConnectionGone } from "./output.ts";
import type { ListenerProfile } from "./profile.ts";
import { refuseWrite } from "./read-only.ts";
import { bad, type Completion, completionOf, isExpected, no, ok, statusLine } from "./reply.ts";
import { OutcomeUnknown } from "./store.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface SessionOptions {
  readonly parts: ImapParts;
  readonly connection: Connection;
  readonly peer: string;
  readonly secure: boolean;
  readonly profile: ListenerProfile;
  /** STARTTLS may begin TLS. */
  readonly offersTls: boolean;
  /** `performance.now()` when the peer connected: the time for its login runs since then. */
  readonly since: number;
  /** After STARTTLS there is none (RFC 3501 §6.2.1). */
  readonly greets: boolean;
  /** Count a connection to an account; false when it has too many. */
  readonly admit: (account: Account) => boolean;
}

/**
 * States (RFC 3501 §3): *not authenticated* (`account` undefined) → *authenticated* → *selected* (`selected` set) and back
 * by CLOSE, UNSELECT or a failed SELECT; *logout* from each of them.
 *
 * | event                    | not authenticated        | authenticated            | selected                       |
 * |--------------------------|--------------------------|--------------------------|--------------------------------|
 * | CAPABILITY NOOP LOGOUT ID| answered                 | answered                 | answered; NOOP announces news  |
 * | LOGIN AUTHENTICATE       | → authenticated          | BAD                      | BAD                            |
 * | STARTTLS                 | a new session over TLS   | BAD                      | BAD                            |
 * | mailbox by name          | BAD                      | answered                 | answered                       |
 * | SELECT EXAMINE           | BAD                      | → selected               | → selected (another)           |
 * | FETCH SEARCH CLOSE …     | BAD                      | BAD                      | answered                       |
 * | IDLE                     | BAD                      | waits                    | waits, announces news at once  |
 * | STORE                    | BAD                      | BAD                      | answered; read-only: NO        |
 * | other changes            | BAD                      | NO [NOPERM]              | NO [NOPERM]                    |
 * | drain                    | BYE between commands     | BYE between commands     | BYE; in IDLE last of all       |
 * | no input, time is over   | BYE                      | BYE                      | BYE                            |
 *
 * News (EXPUNGE, EXISTS, flags) are announced before the tagged answer of every command but STORE and those that answer by sequence
 * number (FETCH, SEARCH, SORT, THREAD), and during IDLE (RFC 3501 §7.4.1).
 */
export class Session {
  readonly #context: SessionContext;
  readonly #connection: Connection;
  readonly #since: number;
  readonly #greets: boolean;
  readonly #loginFailures = new LoginFailures();
  #syntaxErrors = 0;
  /** Set when the session is to end; `bye` is what to say, undefined when it was said. */
  #ending: { readonly bye: string | undefined } | undefined;
  #draining: "no" | "commands" | "idle" = "no";
  #idling = false;
  #beginsTls = false;

  constructor(options: SessionOptions) {
    this.#connection = options.connection;
    this.#since = options.since;
    this.#greets = options.greets;
    const context: SessionContext = {
      ...options.parts,
      output: options.connection.output,
      gone: options.connection.gone,
      peer: options.peer,
      secure: options.secure,
      offersTls: options.offersTls,
      profile: options.profile,
      enabled: { condstore: false, qresync: false, rev2: false },
      account: undefined,
      selected: undefined,
      unselect() {
        context.selected?.mailbox.close();
        context.selected = undefined;
      },
      admit: options.admit,
    };
    this.#context = context;
  }

  /** True while the client waits in IDLE. */
  get idling(): boolean {
    return this.#idling;
  }

  /**
   * Serve until the session is over. Never rejects.
   * @returns the socket that goes on under TLS, where another session begins with nothing of this one; undefined: it is closed
   */
  async run(): Promise<Socket | undefined> {
    const { output, log, peer } = this.#context;
    try {
      if (this.#greets) this.#greet();
      while (await this.#step());
      if (this.#ending?.bye !== undefined) output.text(`* BYE ${this.#ending.bye}\r\n`);
    } catch (error) {
      if (!(error instanceof ConnectionGone)) {
        log.error("imap session failed", { peer, error: toMairustError(error, "serve an IMAP session") });
      }
      this.#connection.destroy();
    } finally {
      this.#context.unselect();
    }
    if (this.#beginsTls && !this.#context.gone.aborted) return this.#connection.release();
    this.#connection.end();
    return undefined;
  }

  #greet(): void {
    const { config, output } = this.#context;
    const code = `CAPABILITY ${capabilities(this.#context)}`;
    output.text(statusLine("*", ok(`${config.hostname} ready`, code)));
  }

  /** @param phase  "commands": leave as soon as no command waits; "idle": leave IDLE too */
  drain(phase: "commands" | "idle"): void {
    this.#draining = phase;
    this.#connection.latch.raise();
  }

  /** Look at the clock; called about once a second. @param now  `performance.now()` */
  tick(now: number): void {
    if (this.#connection.overdue(now)) this.#connection.destroy();
    if (!this.#connection.waiting) return;
    const { loginTimeoutMs, idleTimeoutMs } = this.#context.limits;
    const late = this.#context.account === undefined && now - this.#since > loginTimeoutMs;
    if (!late && this.#connection.quietMs(now) <= idleTimeoutMs) return;
    this.#end(late ? "Too slow to log in" : "Nothing heard for too long");
    this.#connection.latch.raise();
  }

  #end(bye: string | undefined): void {
    this.#ending ??= { bye };
  }

  /** One event, or one wait. @returns false when the session is over */
  async #step(): Promise<boolean> {
    if (this.#ending !== undefined || this.#context.gone.aborted) return false;
    const event = this.#connection.framer.next(this.#frameLimits());
    if (event !== undefined) {
      await this.#take(event);
      await this.#context.output.pressure();
      return true;
    }
    if (this.#connection.inputEnded) return false;
    if (this.#draining !== "no") {
      this.#end("Server is shutting down");
      return false;
    }
    await this.#connection.wait();
    return true;
  }

  #frameLimits(): FrameLimits {
    const { limits, account } = this.#context;
    if (account !== undefined) return limits;
    return { lineBytes: limits.loginLineBytes, literalBytes: limits.loginLiteralBytes };
  }

  async #take(event: FrameEvent): Promise<void> {
    switch (event.kind) {
      case "continue":
        this.#context.output.text("+ OK\r\n");
        return;
      case "overflow":
        this.#end("[TOOBIG] Command is too long");
        return;
      case "refused": {
        const name = event.reason === "append" ? "append" : "unknown";
        return this.#complete(tagOf(event.bytes), name, this.#refusal(event.reason), performance.now());
      }
      case "command":
        return this.#command(event.bytes);
    }
  }

  #refusal(reason: "append" | "too_big"): Completion {
    if (reason === "too_big") return no("Literal is too large", "TOOBIG");
    return this.#context.account === undefined ? LOG_IN_FIRST : refuseWrite(this.#context, "APPEND");
  }

  async #command(bytes: Buffer): Promise<void> {
    const startedAt = performance.now();
    const { limits, enabled } = this.#context;
    let parsed: TaggedCommand;
    try {
      parsed = await inSlices(parseCommandInSteps(bytes, limits, enabled.rev2 ? "utf8" : "utf7"));
    } catch (error) {
      if (!(error instanceof ImapSyntaxError)) throw error;
      return this.#unparsable(bytes, error, startedAt);
    }
    this.#syntaxErrors = 0;
    const { tag, command } = parsed;
    const name = command.kind === "write" ? command.name : command.kind;
    try {
      const completion = await this.#execute(command);
      if (completion === undefined) return;
      if (holdsNewsBack(command)) tellHowFar(this.#context);
      else await announce(this.#context);
      this.#complete(tag, name, completion, startedAt);
    } catch (error) {
      if (error instanceof ConnectionGone) {
        this.#context.metrics.command(name.toLowerCase(), "gone", seconds(startedAt));
        throw error;
      }
      if (holdsNewsBack(command)) tellHowFar(this.#context);
      const completion = this.#failed(name, toMairustError(error, `run ${name}`));
      if (completion === undefined)
        this.#context.metrics.command(name.toLowerCase(), "gone", seconds(startedAt));
      else this.#complete(tag, name, completion, startedAt);
    }
  }

  #complete(tag: string, name: string, completion: Completion, startedAt: number): void {
    this.#context.output.text(statusLine(tag, completion));
    const result = completion.status === "OK" ? "ok" : completion.status === "NO" ? "no" : "bad";
    this.#context.metrics.command(name.toLowerCase(), result, seconds(startedAt));
    if (completion.bye !== undefined) this.#end(completion.bye);
  }

  /** RFC 3501 §7.1.3, and the end of whoever only sends garbage. */
  #unparsable(bytes: Buffer, error: ImapSyntaxError, startedAt: number): void {
    this.#syntaxErrors += 1;
    this.#complete(tagOf(bytes), "unknown", bad(error.publicText), startedAt);
    if (this.#syntaxErrors >= this.#context.limits.syntaxErrors) this.#end("Too many invalid commands");
  }

  /** @returns undefined when neither OK nor NO would be true: the client finds out when it comes back */
  #failed(name: string, error: MairustError): Completion | undefined {
    const { log, account, peer } = this.#context;
    if (error.code === "invalid_state" || error instanceof MailboxLost)
      this.#end("[UNAVAILABLE] The mailbox changed under the session");
    if (!isExpected(error))
      log.error("imap command failed", { command: name, account: account?.address, peer, error });
    if (error instanceof OutcomeUnknown) {
      this.#end(`[UNAVAILABLE] It is not known whether ${name} was carried out`);
      return undefined;
    }
    return completionOf(error);
  }

  async #execute(command: ImapCommand): Promise<Completion | undefined> {
    switch (command.kind) {
      case "LOGOUT":
        this.#context.output.text("* BYE Logging out\r\n");
        this.#end(undefined);
        return ok("LOGOUT completed");
      case "LOGIN":
        return loginRefusal(this.#context) ?? this.#login({ ...command, authorize: "" });
      case "AUTHENTICATE":
        return loginRefusal(this.#context) ?? this.#authenticate(command.mechanism, command.initial);
      case "STARTTLS":
        return this.#startTls();
      case "IDLE":
        return this.#context.account === undefined ? LOG_IN_FIRST : this.#idle();
      default:
        return dispatch(this.#context, command);
    }
  }

  /** RFC 3501 §6.2.1. What was pipelined behind the command is nobody's word, so it ends the connection (CVE-2011-0411). */
  #startTls(): Completion {
    if (this.#context.account !== undefined) return bad("Already logged in");
    if (!this.#context.offersTls) return bad("TLS cannot be started here");
    // Its end was read here already: under TLS nobody would hear of it again.
    if (this.#connection.inputEnded) return bad("The connection was closed before TLS");
    if (!this.#connection.stopReading()) {
      this.#end("Nothing may be sent between STARTTLS and TLS");
      return bad("Pipelined behind STARTTLS");
    }
    this.#beginsTls = true;
    this.#end(undefined);
    return ok("Begin TLS negotiation now");
  }

  async #authenticate(mechanism: string, initial: string | undefined): Promise<Completion> {
    if (mechanism !== "PLAIN") return no("Only PLAIN is supported", "CANNOT");
    const leaving = () => this.#ending !== undefined || this.#draining !== "no";
    const received = await receivePlain(this.#connection, initial, leaving);
    return "status" in received ? received : this.#login(received);
  }

  async #login(credentials: Credentials): Promise<Completion> {
    try {
      return await login(this.#context, credentials);
    } catch (error) {
      const guessed = await this.#loginFailures.slowDown(this.#context, credentials, error);
      if (guessed && this.#loginFailures.count >= this.#context.limits.loginFailures) {
        this.#end("Too many failed logins");
      }
      throw error;
    }
  }

  async #idle(): Promise<Completion | undefined> {
    this.#idling = true;
    try {
      const completion = await idle(
        this.#context,
        this.#connection,
        () => this.#ending !== undefined || this.#draining === "idle",
      );
      if (completion === undefined)
        this.#end(this.#connection.inputEnded ? undefined : "Server is shutting down");
      return completion;
    } finally {
      this.#idling = false;
    }
  }
}

function seconds(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
