/**
 * One run of database outages (quality R2): a PostgreSQL server beside the sidecar, reached through a proxy, goes away in each of its
 * ways while mail comes in, and comes back. The sidecar is never started again.
 */
import { join } from "node:path";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { EmbeddedPostgres } from "../../src/store/embedded.ts";
import { CrashLedger } from "./crash-ledger.ts";
import { CrashLoad, type LoadCounts } from "./crash-load.ts";
import { silentLog } from "./database.ts";
import { DeliveryProbe } from "./delivery-probe.ts";
import { type MailSite, startMailSite } from "./mail-site.ts";
import { DISK_OUTAGES, type DiskOutage, OutageDisks } from "./outage-disks.ts";
import { killPostgres } from "./postgres-kill.ts";
import { CUTS, type Cut, type PostgresProxy, startPostgresProxy } from "./postgres-proxy.ts";
import { Promises, type PromisesReport } from "./promises.ts";
import { openEmbedded } from "./promises-store.ts";
import { SeededRandom } from "./random.ts";

const DOMAIN = "example.test";
const ACCOUNTS = ["one", "two", "three", "four"].map(name => `${name}@${DOMAIN}`);
/** New messages while the database is away, and before. */
const BUDGET = 30;
/** Replies that must have said 4xx before a database comes back. */
const SEEN_4XX = 5;
const STEP_MS = 120_000;
const POLL_MS = 20;

/** `stopped` and `read_only` last until mail was refused for now; `network`: nobody gets through the proxy. */
export const OUTAGES = [
  "stopped",
  "killed",
  "read_only",
  "network",
  ...CUTS.map(cut => `cut_${cut}` as const),
  ...DISK_OUTAGES,
] as const;
export type Outage = (typeof OUTAGES)[number];

export function isDiskOutage(outage: Outage): outage is DiskOutage {
  return DISK_OUTAGES.some(one => one === outage);
}

export interface OutageResult {
  readonly outage: Outage;
  /** Replies 4xx to the load meanwhile. */
  readonly refused: number;
  /** What single deliveries were answered while a disk was full. */
  readonly replies: readonly string[];
  readonly recoveryMs: number;
}

export interface OutageReport {
  readonly outages: readonly OutageResult[];
  readonly load: LoadCounts;
  /** Replies that no client may get, and mail that Postfix returned to its sender. */
  readonly violations: readonly string[];
  /** The same process as at the beginning. */
  readonly isSameProcess: boolean;
  readonly promises: PromisesReport;
}

export interface OutageOptions {
  readonly outages: readonly Outage[];
  readonly seed: number;
  readonly onOutage?: (result: OutageResult) => void;
}

export async function outageRun(options: OutageOptions): Promise<OutageReport> {
  const server = new OwnPostgres();
  const proxy = await startPostgresProxy(() => server.socket());
  const own: { disks: OutageDisks | undefined } = { disks: undefined };
  const site = await startMailSite({
    users: ACCOUNTS,
    domain: DOMAIN,
    postfixSettings: {
      minimal_backoff_time: "1s",
      maximal_backoff_time: "2s",
      queue_run_delay: "1s",
      transport_retry_time: "1s",
    },
    async beforeSidecar(dir) {
      if (options.outages.some(isDiskOutage)) own.disks = new OutageDisks(dir);
      await server.start(join(dir, "data"));
      const url = `postgres://mairust@127.0.0.1:${proxy.port}/mairust?sslmode=disable`;
      return {
        toml: `[database]\nurl = "${url}"\n`,
        minFreeDiskMb: 0,
        ...(own.disks === undefined ? {} : { logFile: own.disks.logFile }),
      };
    },
    async afterSidecar() {
      await server.stop();
      own.disks?.unmount();
    },
  });
  try {
    return await new OutageRun(site, { server, proxy, disks: own.disks }, options).run();
  } finally {
    await site.stop();
    await proxy.close();
  }
}

/** A server of its own, in the folder where the checks look for one. */
class OwnPostgres {
  #dataDir = "";
  #postgres: EmbeddedPostgres | undefined;
  #socket = "";

  get dataDir(): string {
    return this.#dataDir;
  }

  socket(): string {
    return this.#socket;
  }

  async start(dataDir = this.#dataDir): Promise<void> {
    this.#dataDir = dataDir;
    this.#postgres = new EmbeddedPostgres({ dataDir, runtimeDir: dataDir, log: silentLog });
    const deadline = deadlineAfter(STEP_MS);
    const { hosts, ports } = await this.#postgres.start(deadline);
    deadline.dispose();
    this.#socket = join(hosts[0] ?? "", `.s.PGSQL.${ports[0]}`);
  }

  async stop(): Promise<void> {
    const deadline = deadlineAfter(STEP_MS);
    await this.#postgres?.stop(deadline);
    deadline.dispose();
  }

  async setReadOnly(on: boolean): Promise<void> {
    const db = await openEmbedded(this.#dataDir);
    const deadline = deadlineAfter(STEP_MS);
    try {
      if (on) await db.query`alter system set default_transaction_read_only = on`;
      else await db.query`alter system reset default_transaction_read_only`;
      await db.query`select pg_reload_conf()`;
    } finally {
      await db.close(deadline);
      deadline.dispose();
    }
  }
}

interface Surroundings {
  readonly server: OwnPostgres;
  readonly proxy: PostgresProxy;
  readonly disks: OutageDisks | undefined;
}

class OutageRun {
  readonly #site: MailSite;
  readonly #server: OwnPostgres;
  readonly #proxy: PostgresProxy;
  readonly #disks: OutageDisks | undefined;
  readonly #probe: DeliveryProbe;
  readonly #options: OutageOptions;
  readonly #load: CrashLoad;
  readonly #promises: Promises;
  readonly #pid: number;

  constructor(site: MailSite, { server, proxy, disks }: Surroundings, options: OutageOptions) {
    const { sidecar, postfix } = site;
    const ledger = new CrashLedger(join(sidecar.dir, "ledger.jsonl"));
    this.#site = site;
    this.#server = server;
    this.#proxy = proxy;
    this.#disks = disks;
    this.#probe = new DeliveryProbe(ledger, sidecar.lmtpPort, ACCOUNTS[0] ?? "");
    this.#options = options;
    this.#pid = sidecar.pid;
    this.#load = new CrashLoad({
      ledger,
      random: new SeededRandom(options.seed),
      smtpPort: postfix.smtpPort,
      lmtpPort: sidecar.lmtpPort,
      addresses: new Map(ACCOUNTS.map(one => [one, one])),
      postfixOnly: new Set(),
    });
    this.#promises = new Promises({
      ledger,
      accounts: ACCOUNTS,
      dataDir: server.dataDir,
      async scrub() {
        const { code, stdout, stderr } = await sidecar.mairust(["scrub"]);
        return code === 0 ? [] : [`scrub ended with ${code}: ${stdout}${stderr}`];
      },
      withImap: (account, work) => site.withImap(account, "direct", work),
    });
  }

  async run(): Promise<OutageReport> {
    const outages: OutageResult[] = [];
    this.#load.start();
    await this.#load.warmUp();
    try {
      for (const outage of this.#options.outages) {
        const result = await this.#one(outage);
        this.#options.onOutage?.(result);
        outages.push(result);
      }
      await this.#load.settle();
      await this.#drain();
    } finally {
      await this.#load.stop();
    }
    const bounced = (await this.#site.postfix.log()).filter(line => line.includes("status=bounced"));
    return {
      outages,
      load: this.#load.counts,
      violations: [...this.#load.violations, ...bounced],
      isSameProcess: this.#site.sidecar.running() && this.#site.sidecar.pid === this.#pid,
      promises: await this.#promises.check(true),
    };
  }

  async #one(outage: Outage): Promise<OutageResult> {
    const before = this.#refused();
    this.#load.feed("mixed", BUDGET);
    const replies = isDiskOutage(outage) ? ((await this.#disks?.happen(outage, this.#probe)) ?? []) : [];
    if (!isDiskOutage(outage)) await this.#happen(outage);
    const refused = this.#refused() - before;
    return { outage, refused, replies, recoveryMs: await this.#recovered() };
  }

  async #happen(outage: Exclude<Outage, DiskOutage>): Promise<void> {
    switch (outage) {
      case "stopped":
        await this.#server.stop();
        await this.#untilRefused();
        return this.#server.start();
      case "killed":
        killPostgres(this.#server.dataDir, "cluster");
        return;
      case "read_only":
        await this.#server.setReadOnly(true);
        await this.#untilRefused();
        return this.#server.setReadOnly(false);
      case "network":
        this.#proxy.pass(false);
        await this.#untilRefused();
        return this.#proxy.pass(true);
      default:
        return this.#cut(outage.slice("cut_".length) as Cut);
    }
  }

  async #cut(how: Cut): Promise<void> {
    const done = { yes: false };
    void this.#proxy.cut(how).then(() => {
      done.yes = true;
    });
    await this.#until(`a connection was cut: ${how}`, () => {
      this.#load.feed("mixed", BUDGET);
      return done.yes;
    });
  }

  /** Mail is told to come again, and none is taken. */
  async #untilRefused(): Promise<void> {
    const before = this.#refused();
    await this.#until("mail was refused for now", () => {
      this.#load.feed("mixed", BUDGET);
      return this.#refused() - before >= SEEN_4XX;
    });
  }

  #refused(): number {
    return this.#load.counts.lmtp4xx;
  }

  /** @returns ms until it is ready and takes mail again, by itself */
  async #recovered(): Promise<number> {
    const started = performance.now();
    const taken = () => this.#load.counts.lmtp250 + this.#load.counts.lmtp250Again;
    const before = taken();
    await this.#until("mail is taken again", async () => {
      this.#load.feed("mixed", BUDGET);
      return taken() > before && (await this.#site.sidecar.ready());
    });
    return Math.round(performance.now() - started);
  }

  async #drain(): Promise<void> {
    const { postfix } = this.#site;
    let empty = 0;
    await this.#until("the queue is empty", async () => {
      const isEmpty = (await postfix.queue()).length === 0;
      empty = isEmpty ? empty + 1 : 0;
      if (!isEmpty) await postfix.flush();
      return empty >= 4;
    });
  }

  async #until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const end = deadlineAfter(STEP_MS);
    try {
      while (!(await isSo())) {
        if (end.remainingMs() === 0) throw new Error(`not within ${STEP_MS} ms: ${what}`);
        await sleep(POLL_MS);
      }
    } finally {
      end.dispose();
    }
  }
}
