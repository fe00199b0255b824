/** `setup` on configurations of Postfix and Dovecot as operators have them: what it sets, that twice is once, and that it takes all back. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { siteEngines } from "../../../src/compose/site.ts";
import { runCommand } from "../../../src/mailhost/command.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import type { SitePlan, StageName } from "../../../src/wire/site-calls.ts";
import { atOnce, makeSiteHost, type SiteHost } from "../../lib/site-hosts.ts";

const scratch = await makeScratch();
after(() => scratch.remove());

const SUBMISSION = `smtp      inet  n       -       y       -       -       smtpd
submission inet n       -       y       -       -       smtpd
    -o syslog_name=postfix/submission
    -o smtpd_sasl_auth_enable=yes
    # signs what our users send
    -o { smtpd_milters = inet:127.0.0.1:8891, inet:127.0.0.1:8893 }
smtps     inet  n       -       y       -       -       smtpd -o smtpd_sasl_auth_enable=yes
10025     inet  n       -       n       -       -       smtpd -o smtpd_milters=
mairust   unix  -       -       y       -       -       pipe user=nobody argv=/bin/cat
lmtp      unix  -       -       y       -       -       lmtp`;

/** main.cf, and master.cf where it matters. */
const HOSTS: Readonly<Record<string, readonly [main: string, master?: string]>> = {
  "that sets nothing of it": ["biff = no\n"],
  "with routes, one of them set twice, and a milter": [
    "transport_maps = hash:/a\nmailbox_transport = lmtp:unix:x\ntransport_maps = hash:/b\nsmtpd_milters = inet:127.0.0.1:8891\nnon_smtpd_milters = $smtpd_milters\n",
  ],
  "with empty values, and services of its own": [
    "transport_maps =\nsmtpd_milters=\nenable_long_queue_ids = yes\nnon_smtpd_milters = \n",
    SUBMISSION,
  ],
  "with values over several lines and comments in them": [
    `# routes
transport_maps =
    hash:/etc/postfix/transport,
    # the old ones
    regexp:/etc/postfix/old

smtpd_milters = inet:127.0.0.1:8891,
	{ unix:/run/x.sock, connect_timeout=2s,
	  default_action=accept }
enable_long_queue_ids
   = no
virtual_transport = lmtp:unix:private/dovecot-lmtp`,
  ],
};

async function snapshot({ dir, places }: SiteHost): Promise<object> {
  const run = (...args: readonly string[]) =>
    runCommand("postconf", args, { env: { MAIL_CONFIG: places.postfixDir } });
  const read = (name: string) => readFile(join(dir, name), "utf8");
  return {
    shown: `${await run("-n")}${await run("-M")}${await run("-P")}`,
    main: await read("etc/main.cf"),
    master: await read("etc/master.cf"),
    dovecot: await read("dovecot/dovecot.conf"),
    doveconf: await runCommand("doveconf", ["-n", "-c", places.dovecotConfig]),
    names: [...(await readdir(join(dir, "etc"))), ...(await readdir(join(dir, "dovecot")))],
  };
}

function tools({ config, places, dir }: SiteHost) {
  const backup = join(dir, "backup");
  return {
    set: async (scope: string, stage: StageName): Promise<SitePlan> => {
      const plan = await siteEngines.plan(config, places, { scope, stage, showCopy: true });
      await siteEngines.apply(config, places, plan, backup, atOnce);
      return plan;
    },
    undo: async (scope: string) => {
      const plan = await siteEngines.planUndo(config, places, { scope, stage: "observe" });
      return siteEngines.apply(config, places, plan, backup, atOnce);
    },
    effective: async (name: string) =>
      (await runCommand("postconf", ["-hx", name], { env: { MAIL_CONFIG: places.postfixDir } })).trim(),
    targets: async () => (await siteEngines.inspect(config, places)).targets,
  };
}

for (const [name, [main, master]] of Object.entries(HOSTS))
  test(`a host ${name} is what it was, byte for byte, after domains went up, down and out`, async () => {
    const host = await makeSiteHost(join(scratch.dir, "h"), main, master);
    try {
      const before = await snapshot(host);
      const { set, undo, effective } = tools(host);
      await set("a.test", "observe");
      assert.match(
        await effective("smtpd_milters"),
        /unix:mairust\/milter\.sock, .*default_action=accept \}$/u,
      );
      await set("b.test", "hooks");
      assert.match(
        await effective("smtpd_milters"),
        /default_action=tempfail \}$/u,
        "one beyond observe decides",
      );
      assert.match(await effective("transport_maps"), /^texthash:\S+\/mairust-transport/u);
      assert.equal(await effective("enable_long_queue_ids"), "yes");
      assert.equal((await set("a.test", "store")).obstacles.length, 0);
      const again = await siteEngines.plan(host.config, host.places, { scope: "a.test", stage: "store" });
      assert.deepEqual([again.files, again.changes], [[], []], "twice changes nothing");
      await undo("b.test");
      await undo("a.test");
      assert.deepEqual(await snapshot(host), before);
    } finally {
      await rm(host.dir, { recursive: true, force: true });
    }
  });

test("domains and single addresses are in different stages on one host, and each is taken back alone", async () => {
  const host = await makeSiteHost(join(scratch.dir, "h"), "biff = no\n");
  try {
    const before = await snapshot(host);
    const { set, undo, targets } = tools(host);
    await set("a.test", "store");
    await set("b.test", "hooks");
    const mirror = await siteEngines.plan(host.config, host.places, { scope: "b.test", stage: "mirror" });
    assert.deepEqual(
      mirror.files,
      [],
      "hooks to mirror needs nothing outside, unless the copy is to be shown",
    );
    await set("c.test", "observe");
    await set("ann@a.test", "hooks");
    await set("bob@b.test", "mirror");
    await set("pilot@c.test", "store");
    assert.deepEqual(
      (await targets()).map(({ scope, postfix, dovecot }) => `${scope} ${postfix} ${dovecot}`),
      [
        "a.test route store",
        "ann@a.test route own",
        "b.test route own",
        "bob@b.test route mirror",
        "c.test milter own",
        "pilot@c.test route store",
      ],
    );
    const user = async (name: string) =>
      readFile(join(host.dir, "dovecot/mairust/users/imap", name), "utf8").catch(() => "none");
    assert.equal(await user("ann@a.test"), "{}\n", "out of its domain's stage");
    assert.equal(await user("b.test"), "none");
    for (const scope of ["pilot@c.test", "a.test", "ann@a.test", "c.test", "bob@b.test", "b.test"]) {
      await undo(scope);
      assert.ok(!(await targets()).some(one => one.scope === scope), scope);
    }
    assert.deepEqual(await snapshot(host), before);
  } finally {
    await rm(host.dir, { recursive: true, force: true });
  }
});

test("a submission service asks the sidecar first, before who signs, and a re-injection service stays as it is", async () => {
  const host = await makeSiteHost(
    join(scratch.dir, "h"),
    "smtpd_milters = inet:127.0.0.1:8891\n",
    SUBMISSION,
  );
  try {
    await tools(host).set("a.test", "hooks");
    const shown = await runCommand("postconf", ["-P"], { env: { MAIL_CONFIG: host.places.postfixDir } });
    assert.match(
      shown,
      /^submission\/inet\/smtpd_milters = \$mairust_milter,\s?inet:127\.0\.0\.1:8891, inet:127\.0\.0\.1:8893$/mu,
    );
    assert.match(shown, /^smtps\/inet\/smtpd_milters = \$mairust_milter,\$mairust_other_smtpd_milters$/mu);
    assert.match(shown, /^10025\/inet\/smtpd_milters =\s*$/mu);
    assert.match(
      shown,
      /^mairust\/unix\/lmtp_line_length_limit = 0$/mu,
      "a service of this name is set aside",
    );
  } finally {
    await rm(host.dir, { recursive: true, force: true });
  }
});

test("what an operator changes afterwards survives the way back", async () => {
  const host = await makeSiteHost(join(scratch.dir, "h"), "transport_maps = hash:/a\n");
  try {
    const { set, undo, effective } = tools(host);
    await set("a.test", "hooks");
    await runCommand("postconf", ["-e", "biff = no", "smtpd_milters = inet:127.0.0.1:8891"], {
      env: { MAIL_CONFIG: host.places.postfixDir },
    });
    await set("a.test", "hooks");
    assert.match(
      await effective("smtpd_milters"),
      /^inet:127\.0\.0\.1:8891 \{ unix:mairust/u,
      "and it is asked again",
    );
    await undo("a.test");
    assert.equal(await effective("biff"), "no");
    assert.equal(await effective("smtpd_milters"), "inet:127.0.0.1:8891");
    assert.equal(await effective("transport_maps"), "hash:/a");
  } finally {
    await rm(host.dir, { recursive: true, force: true });
  }
});

test("the scripts of postfix/ and setup take back what the other has set", async () => {
  const host = await makeSiteHost(join(scratch.dir, "h"), "transport_maps = hash:/a\n");
  try {
    const before = await snapshot(host);
    const script = (...args: readonly string[]) =>
      runCommand("sh", args, { env: { MAIL_CONFIG: host.places.postfixDir } });
    await writeFile(join(host.dir, "etc/mairust-transport"), "a.test mairust:unix:mairust/lmtp.sock\n");
    await script("postfix/stage-store.apply");
    await script("postfix/milter.apply", "store");
    const plan = await siteEngines.plan(host.config, host.places, { scope: "a.test", stage: "hooks" });
    assert.deepEqual(plan.files, [], "they set the same");
    await tools(host).undo("a.test");
    const { shown } = (await snapshot(host)) as { readonly shown: string };
    assert.equal(shown, (before as { readonly shown: string }).shown);
    await tools(host).set("a.test", "hooks");
    await script("postfix/milter.undo");
    await script("postfix/stage-store.undo");
    assert.equal(
      ((await snapshot(host)) as { readonly shown: string }).shown,
      (before as { readonly shown: string }).shown,
    );
  } finally {
    await rm(host.dir, { recursive: true, force: true });
  }
});

test("a server that refuses its new configuration, and a file that changed meanwhile, leave everything as it was", async () => {
  const host = await makeSiteHost(join(scratch.dir, "h"), "biff = no\n");
  try {
    const before = await snapshot(host);
    const { config, places, dir } = host;
    const plan = await siteEngines.plan(config, places, { scope: "a.test", stage: "store" });
    const broken = {
      ...plan,
      files: plan.files.map(file =>
        file.path.endsWith("accounts.conf") ? { ...file, text: "no_such_setting = 1\n" } : file,
      ),
    };
    await assert.rejects(
      siteEngines.apply(config, places, broken, join(dir, "backup"), atOnce),
      /no_such_setting[\s\S]*as they were/u,
    );
    assert.deepEqual(await snapshot(host), before);
    // `postfix check` refuses a folder that is no folder; what it has made is no part of the plan.
    const bad = {
      ...plan,
      files: plan.files.map(file =>
        file.path.endsWith("main.cf") ? { ...file, text: `${file.text}queue_directory = relative\n` } : file,
      ),
    };
    await assert.rejects(
      siteEngines.apply(config, places, bad, join(dir, "backup"), atOnce),
      /as they were/u,
    );
    assert.deepEqual(await snapshot(host), before);
    await writeFile(join(dir, "etc/main.cf"), `${await readFile(join(dir, "etc/main.cf"), "utf8")}# mine\n`);
    await assert.rejects(
      siteEngines.apply(config, places, plan, join(dir, "backup"), atOnce),
      /changed meanwhile/u,
    );
  } finally {
    await rm(host.dir, { recursive: true, force: true });
  }
});

test("what cannot be done is said before anything is touched", async () => {
  await mkdir(join(scratch.dir, "x"), { recursive: true });
  const host = await makeSiteHost(
    join(scratch.dir, "h"),
    "biff = no\n",
    undefined,
    "protocols = imap\nimapc_host = elsewhere\nnamespace {\n  inbox = yes\n}\n",
  );
  try {
    const before = await snapshot(host);
    const config = {
      ...host.config,
      milter: { ...host.config.milter, listen: ["unix:/run/mairust/milter.sock"] },
      imap: { ...host.config.imap, master_password_file: join(host.dir, "none") },
    };
    const plan = await siteEngines.plan(config, host.places, { scope: "a.test", stage: "store" });
    const codes = plan.obstacles.map(one => one.code);
    for (const code of [
      "milter_no_listener",
      "imap_secret_unreadable",
      "imapc_in_use",
      "inbox_namespace_unnamed",
    ])
      assert.ok(codes.includes(code), `${code} in ${codes.join(" ")}`);
    await assert.rejects(
      siteEngines.apply(config, host.places, plan, join(host.dir, "backup"), atOnce),
      /Cannot set up/u,
    );
    assert.deepEqual(await snapshot(host), before);
    for (const scope of ["", "no domain", "@a.test", "a/b@a.test", "x@y@", "../a.test"])
      await assert.rejects(siteEngines.plan(config, host.places, { scope, stage: "store" }), {
        code: "invalid_argument",
      });
  } finally {
    await rm(host.dir, { recursive: true, force: true });
  }
});
