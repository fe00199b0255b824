/**
 * A private rspamd 3.4: one scanner on a loopback port, Debian's rules, no DNS, no Redis, own folders. As root it runs as `nobody`.
 *
 * Rules of the test besides: mail whose subject is `echo` is deferred with the envelope as rspamd has it, as the text; one in the group
 * `dkim` hits all mail, unless the group is switched off.
 *
 * Sources: rspamd(8), rspamd.com/doc (configuration, settings)
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../../src/core/deadline.ts";
import { freePort } from "../../src/mailhost/scratch.ts";
import { systemUser } from "../../src/mailhost/system-user.ts";
import { deadlineAfter, sleep, within } from "../../src/platform/deadline.ts";
import type { Peer } from "./peers.ts";

const POLL_MS = 50;
const STOP_MS = 10_000;
const QUOTED_CHARS = 4000;

export interface Rspamd {
  readonly url: string;
  stop(): Promise<void>;
}

/** @param dir  empty folder for it alone; other users may pass to it */
export async function startRspamd(peer: Peer, dir: string, deadline: Deadline): Promise<Rspamd> {
  const port = await freePort();
  const share = join(peer.dir, "usr/share/rspamd");
  const user = process.getuid?.() === 0 ? await systemUser("nobody") : undefined;
  await mkdir(join(dir, "state"));
  if (user !== undefined) await chown(join(dir, "state"), user.uid, user.gid);
  await write(join(dir, "rspamd.conf"), configuration(dir, share, port));
  await write(join(dir, "rspamd.local.lua"), RULES);
  // The real list takes seconds to compile.
  await write(join(dir, "tld"), "com\norg\ntest\n");
  const variables = {
    ...{ SHAREDIR: share, CONFDIR: dir, LOCAL_CONFDIR: dir, WWWDIR: dir },
    ...{ DBDIR: join(dir, "state"), RUNDIR: join(dir, "state"), LOGDIR: join(dir, "state") },
    ...{
      RULESDIR: join(share, "rules"),
      LUALIBDIR: join(share, "lualib"),
      PLUGINSDIR: join(share, "plugins"),
    },
  };
  const flags = Object.entries(variables).map(([name, value]) => `--var=${name}=${value}`);
  const child = spawn(peer.program, ["-f", "-c", join(dir, "rspamd.conf"), ...flags], {
    env: { LD_LIBRARY_PATH: peer.libraries, PATH: "/usr/bin:/bin" },
    stdio: "ignore",
    cwd: dir,
    ...user,
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilUp(child, url, deadline);
  } catch (error) {
    await stop(child);
    const log = await readFile(join(dir, "state/rspamd.log"), "utf8").catch(() => "");
    throw new Error(`rspamd did not start: ${log.slice(-QUOTED_CHARS)}`, { cause: error });
  }
  return { url, stop: () => stop(child) };
}

async function write(file: string, text: string): Promise<void> {
  await writeFile(file, text);
  await chmod(file, 0o644);
}

async function untilUp(child: ChildProcess, url: string, deadline: Deadline): Promise<void> {
  for (;;) {
    if (child.pid === undefined || child.exitCode !== null)
      throw new Error(`it ended with ${child.exitCode}`);
    const up = await fetch(`${url}/ping`, { signal: deadline.signal }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (up) return;
    if (deadline.remainingMs() === 0) throw new Error("it does not answer");
    await sleep(POLL_MS);
  }
}

/** The main process ends its workers. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const deadline = deadlineAfter(STOP_MS);
  await within(ended, deadline).catch(() => child.kill("SIGKILL"));
  deadline.dispose();
  await ended;
}

function configuration(dir: string, share: string, port: number): string {
  const state = join(dir, "state");
  return `
options {
  pidfile = "${state}/rspamd.pid";
  filters = "regexp";
  explicit_modules = ["settings"];
  cache_file = "${state}/symbols.cache";
  history_file = "${state}/history";
  dynamic_conf = "${state}/dynamic";
  control_socket = "${state}/rspamd.sock mode=0600";
  hs_cache_dir = "${state}";
  tempdir = "${state}";
  url_tld = "${dir}/tld";
  dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }
  enable_test_patterns = true;
}
logging { type = "file"; filename = "${state}/rspamd.log"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
actions { reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; }
settings { }
modules { path = "${share}/plugins/settings.lua"; }
lua = "${share}/rules/rspamd.lua";
`;
}

const RULES = `
local function text(value) return value and tostring(value) or '-' end
rspamd_config:register_symbol{
  name = 'TEST_ECHO', type = 'prefilter', callback = function(task)
    if task:get_header('Subject') ~= 'echo' then return end
    local rcpts = {}
    for _, one in ipairs(task:get_recipients('smtp') or {}) do rcpts[#rcpts + 1] = one.addr end
    local from = (task:get_from('smtp') or {})[1]
    task:set_pre_result('soft reject', table.concat({
      from and from.addr or '-', table.concat(rcpts, ','), text(task:get_from_ip()), text(task:get_helo()),
      text(task:get_hostname()), text(task:get_user()), text(task:get_queue_id()),
    }, ' '))
  end
}
rspamd_config:register_symbol{
  name = 'TEST_DKIM', group = 'dkim', score = 20.0, callback = function() return true end
}
`;
