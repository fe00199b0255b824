import assert from "node:assert/strict";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../../../src/platform/config/load.ts";
import { ConfigError } from "../../../../src/platform/config/problem.ts";
import { folderWith, loadText, problemsOf } from "./temporary-files.ts";

test("loadConfig() gives every default when the default file is missing", async t => {
  const folder = folderWith(t, {});
  const { config, files, origins } = await loadConfig({ defaultFile: join(folder, "mairust.toml"), env: {} });
  assert.deepEqual(files, []);
  assert.equal(origins.size, 0);
  assert.equal(config.lmtp.connections, 500);
  assert.equal(config.blobs.path, "/var/lib/mairust/blobs");
  assert.equal(config.hostname, hostname());
  assert.equal(config.database.url, undefined);
});

test("loadConfig() refuses a named file that is missing", async t => {
  const folder = folderWith(t, {});
  const file = join(folder, "none.toml");
  assert.match(
    (await problemsOf(loadConfig({ configFile: file, env: {} })))[0] ?? "",
    /^none\.toml : cannot be read/,
  );
  assert.match((await problemsOf(loadConfig({ env: { MAIRUST_CONFIG: file } })))[0] ?? "", /cannot be read/);
});

test("all roles are the default", async t => {
  const { config } = await loadText(t, "");
  assert.deepEqual(config.roles, ["milter", "lmtp", "imap", "api", "worker"]);
});

test("later layers win: file, conf.d in order, environment, option", async t => {
  const folder = folderWith(t, {
    "mairust.toml":
      "[lmtp]\nconnections = 1\nchain_timeout_ms = 101\nredelivery_window_s = 11\n[imap]\nconnections = 1",
    "conf.d/20.toml": "[lmtp]\nconnections = 3",
    "conf.d/10.toml": "[lmtp]\nconnections = 2\nchain_timeout_ms = 102\nredelivery_window_s = 12",
    "conf.d/note.txt": "not read",
  });
  const loaded = await loadConfig({
    configFile: join(folder, "mairust.toml"),
    env: { MAIRUST_LMTP__CHAIN_TIMEOUT_MS: "103", MAIRUST_LMTP__REDELIVERY_WINDOW_S: "13", OTHER: "x" },
    overrides: ["lmtp.redelivery_window_s=14"],
  });
  const { lmtp, imap } = loaded.config;
  assert.deepEqual(
    [lmtp.connections, lmtp.chain_timeout_ms, lmtp.redelivery_window_s, imap.connections],
    [3, 103, 14, 1],
  );
  assert.deepEqual(
    loaded.files.map(file => file.slice(folder.length + 1)),
    ["mairust.toml", "conf.d/10.toml", "conf.d/20.toml"],
  );
  assert.deepEqual(loaded.origins.get("lmtp.connections"), {
    kind: "file",
    file: join(folder, "conf.d/20.toml"),
    line: 2,
    column: 1,
  });
  assert.deepEqual(loaded.origins.get("lmtp.redelivery_window_s"), {
    kind: "option",
    text: "lmtp.redelivery_window_s",
  });
});

test("hooks of several files are added, an option replaces them", async t => {
  const hook = (name: string) =>
    `[[hooks]]\nname = "${name}"\npoint = "pre_delivery"\nplugin = "com.example.x"\n`;
  const files = { "mairust.toml": hook("a"), "conf.d/b.toml": hook("b") };
  const folder = folderWith(t, files);
  const configFile = join(folder, "mairust.toml");
  const names = async (overrides: readonly string[]) =>
    (await loadConfig({ configFile, env: {}, overrides })).config.hooks.map(({ name }) => name);
  assert.deepEqual(await names([]), ["a", "b"]);
  assert.deepEqual(await names(['hooks=[{name="c",point="pre_delivery",plugin="com.example.x"}]']), ["c"]);
});

test("a hook has the defaults of the schema", async t => {
  const { config } = await loadText(
    t,
    '[[hooks]]\nname = "a"\npoint = "pre_delivery"\nplugin = "com.example.x"',
  );
  const [hook] = config.hooks;
  assert.deepEqual(
    [hook?.priority, hook?.mode, hook?.on_error, hook?.per_recipient, hook?.filter.sample_percent],
    [100, "shadow", "tempfail", true, 100],
  );
  assert.equal(hook?.filter.direction, undefined);
});

test("[defaults] fills what a domain leaves out, and creates none", async t => {
  const { config, origins } = await loadText(
    t,
    '[defaults]\naccounts = "auto"\nquota_mb = 5\n[domains."a.example"]\n[domains."b.example"]\nquota_mb = 7\ntenant = "t"',
  );
  assert.deepEqual(Object.keys(config.domains), ["a.example", "b.example"]);
  assert.deepEqual(config.domains["a.example"], {
    tenant: "main",
    stage: "store",
    accounts: "auto",
    quota_mb: 5,
    relay: {},
  });
  assert.equal(config.domains["b.example"]?.quota_mb, 7);
  assert.equal(origins.get('domains."a.example".quota_mb')?.kind, "file");
  assert.equal(origins.get('domains."a.example".stage'), undefined);
});

test("folders under data_dir and runtime_dir move with them unless they are set", async t => {
  const moved = (await loadText(t, 'data_dir = "/srv/m"\nruntime_dir = "/tmp/m"')).config;
  assert.deepEqual([moved.blobs.path, moved.plugins.dir], ["/srv/m/blobs", "/srv/m/plugins"]);
  assert.deepEqual(moved.api.listen, ["inet:127.0.0.1:8025", "unix:/tmp/m/api.sock"]);
  const set = (await loadText(t, 'data_dir = "/srv/m"\nblobs.path = "/b"')).config;
  assert.equal(set.blobs.path, "/b");
});

test("all problems are reported at once, with place, key, found and allowed", async t => {
  const toml = [
    'hostnam = "x"', // 1
    "[lmtp]", // 2
    'connections = "many"', // 3
    'listen = ["inet:127.0.0.1:1", "tcp:1"]', // 4
    'writable = "none"', // 5
    '[domains."Example.com"]', // 6
    "[[hooks]]", // 7
    'name = "a"', // 8
    'point = "nowhere"', // 9
    "filter = { recipient = 5 }", // 10
  ].join("\n");
  const loading = loadText(t, toml, {
    env: { MAIRUST_LOG__LEVL: "x" },
    overrides: ["log.format=xml", "nonsense"],
  });
  assert.deepEqual(await problemsOf(loading), [
    'mairust.toml:1:1 hostnam: unknown key; did you mean "hostname"?',
    'mairust.toml:3:1 lmtp.connections: found "many"; allowed: a whole number from 1 to 100000',
    'mairust.toml:4:31 lmtp.listen[1]: found "tcp:1"; allowed: unix:/path, inet:host:port or inet:[::1]:port (it does not begin with unix:, inet: or tls:)',
    'mairust.toml:5:1 lmtp.writable: unknown key; did you mean "imap.writable"?',
    'mairust.toml:6:10 domains."Example.com": found the name "Example.com"; allowed: a domain name in lower case, A-labels (xn--…) for others than ASCII',
    "mairust.toml:7:1 hooks[0].plugin: is missing",
    'mairust.toml:9:1 hooks[0].point: found "nowhere"; allowed: one of "pre_receive", "pre_delivery", "post_receive", "pre_send"',
    "mairust.toml:10:12 hooks[0].filter.recipient: found 5; allowed: text",
    'environment MAIRUST_LOG__LEVL log.levl: unknown key; did you mean "log.level"?',
    '-o log.format log.format: found "xml"; allowed: one of "json", "text"',
    "-o nonsense : found no key; allowed: key=value, e.g. -o log.level=debug",
  ]);
});

test("a TOML syntax error is reported alone for its file, with those of other files", async t => {
  const folder = folderWith(t, { "mairust.toml": "a = 1\nb = [1,\n", "conf.d/x.toml": "c = 1" });
  const problems = await problemsOf(loadConfig({ configFile: join(folder, "mairust.toml"), env: {} }));
  assert.deepEqual(problems, [
    "mairust.toml:3:1 : is no valid TOML: invalid value",
    "x.toml:1:1 c: unknown key",
  ]);
});

test("rules between keys are checked", async t => {
  const hook = 'point = "pre_delivery"\nplugin = "com.example.x"\n';
  const toml = `[[hooks]]\nname = "a"\ntimeout_ms = 5001\n${hook}[[hooks]]\nname = "a"\n${hook}filter = { size_min_bytes = 9, size_max_bytes = 8 }
[api]\nlisten = ["inet:0.0.0.0:80"]\n[imap]\nlisten = ["inet:127.0.0.1:2424"]\n[lmtp]\nlisten = ["inet:127.0.0.1:2424"]`;
  assert.deepEqual(await problemsOf(loadText(t, `roles = []\n${toml}`)), [
    "mairust.toml:1:1 roles: found an empty list; allowed: at least one role",
    "mairust.toml:4:1 hooks[0].timeout_ms: found 5001; allowed at pre_delivery: at most 5000, mail waits for it",
    'mairust.toml:8:1 hooks[1].name: found "a" a second time; allowed: one hook of each name',
    "mairust.toml:11:12 hooks[1].filter.size_min_bytes: found 9; allowed: at most size_max_bytes, 8",
    'mairust.toml:13:1 api.listen: found "inet:0.0.0.0:80", plain HTTP off loopback; allowed: a loopback address or a UNIX socket',
    'mairust.toml:15:1 imap.listen: found "inet:127.0.0.1:2424", which lmtp.listen uses already',
  ]);
});

test("clients from elsewhere need a certificate, which is two files; a port is one listener's, with TLS as without", async t => {
  const listeners =
    'client_listen = ["inet:127.0.0.1:1", "unix:/c", "inet:0.0.0.0:143", "tls:127.0.0.1:993"]';
  const missing = (line: number, spec: string) =>
    `mairust.toml:${line}:1 imap.client_listen: found "${spec}" without a certificate; allowed only with tls.cert_file and tls.key_file: passwords do not cross a network in the clear`;
  assert.deepEqual(await problemsOf(loadText(t, `[imap]\n${listeners}`)), [
    missing(2, "inet:0.0.0.0:143"),
    missing(2, "tls:127.0.0.1:993"),
  ]);
  await loadText(t, `[tls]\ncert_file = "/c"\nkey_file = "/k"\n[imap]\n${listeners}`);
  const half = '[tls]\nkey_file = "/k"\n[imap]\nconnections = 1\nclient_listen = ["inet:127.0.0.1:1143"]';
  assert.deepEqual(await problemsOf(loadText(t, half)), [
    'mairust.toml:2:1 tls.key_file: found "/k" without tls.cert_file; allowed: both or neither',
    "mairust.toml:4:1 imap.connections: found 1; allowed with imap.client_listen: at least 2",
    'mairust.toml:5:1 imap.client_listen: found "inet:127.0.0.1:1143", which imap.listen uses already',
  ]);
});

test("what is not built is refused by name when it is set, whatever sets it", async t => {
  const loading = loadText(
    t,
    '[queue]\nnats_url = "nats://b.example"\n[imap]\nwritable = "none"\n[tls]\ncert_file = ""',
    {
      env: { MAIRUST_OTEL__ENABLED: "true" },
      overrides: ['domains."a.example".stage=mirror'],
    },
  );
  assert.deepEqual(await problemsOf(loading), [
    "mairust.toml:2:1 queue.nats_url: found a text: the NATS job queue is not built in this version",
    "environment MAIRUST_OTEL__ENABLED otel.enabled: found true: the export of traces is not built in this version",
    '-o domains."a.example".stage domains."a.example".stage: found "mirror"; allowed only with relay.lmtp of the domain, as "unix:/run/dovecot/lmtp": where its mail goes on',
  ]);
});

test("a domain in a stage that relays needs a next hop", async t => {
  const toml =
    '[domains."a.example"]\nstage = "hooks"\n[domains."b.example"]\nstage = "mirror"\nrelay.lmtp = "unix:/l"';
  assert.deepEqual(await problemsOf(loadText(t, toml)), [
    'mairust.toml:2:1 domains."a.example".stage: found "hooks"; allowed only with relay.lmtp of the domain, as "unix:/run/dovecot/lmtp": where its mail goes on',
  ]);
  const byDefault = '[defaults]\nstage = "observe"\n[domains."a.example"]';
  assert.equal((await problemsOf(loadText(t, byDefault))).length, 1);
});

test("no error hides another: elements of a list, a table of a wrong name, a key that is refused as a whole", async t => {
  const toml = [
    'roles = ["milter", "lmpt"]', // 1
    "[lmtp]", // 2
    'listen = ["inet:127.0.0.1:99999", "tls:127.0.0.1:1", "inet:127.0.0.1:1"]', // 3
    '[domains."Example.com"]', // 4
    'stage = "mirror"', // 5
    'relay.lmtp = "nowhere"', // 6
    "[plugins]", // 7
    "uid_range = [1]", // 8
    "[[hooks]]", // 9
    'name = "a"', // 10
    'point = "pre_deliver"', // 11
    'plugin = "com.example.x"', // 12
    "timeout_ms = 6000", // 13
    "filter.header = { A = 1, B = 2 }", // 14
  ].join("\n");
  assert.deepEqual(await problemsOf(loadText(t, toml)), [
    'mairust.toml:1:20 roles[1]: found "lmpt"; allowed: one of "milter", "lmtp", "imap", "api", "worker"',
    'mairust.toml:3:11 lmtp.listen[0]: found "inet:127.0.0.1:99999"; allowed: unix:/path, inet:host:port or inet:[::1]:port (the port is over 65535)',
    'mairust.toml:3:35 lmtp.listen[1]: found "tls:127.0.0.1:1": TLS on this listener is not built in this version',
    'mairust.toml:4:10 domains."Example.com": found the name "Example.com"; allowed: a domain name in lower case, A-labels (xn--…) for others than ASCII',
    'mairust.toml:6:7 domains."Example.com".relay.lmtp: found "nowhere"; allowed: unix:/path, inet:host:port or inet:[::1]:port (it does not begin with unix:, inet: or tls:)',
    "mairust.toml:8:1 plugins.uid_range: found a list of 1; allowed: 2 to 2 elements",
    'mairust.toml:11:1 hooks[0].point: found "pre_deliver"; allowed: one of "pre_receive", "pre_delivery", "post_receive", "pre_send"',
    "mairust.toml:14:19 hooks[0].filter.header.A: found 1; allowed: text",
    "mairust.toml:14:26 hooks[0].filter.header.B: found 2; allowed: text",
  ]);
});

test("grants are checked by name and value, and those that are not built are refused", async t => {
  const toml = [
    '[plugin."com.example.x"]', // 1
    '[plugin."com.example.x".grants]', // 2
    'read_header = ["Subject"]', // 3
    'read_headers = ["Sub ject", "To"]', // 4
    'read_body = "full"', // 5
    "write_tags = 1", // 6
    'decide = ["hold", "rejct", "reject"]', // 7
    "send_mail = true", // 8
  ].join("\n");
  const key = 'plugin."com.example.x".grants';
  assert.deepEqual(await problemsOf(loadText(t, toml)), [
    `mairust.toml:3:1 ${key}.read_header: unknown key; did you mean "${key}.read_headers"?`,
    `mairust.toml:4:17 ${key}.read_headers[0]: found "Sub ject"; allowed: a header field name`,
    `mairust.toml:6:1 ${key}.write_tags: found 1; allowed: true or false`,
    `mairust.toml:7:19 ${key}.decide[1]: found "rejct"; allowed: one of "reject", "tempfail", "hold"`,
    `mairust.toml:8:1 ${key}.send_mail: found true: the grant send_mail is not built in this version`,
  ]);
  const good = '[plugin."com.example.x"]\ngrants = { read_headers = ["Subject"], read_body = "preview" }';
  const { config } = await loadText(t, good);
  assert.deepEqual(config.plugin["com.example.x"]?.grants, {
    read_headers: ["Subject"],
    read_body: "preview",
  });
});

test("patterns of filters that the engine does not take are found when the configuration is checked", async t => {
  const hook = '[[hooks]]\nname = "a"\npoint = "pre_delivery"\nplugin = "com.example.x"\n';
  const toml = `${hook}[hooks.filter]\nrecipient = "(?=x)"\nsender = "ok.*"\nheader = { Subject = "(", To = "" }`;
  const problems = await problemsOf(loadText(t, toml));
  assert.equal(problems.length, 2, problems.join("\n"));
  assert.match(
    problems[0] ?? "",
    /^mairust\.toml:6:1 hooks\[0\]\.filter\.recipient: found "\(\?=x\)"; allowed: an RE2 pattern \(/,
  );
  assert.match(problems[1] ?? "", /^mairust\.toml:8:\d+ hooks\[0\]\.filter\.header\.Subject: found "\("/);
});

test("a pattern for the domain is checked too, and field names that no header can have", async t => {
  const hook = '[[hooks]]\nname = "a"\npoint = "pre_delivery"\nplugin = "com.example.x"\n';
  const check = (filter: string) => problemsOf(loadText(t, `${hook}[hooks.filter]\n${filter}`));
  const cases: ReadonlyArray<readonly [filter: string, problem: RegExp]> = [
    ['domain = "("', /filter\.domain: found "\("; allowed: an RE2 pattern/],
    ['header = { "X Spam" = "yes" }', /found "X Spam"; allowed: a field name/],
    ['sender = "a\\u0000b"', /filter\.sender: .*allowed: text without NUL/],
    [
      `header = { ${Array.from({ length: 33 }, (_, n) => `X-${n} = ""`).join(", ")} }`,
      /found 33 fields; allowed: at most 32/,
    ],
  ];
  for (const [filter, problem] of cases) {
    const [first, ...others] = await check(filter);
    assert.match(first ?? "", problem);
    assert.deepEqual(others, []);
  }
});

test("ConfigError.format() prints one line for each problem and the count", async t => {
  const error = await loadText(t, "a = 1\nb = 2").catch((caught: unknown) => caught);
  assert.ok(error instanceof ConfigError);
  assert.equal(error.code, "config_invalid");
  assert.match(
    error.format(),
    /^\/.*mairust\.toml:1:1: a: unknown key\n\/.*:2:1: b: unknown key\n2 problems in the configuration\n$/,
  );
});

test("a loaded configuration cannot be changed", async t => {
  const { config } = await loadText(t, '[domains."a.example"]');
  assert.ok(Object.isFrozen(config.domains["a.example"]) && Object.isFrozen(config.lmtp.listen));
});

test("a configuration file over its limit is refused unread", async t => {
  const problems = await problemsOf(loadText(t, `#${"x".repeat(1_048_576)}`));
  assert.deepEqual(problems, ["mairust.toml : found 1048577 bytes; allowed: 1048576"]);
});

test("a domain cannot be found by a name that every object has", async t => {
  const { config } = await loadText(t, '[domains."a.example"]');
  for (const name of ["constructor", "toString", "__proto__"]) {
    assert.equal(config.domains[name], undefined);
    assert.equal(config.plugin[name], undefined);
  }
});

test("every list and text has a limit", async t => {
  const hook = (i: number) => `[[hooks]]\nname = "h${i}"\npoint = "pre_delivery"\nplugin = "a.b"\n`;
  const hooks = Array.from({ length: 1001 }, (_, i) => hook(i)).join("");
  assert.deepEqual(await problemsOf(loadText(t, hooks)), [
    "mairust.toml:4001:1 hooks[1000]: found one more; allowed: at most 1000",
  ]);
  const ids = Array.from({ length: 1001 }, (_, i) => `"a.b${i}"`).join(",");
  const long = `[plugins]\ndeny = [${ids}]\nfolders = ["/${"x".repeat(4096)}"]`;
  const problems = await problemsOf(loadText(t, long));
  assert.equal(
    problems[0],
    "mairust.toml:2:1 plugins.deny: found a list of 1001; allowed: 0 to 1000 elements",
  );
  assert.match(problems[1] ?? "", /allowed: at most 4096 characters$/);
  const many = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`conf.d/${i}.toml`, ""]));
  const configFile = join(folderWith(t, { ...many, "mairust.toml": "" }), "mairust.toml");
  assert.deepEqual(await problemsOf(loadConfig({ configFile, env: {} })), [
    "conf.d : found 257 files; allowed: 256",
  ]);
});
