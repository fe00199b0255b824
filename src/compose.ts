/**
 * The composition root: builds every component of the service, in the order in which they need each other, and nothing else. What
 * one folder needs of another is put in here; no folder reaches for it itself.
 *
 * Order: database → blobs → store → ledger → plugins → worker → listeners. Stopping goes the other way, listeners first.
 */
import { join } from "node:path";
import { createAlerts } from "./compose/alerts.ts";
import { cell } from "./compose/cell.ts";
import { configuredDomains, databaseComponent } from "./compose/database.ts";
import { dkim } from "./compose/dkim.ts";
import { egressProxies } from "./compose/egress.ts";
import { hookControl } from "./compose/hook-control.ts";
import { hookGuard } from "./compose/hook-guard.ts";
import { TEST_PAYLOAD_BYTES, testHook } from "./compose/hook-test.ts";
import { hooksComponent, pluginsInUse } from "./compose/hooks.ts";
import { imapComponent } from "./compose/imap-listener.ts";
import { jobsOf } from "./compose/jobs.ts";
import { keyAdmin } from "./compose/key-admin.ts";
import { killSwitch } from "./compose/kill-switch.ts";
import { lateBlobs, lateDb } from "./compose/late.ts";
import { ledgerComponent } from "./compose/ledger.ts";
import type { LifecycleStep } from "./compose/lifecycle-change.ts";
import { apiComponent, type ListenerComponent, lmtpComponent, milterComponent } from "./compose/listeners.ts";
import { mailPath } from "./compose/mail-path.ts";
import { mailSenderOf, outgoingMails } from "./compose/outbound.ts";
import { pluginAdmin } from "./compose/plugin-admin.ts";
import { pluginCare } from "./compose/plugin-care.ts";
import { pluginLifecycle } from "./compose/plugin-lifecycle.ts";
import { purgePlugin } from "./compose/plugin-purge.ts";
import { pluginReviews } from "./compose/plugin-review.ts";
import { pluginSettingsAdmin } from "./compose/plugin-settings.ts";
import { relayOf } from "./compose/relay.ts";
import { reloader } from "./compose/reload.ts";
import { createSettings } from "./compose/settings.ts";
import { blobsComponent, storeComponent, workerComponent } from "./compose/storage.ts";
import { storePorts } from "./compose/store-ports.ts";
import { systemControl } from "./compose/system-control.ts";
import { createTurns } from "./compose/turns.ts";
import { callId, messageId } from "./core/ids.ts";
import { indexVersion } from "./core/mail-text/limits.ts";
import type { BlobStore } from "./core/ports/blobs.ts";
import type { DeliveryStep } from "./delivery/intake-options.ts";
import { TRACE_LIFETIME_S } from "./delivery/trace-field.ts";
import { PayloadRoom } from "./hooks/payload-room.ts";
import type { LoadedConfig } from "./platform/config/load.ts";
import { deadlineAfter, type TimedDeadline } from "./platform/deadline.ts";
import { createLog, type RootLog } from "./platform/log.ts";
import { MasterKey } from "./platform/master-key.ts";
import { createMetrics } from "./platform/metrics.ts";
import { packageRoot, packageVersion } from "./platform/package-root.ts";
import { ComponentRegistry } from "./platform/registry.ts";
import { loadOrMakeSecret } from "./platform/secret-file.ts";
import { ServerTls } from "./platform/tls-server.ts";
import { uuid7Generator } from "./platform/uuid7.ts";
import { InstalledPlugins } from "./plugins/installed.ts";
import { readPublicKey } from "./plugins/package/keys.ts";
import { BodyReads } from "./services/body-reads.ts";
import type { ServicePorts } from "./services/ports.ts";
import { recordReload } from "./services/system.ts";
import { createAudit } from "./store/audit.ts";
import type { FsBlobStore } from "./store/blobs-fs.ts";
import { createBodyIndex } from "./store/body-index.ts";
import { MailboxChanges } from "./store/changes.ts";
import type { Db } from "./store/db.ts";
import { imapShare, type OwnerOf, shareOf } from "./store/db-share.ts";
import { createMessageStore } from "./store/deliver.ts";
import { StoreDirectory } from "./store/directory.ts";
import { DirectoryChanges } from "./store/directory-changes.ts";
import { createFlagWriter } from "./store/flag-writer.ts";
import { createGuardRecords } from "./store/hook-guard.ts";
import { createHookRows } from "./store/hook-rows.ts";
import { createImportStore } from "./store/import.ts";
import { createAuthenticator } from "./store/login.ts";
import { MailboxHub } from "./store/mailbox-hub.ts";
import { createMailboxReader } from "./store/mailboxes.ts";
import { createMessageKeyStore } from "./store/message-keys.ts";
import { createMessageOrder } from "./store/message-order.ts";
import { createUserPasswords } from "./store/passwords.ts";
import { StoredPluginKeys } from "./store/plugin-keys.ts";
import { StoredPluginRegistry } from "./store/plugin-registry.ts";
import { StoredPluginSecrets } from "./store/plugin-secrets.ts";
import { createPluginSettings } from "./store/plugin-settings.ts";
import { SECRETS_PURPOSE, SETTINGS_PURPOSE, settleMasterKey } from "./store/reseal.ts";
import { syncDomains } from "./store/sync-domains.ts";
import { createTallies } from "./store/tallies.ts";

export interface ComposeOptions {
  /** Reads the configuration again, from where the first one came. */
  readonly reread: () => Promise<LoadedConfig>;
  /** Told of each step of every delivery: for crash tests, which have an entry point of their own. */
  readonly onDeliveryStep?: (step: DeliveryStep) => void;
  /** Steps of each change of a plugin's life, for tests. */
  readonly onLifecycleStep?: (step: LifecycleStep) => Promise<void> | void;
}

export interface Service {
  readonly registry: ComponentRegistry;
  readonly log: RootLog;
  /** @throws what the first failing component threw, after the others were stopped again */
  start(): Promise<void>;
  /** Drain until the deadline, then stop everything. @throws {StopFailed} */
  stop(deadline: TimedDeadline): Promise<void>;
  /** Where it listens, with the ports that the system chose. */
  addresses(): readonly { readonly name: string; readonly address: string }[];
  /** Put another configuration into effect as far as that works while running. */
  reload(
    loaded: LoadedConfig,
  ): Promise<{ readonly applied: readonly string[]; readonly needRestart: readonly string[] }>;
}

/** One bound on a start and, when it fails, on stopping what had started: initdb and crash recovery take their time on a slow disk. */
const FAILED_START_MS = 150_000;

/**
 * Build the service; nothing runs yet.
 * @throws {MairustError} `config_invalid`: a secret file that cannot be used
 */
export async function compose(loaded: LoadedConfig, options: ComposeOptions): Promise<Service> {
  const { config } = loaded;
  const settings = createSettings(loaded);
  const version = packageVersion();
  const master = new MasterKey(config.key_file);
  const log = createLog({ ...config.log, hashKey: master.hmacKey("log") });
  const registry = new ComponentRegistry();
  const metrics = createMetrics({
    components: () => registry.list(),
    jobs: () => jobs.admin.counts(),
    held: () => heldMail.admin.countOpen(),
    outbox: () => outgoing.outbox.countQueued(),
    network: () => egress.traffic(),
  });
  const common = { settings, log, metrics, version };
  const alerts = createAlerts(log, metrics, alert => outgoing.alertMail.add(alert));
  const egress = egressProxies({ settings, log, listening: () => addresses() });

  // The store over a database and a blob folder that open later.
  const dbCell = cell<Db>("database");
  const blobCell = cell<FsBlobStore>("blobs");
  const db = lateDb(dbCell);
  const blobs = lateBlobs(blobCell);
  const audit = createAudit(db, log);
  const changes = new MailboxChanges(db, log);
  const imapDb = shareOf(db, imapShare(config.database.pool));
  const hub = new MailboxHub(imapDb, changes, log);
  const reader = createMailboxReader(() => db, hub);
  const directory = new StoreDirectory(db);
  const directoryChanges = new DirectoryChanges(db, log, directory);
  const onCommit = (seconds: number, messages: number, bytes: number) => {
    metrics.storeCommit.observe(seconds);
    metrics.storeMessages.inc(messages);
    metrics.blobBytes.inc(bytes);
  };
  const redeliveryWindowS = () => settings.config.lmtp.redelivery_window_s;
  const confirmBlob: BlobStore["confirm"] = digest => blobs.confirm(digest);
  const store = createMessageStore({ db, changes, log, redeliveryWindowS, confirmBlob, onCommit });
  const imports = createImportStore({ db, changes, confirmBlob, onCommit });

  const outgoing = outgoingMails({ ...common, db, blobs, changes, onQueued: () => jobs.wake() });
  const jobs = jobsOf({
    sendMail: outgoing.handler,
    ...common,
    db,
    blobs,
    changes,
    directory,
    recordEvents: store.recordEvents,
    hooks: () => hooks.runner,
  });

  // A message's way in.
  const newId = uuid7Generator();
  const arrival = { blobs, store, newMessageId: () => messageId(newId()), now: () => new Date() };
  const mimeLimits = () => ({
    depth: settings.config.limits.mime_depth,
    parts: settings.config.limits.mime_parts,
  });
  const ledger = ledgerComponent({ ...common, db });
  const hookRows = createHookRows(db);
  const secrets = new StoredPluginSecrets({
    db,
    keys: master.ring(SECRETS_PURPOSE),
    log,
    now: () => new Date(),
  });
  const pluginKeys = new StoredPluginKeys(db, log);
  const pluginSettings = createPluginSettings(db, master.ring(SETTINGS_PURPOSE));
  const resealing = { db, master, log, now: () => new Date(), traceLifetimeS: TRACE_LIFETIME_S };
  const registryOfPlugins = new StoredPluginRegistry(db, log);
  const trust = () => pluginKeys.trust();
  const installed = new InstalledPlugins({
    ...{ dir: () => settings.config.plugins.dir, registry: registryOfPlugins, trust },
  });
  const samples = join(packageRoot(), "plugins");
  const guard = hookGuard({
    ...{ ...common, db, alerts, audit, now: () => new Date() },
    records: createGuardRecords(db),
    tallies: createTallies(db),
    plugins: () => pluginsInUse(hooks),
  });
  const hooks = hooksComponent({
    ...common,
    egress,
    secrets,
    stored: pluginSettings,
    guard: guard.guard,
    canaryKey: master.hmacKey("canary"),
    rows: hookRows,
    ...{ records: registryOfPlugins, installed, samples },
    onCrash: (plugin, reason) => care.crashed(plugin, reason),
    ledger: ledger.ledger,
    lateAnswers: jobs.lateAnswers,
  });
  const ending = killSwitch({ allowed: () => settings.config.loss_proof.allow_kill, now: () => new Date() });
  const relay = relayOf({ ...common, db, blobs, changes, master });
  const dkimKeys = dkim(db, master, settings);
  const { decider, intake, heldMail, senderAuth, edits } = mailPath({
    signer: dkimKeys.signer,
    successNotices: outgoing.successNotices,
    outbox: outgoing.outbox,
    ...common,
    ...{ db, changes, directory, arrival, master, mimeLimits, relay },
    hooks: hooks.runner,
    onDeliveryStep: step => {
      options.onDeliveryStep?.(step);
      ending.reached(step);
    },
  });

  // What the API offers.
  const turns = createTurns();
  const tls = new ServerTls(log, "imap");
  const reload = reloader({
    settings,
    log,
    hooks,
    turns,
    tls,
    async syncDomains() {
      await syncDomains(db, configuredDomains(settings.config));
      directoryChanges.publish();
    },
  });
  const trial = {
    ...{ blobs, ledger: ledger.ledger, log, mimeLimits, now: () => new Date() },
    newMessageId: () => messageId(newId()),
    newCallId: () => callId(newId()),
    room: new PayloadRoom(TEST_PAYLOAD_BYTES),
    onTried: (...tried: Parameters<typeof guard.guard.tried>) => guard.guard.tried(...tried),
  };
  const commands = hookControl({
    ...{ ...common, hooks, rows: hookRows, turns, records: registryOfPlugins, installed },
    stored: pluginSettings,
    ...{ ...common, hooks, rows: hookRows, turns, guard: guard.guard },
    call: (row, inUse, message) => testHook(trial, row, inUse, message),
  });
  const onStep = options.onLifecycleStep;
  const changing = {
    ...{ hooks, rows: hookRows, registry: registryOfPlugins, installed, audit, turns, onStep },
    guard: guard.admin,
  };
  const care = pluginCare({
    ...{ ...common, ...changing, alerts, keys: pluginKeys, reread: commands.reread },
    traffic: () => egress.traffic(),
    listen: onChange => registryOfPlugins.listen(onChange),
  });
  const lifecycle = pluginLifecycle({
    ...{ ...changing, settings, version, keys: pluginKeys, samples },
    ...{ health: care.health, verify: care.verify },
    purge: id => purgePlugin(id, settings.config.plugins.dir, config.log_dir),
  });
  const ports: ServicePorts = {
    ...storePorts({
      ...{ ...common, db, blobs, changes, directory, directoryChanges, reader, imports, arrival, mimeLimits },
    }),
    nextHops: relay.hops,
    jobs: jobs.admin,
    holds: heldMail.admin,
    releases: heldMail.releases,
    outbox: outgoing.outbox,
    sender: mailSenderOf({
      ...{ ...common, db, directory, ...arrival, edits, mimeLimits },
      ...{ hooks: hooks.runner, holds: heldMail.holds, outbox: outgoing.outbox, signer: dkimKeys.signer },
    }),
    hooks: commands.control,
    guard: guard.admin,
    ledger: ledger.records,
    log,
    audit,
    auditRecords: audit,
    bodyReads: new BodyReads(audit),
    alerts,
    keys: keyAdmin(resealing),
    killSwitch: ending,
    dkim: dkimKeys.admin,
    pluginReviews: pluginReviews({ settings, hooks, installed }),
    pluginSettings: pluginSettingsAdmin({ settings, hooks, store: pluginSettings, turns }),
    plugins: pluginAdmin(hooks, secrets, () => settings.config.log_dir),
    lifecycle,
    undo: jobs.undo,
    pluginKeys,
    readPublicKey,
    system: systemControl({ settings, registry, metrics, reread: options.reread, apply: reload }),
  };

  registry.register(databaseComponent({ ...common, db: dbCell }));
  registry.register(blobsComponent(common, blobCell));
  const settleKeys = () => settleMasterKey(resealing);
  const listening = [secrets, pluginKeys, directoryChanges];
  registry.register(storeComponent(common, { changes, hub, listening, store, settleKeys }));
  registry.register(relay.component);
  registry.register(ledger.component);
  registry.register(guard.component);
  registry.register(hooks.component);
  registry.register(commands.component);
  registry.register(care.component);
  registry.register(outgoing.component);
  if (config.roles.includes("worker"))
    registry.register(workerComponent(common, db, blobs, heldMail, outgoing));
  if (config.roles.includes("worker")) registry.register(jobs.component);
  const listeners: ListenerComponent[] = [];
  if (config.roles.includes("imap")) {
    const ownerOf: OwnerOf = mailbox => hub.ownerOf(mailbox);
    const authenticator = createAuthenticator({
      users: createUserPasswords(imapDb, Date.now),
      directory,
      masterUser: config.imap.master_user,
      masterPassword: loadOrMakeSecret("imap.master_password_file", config.imap.master_password_file).secret,
      now: Date.now,
    });
    listeners.push(
      imapComponent(common, {
        reader: createMailboxReader(imapDb, hub),
        blobs,
        authenticator,
        ...(config.imap.writable === "flags" ? { writer: createFlagWriter(imapDb, ownerOf, changes) } : {}),
        tls,
        bodyIndex: createBodyIndex(imapDb, ownerOf, indexVersion(process.versions.unicode ?? "")),
        order: createMessageOrder(imapDb, ownerOf, keysDb =>
          createMessageKeyStore({ db: keysDb, blobs, log }),
        ),
      }),
    );
  }
  if (config.roles.includes("api")) listeners.push(apiComponent(common, ports));
  if (config.roles.includes("lmtp")) listeners.push(lmtpComponent(common, intake));
  if (config.roles.includes("milter")) listeners.push(milterComponent(common, decider, senderAuth));
  for (const listener of listeners) registry.register(listener.component);
  const addresses = () =>
    listeners.flatMap(({ component, addresses: open }) =>
      open().map(address => ({ name: component.info.name, address })),
    );

  return {
    registry,
    log,
    start: () => startAll(registry),
    stop: deadline => registry.stopAll(deadline),
    addresses,
    async reload(next) {
      const result = await reload(next, false);
      await recordReload(ports, "local:signal", result);
      return result;
    },
  };
}

async function startAll(registry: ComponentRegistry): Promise<void> {
  const deadline = deadlineAfter(FAILED_START_MS);
  try {
    await registry.initAll(deadline);
    await registry.startAll(deadline);
  } finally {
    deadline.dispose();
  }
}
