/**
 * `doctor` on seeded faults: a host that is set up as it should be has none, and each fault that is put into Postfix's, Dovecot's or our
 * own configuration is named by its code, with a cause and a fix. The servers' tools are real; nobody runs the servers.
 */
import assert from "node:assert/strict";
import { appendFile, chmod, cp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { siteEngines } from "../../../src/compose/site.ts";
import { runCommand } from "../../../src/mailhost/command.ts";
import { freePort, makeScratch } from "../../../src/mailhost/scratch.ts";
import type { Config } from "../../../src/wire/config/schema.ts";
import type { SiteService } from "../../../src/wire/site-calls.ts";
import { atOnce, listenOn, MASTER_CF, makeSiteHost, SECRET, type SiteHost } from "../../lib/site-hosts.ts";

const CLEAN = `recipient_delimiter = +
message_size_limit = 10240000
smtpd_forbid_bare_newline = yes
virtual_alias_maps = texthash:$config_directory/virtual
smtpd_milters = inet:127.0.0.1:8891
non_smtpd_milters = inet:127.0.0.1:8891
`;
const SERVICE: SiteService = {
  checks: [{ name: "database", status: "ok" }],
  domains: [{ name: "a.test", stage: "store" }],
  aliases: ["sales@a.test"],
};

const scratch = await makeScratch();
const closers: (() => Promise<void>)[] = [];
let base: SiteHost;
after(async () => {
  for (const close of closers) await close();
  await scratch.remove();
});

before(async () => {
  const submission = `submission inet n - y - - smtpd\n    -o smtpd_sasl_auth_enable=yes\n    -o smtpd_milters=inet:127.0.0.1:8891\n`;
  base = await makeSiteHost(join(scratch.dir, "base"), CLEAN, MASTER_CF + submission);
  await writeFile(join(base.dir, "etc/virtual"), "old@a.test new@a.test\n");
  await utimes(join(base.dir, "etc/virtual"), new Date(0), new Date(0));
  for (const name of ["milter", "lmtp"])
    closers.push(await listenOn({ path: join(base.dir, "queue/mairust", `${name}.sock`) }));
  const plan = await siteEngines.plan(base.config, base.places, { scope: "a.test", stage: "store" });
  await siteEngines.apply(base.config, base.places, plan, join(base.dir, "backup"), atOnce);
});

interface Change {
  /** `postconf` arguments. */
  readonly postconf?: readonly string[];
  readonly files?: (dir: string) => Promise<unknown>;
  readonly config?: (config: Config, dir: string) => Config;
  readonly service?: SiteService | "away";
}

/** A copy of the host with this fault. */
async function findingsWith(change: Change) {
  const dir = join(scratch.dir, "seeded");
  try {
    for (const name of ["etc", "dovecot", "imap.secret", "master.key"])
      await cp(join(base.dir, name), join(dir, name), { recursive: true, preserveTimestamps: true });
    const places = { postfixDir: join(dir, "etc"), dovecotConfig: join(dir, "dovecot/dovecot.conf") };
    const config: Config = {
      ...base.config,
      key_file: join(dir, "master.key"),
      imap: { ...base.config.imap, master_password_file: join(dir, "imap.secret") },
    };
    const main = join(dir, "etc/main.cf");
    if (change.postconf !== undefined)
      await runCommand("postconf", change.postconf, { env: { MAIL_CONFIG: places.postfixDir } });
    // The copy lies elsewhere; what includes the folder must say so, or it is not ours.
    for (const name of ["dovecot.conf", "mairust/first.conf", "mairust/accounts.conf"]) {
      const file = join(dir, "dovecot", name);
      await writeFile(
        file,
        (await readFile(file, "utf8")).replaceAll(`${base.dir}/dovecot`, `${dir}/dovecot`),
      );
    }
    await change.files?.(dir);
    await utimes(main, new Date(0), new Date(0));
    const report = await siteEngines.inspect(
      change.config?.(config, dir) ?? config,
      places,
      change.service === "away" ? undefined : (change.service ?? SERVICE),
    );
    return report.findings;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Replace in a file, which must hold it. */
const edit = (name: string, from: string | RegExp, to: string) => async (dir: string) => {
  const file = join(dir, name);
  const text = await readFile(file, "utf8");
  const next = text.replace(from, to);
  assert.notEqual(next, text, `${name} has no ${from}`);
  await writeFile(file, next);
};
const flagsKept = (config: Config): Config => ({ ...config, imap: { ...config.imap, writable: "flags" } });
const ACCOUNTS = "dovecot/mairust/accounts.conf";
const relay = (lmtp: string) => (config: Config) => ({
  ...config,
  domains: { "a.test": { ...(config.domains["a.test"] ?? assert.fail()), relay: { lmtp } } },
});

const SEEDS: Readonly<Record<string, Change>> = {
  milter_missing: { postconf: ["-e", "smtpd_milters = inet:127.0.0.1:8891"] },
  milter_outside_chroot: {
    postconf: ["-e", "mairust_milter = unix:/run/mairust/milter.sock"],
    config: config => ({
      ...config,
      milter: { ...config.milter, listen: ["unix:/run/mairust/milter.sock"] },
    }),
  },
  milter_not_last: { postconf: ["-e", "smtpd_milters = $mairust_milter inet:127.0.0.1:8891"] },
  milter_not_for_sendmail: { postconf: ["-e", "non_smtpd_milters ="] },
  milter_action_reject: {
    postconf: ["-e", "mairust_milter = { unix:mairust/milter.sock, default_action=reject }"],
  },
  milter_action_accept: {
    postconf: ["-e", "mairust_milter = { unix:mairust/milter.sock, default_action=accept }"],
  },
  milter_timeout: {
    postconf: ["-e", "mairust_milter = { unix:mairust/milter.sock, content_timeout=10s }"],
  },
  milter_unreachable: {
    postconf: ["-e", "mairust_milter = { unix:mairust/none.sock }"],
    config: config => ({
      ...config,
      milter: { ...config.milter, listen: [`unix:${base.dir}/queue/mairust/none.sock`] },
    }),
  },
  milter_socket_mode: { files: () => chmod(join(base.dir, "queue/mairust/milter.sock"), 0o600) },
  submission_without_milter: {
    postconf: ["-P", "submission/inet/smtpd_milters=inet:127.0.0.1:8891"],
  },
  submission_after_signer: {
    postconf: ["-P", "submission/inet/smtpd_milters=inet:127.0.0.1:8891,$mairust_milter"],
  },
  route_no_service: { postconf: ["-MX", "mairust/unix"] },
  lmtp_timeout: { postconf: ["-P", "mairust/unix/lmtp_data_done_timeout=20s"] },
  lmtp_no_xforward: { postconf: ["-PX", "mairust/unix/lmtp_send_xforward_command"] },
  lmtp_line_length: { postconf: ["-PX", "mairust/unix/lmtp_line_length_limit"] },
  lmtp_one_recipient: { postconf: ["-e", "mairust_destination_recipient_limit = 1"] },
  lmtp_unreachable: { files: edit("etc/mairust-transport", "lmtp.sock", "other.sock") },
  queue_ids_short: { postconf: ["-e", "enable_long_queue_ids = no"] },
  route_missing: { files: edit("etc/mairust-transport", "a.test", "elsewhere.test") },
  route_unknown_domain: {
    files: dir => appendFile(join(dir, "etc/mairust-transport"), "b.test mairust:unix:mairust/lmtp.sock\n"),
  },
  route_table_unused: { postconf: ["-e", "transport_maps = hash:/etc/postfix/transport"] },
  route_not_first: {
    postconf: ["-e", "transport_maps = hash:/etc/postfix/transport $mairust_transport_maps"],
  },
  message_size: { postconf: ["-e", "message_size_limit = 104857600"] },
  recipient_delimiter: { postconf: ["-e", "recipient_delimiter = -"] },
  bare_newline: { postconf: ["-e", "smtpd_forbid_bare_newline = no"] },
  alias_twice: { service: { ...SERVICE, aliases: ["old@a.test"] } },
  imapc_password_line_break: {
    files: dir => writeFile(join(dir, "dovecot/mairust/master.secret"), `${SECRET}\n`),
  },
  imapc_password: { files: dir => writeFile(join(dir, "dovecot/mairust/master.secret"), "another") },
  imapc_port: { files: edit(ACCOUNTS, "imapc_port = 1143", "imapc_port = 1144") },
  imapc_master_user: { files: edit(ACCOUNTS, "imapc_master_user = dovecot", "imapc_master_user = root") },
  imapc_user: { files: edit(ACCOUNTS, "imapc_user = %u", "imapc_user = %n") },
  imapc_no_search: { files: edit(ACCOUNTS, "bodystructure search", "bodystructure") },
  imapc_slow: { files: edit(ACCOUNTS, "rfc822.size ", "") },
  imapc_no_delay_login: { files: edit(ACCOUNTS, " delay-login", "") },
  imapc_no_acl: { files: edit(ACCOUNTS, " acl imap_acl", "") },
  imapc_no_indexpvt: { files: edit(ACCOUNTS, ":INDEXPVT=~/mairust-private", "") },
  imapc_indexpvt: { config: flagsKept },
  imapc_acl_no_flags: { config: flagsKept },
  mirror_listed: { files: edit(ACCOUNTS, "list = no", "list = children") },
  userdb_not_first: { files: edit("dovecot/dovecot.conf", /^!include .*first\.conf\n/u, "") },
  dovecot_username_form: {
    files: dir => appendFile(join(dir, "dovecot/dovecot.conf"), "auth_username_format = %Ln\n"),
  },
  relay_missing: { service: { ...SERVICE, domains: [{ name: "a.test", stage: "hooks" }] } },
  relay_is_us: { config: config => relay(config.lmtp.listen[0] ?? "")(config) },
  relay_unreachable: { config: relay("unix:/nowhere/lmtp") },
  imap_secret_unreadable: { files: dir => rm(join(dir, "imap.secret")) },
  imap_secret_mode: { files: dir => chmod(join(dir, "imap.secret"), 0o644) },
  key_file_mode: { files: dir => chmod(join(dir, "master.key"), 0o604) },
  disk_full: { config: config => ({ ...config, limits: { ...config.limits, min_free_disk_mb: 1e9 } }) },
  database_away: {
    config: config => ({
      ...config,
      database: { ...config.database, url: "postgres://nobody@/none?host=/nowhere" },
    }),
  },
  not_ready: { service: { ...SERVICE, checks: [{ name: "blobs", status: "error", detail: "read-only" }] } },
  service_away: { service: "away" },
};

test("a host that setup has made has no fault", async () => {
  assert.deepEqual(await findingsWith({}), []);
});

for (const [code, change] of Object.entries(SEEDS))
  test(`doctor names the fault ${code}, its cause and what to do`, async () => {
    const found = await findingsWith(change);
    await chmod(join(base.dir, "queue/mairust/milter.sock"), 0o660);
    const one = found.find(finding => finding.code === code);
    assert.ok(one, `found: ${found.map(finding => finding.code).join(" ")}`);
    for (const text of [one.what, one.cause, one.fix]) assert.match(text, /\S \S/u);
  });

test("somebody else on one of our ports is named while the service does not run", async () => {
  const port = await freePort();
  const close = await listenOn({ port, host: "127.0.0.1" });
  try {
    const found = await findingsWith({
      service: "away",
      config: config => ({ ...config, imap: { ...config.imap, listen: [`inet:127.0.0.1:${port}`] } }),
    });
    assert.ok(found.some(one => one.code === "port_taken" && one.what.includes(String(port))));
  } finally {
    await close();
  }
});
