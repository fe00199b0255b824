/**
 * The tools for authors of plugins, as `main.ts` hands them to the commands. Plugins are held in a sandbox as the service would hold them,
 * with nothing set but the defaults; or, when somebody asks for it, in none.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Host } from "../author/plugin-process.ts";
import { makeAuthorTools } from "../author/tools.ts";
import { MairustError } from "../core/errors.ts";
import type { CreateTransport } from "../core/hook-plugin.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import { Sandbox } from "../runtimes/sandbox/sandbox.ts";
import { TRIAL_UIDS } from "./sandbox.ts";
import { createTransport, transportsIn } from "./transports.ts";

/** What a plugin may keep is kept for one trial, in a folder that nobody can have put there: as root it is given to the plugin's user. */
function keptFolder(): { readonly dir: string; readonly remove: () => void } {
  const made: { folder?: string } = {};
  return {
    get dir() {
      made.folder ??= mkdtempSync(join(tmpdir(), "mairust-author-"));
      // The plugin's user has to go through it, and to find nothing.
      chmodSync(made.folder, 0o711);
      return join(made.folder, "plugins");
    },
    remove: () => void (made.folder && rmSync(made.folder, { recursive: true, force: true })),
  };
}

function bareHost(): Host {
  return {
    create: createTransport,
    notes: () => [],
    // Nothing is kept without a sandbox: no plugin has a folder there.
    rules: pluginId => ({ allow_unsandboxed: [pluginId], dir: join(tmpdir(), "none"), require_limits: [] }),
    close: () => {},
  };
}

function sandboxedHost(): Host {
  const sandbox = new Sandbox({ uidRange: TRIAL_UIDS });
  const create = transportsIn(sandbox);
  const kept = keptFolder();
  return {
    create: spec => withHint(create(withoutNetwork(spec))),
    notes: ({ limits }) =>
      (limits?.network ?? "none") === "none"
        ? []
        : ["it has no network here: nothing is opened for a trial; --bare runs it without the sandbox"],
    rules: () => ({ allow_unsandboxed: [], dir: kept.dir, require_limits: [] }),
    close() {
      sandbox.close();
      kept.remove();
    },
  };
}

/** No proxy is opened for a trial: what would reach others reaches nobody. */
function withoutNetwork(spec: Parameters<CreateTransport>[0]): Parameters<CreateTransport>[0] {
  if (spec.confinement === undefined) return spec;
  return { ...spec, confinement: { ...spec.confinement, network: { mode: "none", allow: [] } } };
}

/** Where no sandbox holds, an author may go on without one; a service may not. */
function withHint(transport: PluginTransport): PluginTransport {
  return {
    destination: transport.destination,
    call: (payload, call, deadline) => transport.call(payload, call, deadline),
    health: () => transport.health(),
    limits: () => transport.limits?.() ?? [],
    stop: deadline => transport.stop(deadline),
    start: async deadline => {
      try {
        await transport.start(deadline);
      } catch (error) {
        if (!(error instanceof MairustError) || error.code !== "plugin_security") throw error;
        throw new MairustError(error.code, `${error.message}; --bare runs it without a sandbox`, {
          cause: error,
        });
      }
    },
  };
}

export const authorTools = makeAuthorTools(bare => (bare ? bareHost() : sandboxedHost()));
