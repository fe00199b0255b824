/** What `setup` sets and what the scripts and files of `postfix/` and `dovecot/` set are the same. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../../src/platform/config/load.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { databaseFindings } from "../../../src/site/checks/host-checks.ts";
import { parseDoveconf } from "../../../src/site/dovecot-conf.ts";
import { planDovecot, SHIPPED } from "../../../src/site/dovecot-plan.ts";
import type { DovecotFacts } from "../../../src/site/dovecot-read.ts";
import { parsePostconf, setParameter } from "../../../src/site/main-cf.ts";
import { findService } from "../../../src/site/master-cf.ts";
import { parseMilters, secondsOf, socketPath } from "../../../src/site/milters.ts";
import { planPostfix } from "../../../src/site/postfix-plan.ts";
import type { PostfixFacts } from "../../../src/site/postfix-read.ts";
import { postfixNames } from "../../../src/site/postfix-wanted.ts";

const shipped = (folder: string, name: string) => readFileSync(join(packageRoot(), folder, name), "utf8");
const { config } = await loadConfig({ env: {}, overrides: [], defaultFile: "/nonexistent/mairust.toml" });

function facts(main: string, master = "smtp inet n - y - - smtpd\n"): PostfixFacts {
  const own = parsePostconf(main);
  return {
    version: "3.7.11",
    configDir: "/etc/postfix",
    queueDir: "/var/spool/postfix",
    mainFile: "/etc/postfix/main.cf",
    masterFile: "/etc/postfix/master.cf",
    tableFile: "/etc/postfix/mairust-transport",
    files: {
      main,
      master,
      table: undefined,
      undoRoute: undefined,
      undoMilter: undefined,
      undoIds: undefined,
    },
    own,
    effective: new Map([["compatibility_level", "3.6"], ...own]),
  };
}

const textOf = (plan: ReturnType<typeof planPostfix>, name: string) =>
  plan.files.find(file => file.path.endsWith(name))?.text ?? "";

for (const [stage, files] of [
  ["observe", ["milter-observe.cf"]],
  ["hooks", ["milter-store.cf", "stage-store.cf"]],
] as const)
  test(`stage ${stage} sets the lines of postfix/${files.join(" and postfix/")}`, () => {
    const plan = planPostfix(facts("biff = no\n"), config, { scope: "a.test", stage });
    const lines = files.flatMap(name => [...parsePostconf(shipped("postfix", name))]);
    const wanted = new Map([...lines, ["biff", "no"]]);
    assert.deepEqual(
      new Map([...parsePostconf(textOf(plan, "main.cf"))].sort()),
      new Map([...wanted].sort()),
    );
    const service = findService(shipped("postfix", "stage-store.master.cf"), "mairust", "unix");
    const ours = findService(textOf(plan, "master.cf"), "mairust", "unix");
    assert.deepEqual(ours?.settings, stage === "observe" ? undefined : service?.settings);
    assert.equal(plan.obstacles.length, 0);
  });

test("Postfix's names of our listeners are relative below the queue directory, else TCP, and no path into a chroot", () => {
  const of = (milter: readonly string[], master?: string) =>
    postfixNames(facts("", master), { ...config, milter: { ...config.milter, listen: milter } }).milter;
  assert.equal(of(["unix:/var/spool/postfix/mairust/milter.sock"]), "unix:mairust/milter.sock");
  assert.equal(of(["unix:/run/m.sock", "inet:127.0.0.1:8891"]), "inet:127.0.0.1:8891");
  assert.equal(of(["unix:/run/m.sock"]), undefined);
  assert.equal(of(["unix:/run/m.sock"], "smtp inet n - n - - smtpd\n"), "unix:/run/m.sock");
  assert.equal(of(["unix:/run/m.sock"], "smtp inet n - - - - smtpd\n"), "unix:/run/m.sock");
});

test("a longer chain of hooks makes Postfix wait longer", () => {
  const slow = {
    ...config,
    milter: { ...config.milter, chain_timeout_ms: 90_000 },
    lmtp: { ...config.lmtp, chain_timeout_ms: 120_000 },
  };
  const plan = planPostfix(facts(""), slow, { scope: "a.test", stage: "hooks" });
  assert.match(textOf(plan, "main.cf"), /content_timeout=120s/u);
  assert.match(textOf(plan, "master.cf"), /lmtp_data_done_timeout=150s/u);
});

test("commands of a plan can be typed: values with quotes and dollars stay what they are", () => {
  const main = setParameter("", "transport_maps", "inline:{ x='y' }");
  const plan = planPostfix(facts(main), config, { scope: "a.test", stage: "hooks" });
  const typed = plan.undo.flatMap(change => change.commands);
  assert.ok(typed.includes(`postconf -e 'transport_maps = inline:{ x='\\''y'\\'' }'`), typed.join("\n"));
  assert.ok(typed.includes("postconf -MX mairust/unix"));
});

test("parseMilters() takes lists with commas, spaces and braces; sockets are looked up as smtpd does", () => {
  assert.deepEqual(
    parseMilters("inet:a:1, { unix:m.sock, default_action=accept, content_timeout=5m } unix:/x").map(one => [
      one.socket,
      one.options.get("default_action"),
    ]),
    [
      ["inet:a:1", undefined],
      ["unix:m.sock", "accept"],
      ["unix:/x", undefined],
    ],
  );
  assert.equal(socketPath("unix:m", "/q", true), "/q/m");
  assert.equal(socketPath("unix:/m", "/q", true), "/q/m");
  assert.equal(socketPath("local:/m", "/q", false), "/m");
  assert.equal(socketPath("inet:h:1", "/q", true), undefined);
  assert.deepEqual([secondsOf("5m", 1), secondsOf("10", 1), secondsOf(undefined, 7)], [300, 10, 7]);
});

test("the fields of stage store announce what dovecot/stage-store.conf does, and its settings are those of accounts.conf", () => {
  const whole = shipped("dovecot", "stage-store.conf");
  const fields = JSON.parse(shipped("dovecot", "account-store.json")) as Record<string, string>;
  assert.equal(fields.imap_capability, /^ {2}imap_capability = (.*)$/mu.exec(whole)?.[1]);
  const [stage, accounts] = [whole, shipped("dovecot", "accounts.conf")].map(text => parseDoveconf(text));
  for (const [name, value] of stage?.settings ?? []) assert.equal(accounts?.settings.get(name), value, name);
  const namespaces = new Map(accounts?.blocks.map(block => [block.title, block]));
  for (const key of Object.keys(fields).filter(name => name.startsWith("namespace/mairust")))
    assert.equal(namespaces.get(key.split("/")[1] ?? "")?.settings.get("disabled"), "yes", key);
});

function dovecotFacts(conf: string): DovecotFacts {
  const places = {
    configFile: "/etc/dovecot/dovecot.conf",
    namedFile: "dovecot.conf",
    ourDir: "/etc/dovecot/mairust",
  };
  const facts = {
    version: "2.3.19.1",
    main: conf,
    imapPlugins: [],
    imapCapability: "",
    imapcPassword: undefined,
  };
  return { ...facts, ...places, settings: parseDoveconf(conf), ours: new Map() };
}

/** What setup writes into Dovecot's folder. */
function dovecotFiles(writable: "none" | "flags"): ReadonlyMap<string, string> {
  const names = [...SHIPPED, "account-mirror.json", "account-store.json"];
  const input = {
    facts: dovecotFacts("namespace inbox {\n  inbox = yes\n  separator = /\n}\n"),
    config: { ...config, imap: { ...config.imap, writable } },
    shipped: new Map(names.map(name => [name, shipped("dovecot", name)])),
    secret: "secret",
  };
  const { files } = planDovecot(input, { scope: "a.test", stage: "store" });
  return new Map(files.map(({ path, text }) => [path.slice("/etc/dovecot/mairust/".length), text ?? ""]));
}

test("where the sidecar keeps flags users get the right to change them, and Dovecot keeps no record of its own", () => {
  const [none, flags] = [dovecotFiles("none"), dovecotFiles("flags")];
  assert.equal(none.get("mairust.acl"), shipped("dovecot", "mairust.acl"));
  assert.match(none.get("accounts.conf") ?? "", /INDEXPVT/u);
  assert.equal(flags.get("mairust.acl"), shipped("dovecot", "mairust-flags.acl"));
  assert.equal(flags.get("mairust-mirror.acl"), "MaiRust owner lrsw\nMaiRust/* owner lrsw\n");
  assert.doesNotMatch(flags.get("accounts.conf") ?? "", /INDEXPVT/u);
  const locations = (text: string | undefined) =>
    [...(text ?? "").matchAll(/location = (\S+)/gu)].map(([, at]) => at);
  assert.deepEqual(locations(flags.get("accounts.conf")), [
    "imapc:~/mairust-mirror",
    "imapc:~/mairust",
    "maildir:~/mairust-local",
  ]);
});

test("doctor names a PostgreSQL that does not keep what it commits, and a clock that is off", () => {
  const good = { fsync: "on", fullPageWrites: "on", synchronousCommit: "on", skewMs: 900 };
  const codes = (change: object) => databaseFindings({ ...good, ...change }).map(one => one.code);
  assert.deepEqual(codes({}), []);
  assert.deepEqual(codes({ fsync: "off" }), ["postgres_fsync"]);
  assert.deepEqual(codes({ fullPageWrites: "off" }), ["postgres_full_page_writes"]);
  assert.deepEqual(codes({ skewMs: -90_000 }), ["clock_skew"]);
});
