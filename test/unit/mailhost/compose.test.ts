/** `docker-compose.yml` says what `postfix/`, `dovecot/` and the configuration schema say, and names nothing that is not there. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { loadConfig } from "../../../src/platform/config/load.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { parseYamlSubset, type Yaml } from "./yaml-subset.ts";

const root = packageRoot();
const file = (...path: string[]) => readFileSync(join(root, ...path), "utf8");

function map(value: Yaml | undefined): { [key: string]: Yaml } {
  assert.ok(typeof value === "object" && value !== null && !Array.isArray(value), JSON.stringify(value));
  return value;
}

function strings(value: Yaml | undefined): string[] {
  if (value === undefined) return [];
  assert.ok(Array.isArray(value));
  return value.map(item => {
    assert.ok(typeof item === "string");
    return item;
  });
}

const compose = map(parseYamlSubset(file("docker-compose.yml")));
const services = map(compose.services);
const service = (name: string) => map(services[name]);
const inlineFile = (name: string) => {
  const { content } = map(map(compose.configs)[name]);
  assert.ok(typeof content === "string");
  return content;
};

/** Value of `key = value` in a Postfix or Dovecot file. */
function setting(text: string, key: string): string | undefined {
  return new RegExp(`^ *${key} = (.*)$`, "m").exec(text)?.[1];
}

test("docker-compose.yml has the four servers, a seed, and names only what it declares", () => {
  assert.deepEqual(Object.keys(services).sort(), [
    "database",
    "dovecot",
    "postfix",
    "secrets",
    "seed",
    "sidecar",
  ]);
  const volumes = Object.keys(map(compose.volumes));
  const used = new Set<string>();
  for (const [name, value] of Object.entries(services)) {
    const { depends_on = {}, configs = [], volumes: mounts, network_mode = "" } = map(value);
    for (const other of Object.keys(map(depends_on)))
      assert.ok(other in services, `${name} waits for ${other}`);
    assert.ok(Array.isArray(configs));
    for (const config of configs) assert.ok(String(map(config).source) in map(compose.configs));
    if (String(network_mode).startsWith("service:")) assert.ok(String(network_mode).slice(8) in services);
    for (const mount of strings(mounts)) {
      const [volume = "", target = ""] = mount.split(":");
      assert.ok(volumes.includes(volume), `${name} mounts ${mount}`);
      assert.ok(target.startsWith("/"), mount);
      used.add(volume);
    }
  }
  assert.deepEqual(volumes.sort(), [...used].sort());
});

test("docker-compose.yml waits for health, asks the sidecar by its own binary, and runs it without root", () => {
  for (const name of ["database", "sidecar", "postfix", "dovecot"]) {
    assert.ok(strings(map(service(name).healthcheck).test).length > 1, name);
  }
  assert.deepEqual(map(service("sidecar").healthcheck).test, ["CMD", "mairust", "readyz", "--wait"]);
  const build = String(map(service("sidecar").build).dockerfile_inline);
  assert.match(build, /^FROM node:24-bookworm-slim$/m);
  assert.match(build, /^USER mairust$/m);
  assert.ok(build.indexOf("USER mairust") > build.lastIndexOf("\nRUN "));
  for (const name of ["seed", "secrets"]) assert.deepEqual(service(name).build, service("sidecar").build);
  for (const [name, value] of Object.entries(services)) {
    for (const port of strings(map(value).ports)) assert.ok(port.startsWith("127.0.0.1:"), `${name} ${port}`);
  }
});

test("docker-compose.yml and dovecot/README.md call only commands and options that there are", () => {
  const text = file("docker-compose.yml") + file("dovecot", "README.md");
  const global = ["--config", "--format", "-f", "-o"];
  // Of a shell, in prose, and after `docker compose exec`; what follows is a word, not an option or a path of another program.
  const written = [...text.matchAll(/(?<=^|[ #`]|npx )mairust ([a-z][^|`\n]*)/gmu)].map(
    ([, call = ""]) => call,
  );
  assert.ok(written.some(call => call.startsWith("msg add ")) && written.length >= 8, written.join("\n"));
  const listed = [service("sidecar").command, map(service("sidecar").healthcheck).test].map(words =>
    strings(words)
      .filter(word => word !== "CMD" && word !== "mairust")
      .join(" "),
  );
  for (const call of [...written, ...listed]) {
    const spec = COMMANDS.find(({ usage }) => {
      const names = usage.split(" ").filter(word => !/^[<[]/u.test(word));
      return call.split(" ").slice(0, names.length).join(" ") === names.join(" ");
    });
    assert.ok(spec !== undefined, call);
    const known = [
      ...global,
      ...(spec.options ?? []).flatMap(({ flags }) => flags.match(/--?[a-z][a-z-]*/gu) ?? []),
    ];
    for (const [option] of call.matchAll(/(?<= )--?[a-z][a-z-]*/gu)) {
      assert.ok(known.includes(option), `${call}: ${option}`);
    }
  }
});

test("docker-compose.yml copies only what the repository has", () => {
  for (const value of Object.values(services)) {
    const { build } = map(value);
    if (build === undefined) continue;
    const { context, dockerfile_inline } = map(build);
    for (const [, sources = ""] of String(dockerfile_inline).matchAll(/^COPY (.+) \S+$/gm)) {
      for (const source of sources.split(" ")) {
        assert.ok(existsSync(join(root, String(context), source)), `COPY ${source}`);
      }
    }
  }
});

test("docker-compose.yml starts the sidecar with a configuration that the schema accepts", async () => {
  const dir = mkdtempSync(join(tmpdir(), "mrt"));
  try {
    const configFile = join(dir, "compose.toml");
    writeFileSync(configFile, inlineFile("mairust"));
    const { config } = await loadConfig({ configFile, env: {} });
    const stageStore = file("dovecot", "stage-store.conf");
    assert.deepEqual(config.imap.listen, [
      `inet:${setting(stageStore, "imapc_host")}:${setting(stageStore, "imapc_port")}`,
    ]);
    assert.equal(config.imap.master_user, setting(stageStore, "imapc_master_user"));
    const nextHop = /^example\.com\s+mairust:unix:(\S+)$/m.exec(file("postfix", "transport"))?.[1];
    assert.deepEqual(config.lmtp.listen, [`unix:/var/spool/postfix/${nextHop}`]);
    assert.ok(
      inlineFile("dovecot").includes(`imapc_password = <${config.imap.master_password_file}\n`),
      "Dovecot and the sidecar read the same secret",
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("docker-compose.yml uses the shipped Postfix and Dovecot files as they are", () => {
  const postfix = String(map(service("postfix").build).dockerfile_inline);
  assert.match(postfix, /sh \/usr\/share\/mairust\/postfix\/stage-store\.apply$/m);
  assert.match(postfix, /cp \/usr\/share\/mairust\/postfix\/transport \/etc\/postfix\/mairust-transport/);
  for (const name of [...file("postfix", "stage-store.cf").matchAll(/^(\w+) =/gm)].map(match => match[1])) {
    assert.ok(!postfix.includes(`'${name} =`), `${name} is set apart from stage-store.cf`);
  }
  const dovecot = inlineFile("dovecot");
  assert.match(dovecot, /^!include \/usr\/share\/mairust\/dovecot\/stage-store\.conf$/m);
  assert.match(dovecot, /acl = vfile:\/usr\/share\/mairust\/dovecot\/mairust\.acl$/m);
  const after = dovecot.slice(dovecot.indexOf("!include"));
  assert.deepEqual(
    [...after.matchAll(/^(\w+) =/gm)].map(match => match[1]),
    ["imapc_password"],
  );
  const shared = strings(service("sidecar").volumes).find(mount => mount.startsWith("postfix-socket:"));
  assert.ok(shared !== undefined && strings(service("postfix").volumes).includes(shared));
});

test("parseYamlSubset() refuses what it does not read", () => {
  assert.deepEqual(parseYamlSubset('a: &x\n  b: [1, "2"]\nc: *x\nd:\n  - e: f\n    g: |\n      h\n'), {
    a: { b: [1, "2"] },
    c: { b: [1, "2"] },
    d: [{ e: "f", g: "h\n" }],
  });
  for (const text of [
    "a: b\na: c\n",
    "a: 'b'\n",
    "a: >\n  b\n",
    "a: *no\n",
    "\ta: b\n",
    "a:\n    b: c\n  d: e\n",
  ]) {
    assert.throws(() => parseYamlSubset(text), text);
  }
});
