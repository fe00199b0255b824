/** Hooks as people see and change them: from configuration files, by command (rows of the database), and from plugins' manifests. */
import type { HookConfig } from "../../wire/config/schema.ts";
import type { ChangeOptions } from "../admin-ports.ts";
import type { DeniedItem } from "../answer.ts";
import type { Demotion } from "./hook-guard.ts";
import type { HookPoint } from "./hooks.ts";

/** A hook by command, as it is kept. */
export interface StoredHook {
  readonly name: string;
  /** The keys of `[[hooks]]` that were set; the others have their defaults. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Rises with every change. */
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export type HookRowChange =
  | {
      readonly kind: "put";
      readonly name: string;
      readonly keys: Readonly<Record<string, unknown>>;
      /** That it has now; undefined: it is new. */
      readonly version: number | undefined;
    }
  | { readonly kind: "remove"; readonly name: string; readonly version: number };

/** `store/hook-rows.ts`. */
export interface HookRows {
  /** By name. @throws {MairustError} `store_unavailable` */
  list(): Promise<readonly StoredHook[]>;
  /** All of them in one commit. @throws {MairustError} `store_unavailable`, `already_exists`, {@link StaleVersion} */
  apply(changes: readonly HookRowChange[]): Promise<void>;
}

export type HookState =
  | "active"
  /** `enabled = false`. */
  | "disabled"
  /** Its plugin is switched off: the hook does not exist meanwhile. */
  | "off"
  /** Its plugin may not or cannot run: every call fails, and the hook's policy decides. */
  | "refused"
  /** Its plugin failed too often: it is not called for a while, and the hook's policy decides. */
  | "circuit_open"
  /** Somebody switched the calls of its plugin off for a while: mail passes, marked as unchecked. */
  | "bypassed"
  /** It was over a threshold of its own: as in shadow, until somebody sets its mode. */
  | "demoted"
  /** A hook of a file has the same name, and goes before. */
  | "shadowed";

export interface HookView {
  /** All keys, defaults filled in. */
  readonly row: HookConfig;
  readonly origin: "file" | "database" | "manifest";
  /** Of a hook by file: where it is set, as `file:line:column`. */
  readonly where: string | undefined;
  readonly state: HookState;
  /** Why it is not active. */
  readonly reason: string | undefined;
  /** Undefined: its mode is the one that is set. */
  readonly demotion: Demotion | undefined;
  /** What somebody should know of it. */
  readonly notes: readonly string[];
  /** Of a hook by command. */
  readonly stored: StoredHook | undefined;
  /** Calls of this process by outcome. */
  readonly calls: Readonly<Record<string, number>>;
  /** Calls in shadow of this process: `compared`, `differing`, and by field. */
  readonly diffs: Readonly<Record<string, number>>;
}

export interface HookEdit {
  readonly changes: readonly HookRowChange[];
  /** Plugins that must be able to run, or the change is refused. Others may be broken: that is no reason against it. */
  readonly needs: readonly string[];
}

/** A message to try a hook with. */
export interface TestMessage {
  readonly content: AsyncIterable<Uint8Array>;
  readonly mailFrom: string;
  /** At least one. */
  readonly recipients: readonly string[];
  readonly direction: "inbound" | "outbound";
  readonly queueId: string;
}

/** What a hook made of it; nothing of that was applied. */
export interface HookTest {
  readonly hook: string;
  readonly plugin: string;
  readonly point: HookPoint;
  readonly callId: string;
  /** The hook's filter lets the message through. A test calls the plugin all the same. */
  readonly matches: boolean;
  readonly outcome: string;
  readonly ms: number;
  readonly fields: readonly string[];
  readonly bytes: number;
  readonly verdict: string | undefined;
  readonly reply: { readonly code: number; readonly text: string } | undefined;
  readonly reason: string | undefined;
  readonly explanation: string | undefined;
  readonly tags: { readonly add: readonly string[]; readonly remove: readonly string[] };
  readonly folder: string | undefined;
  readonly denied: readonly DeniedItem[];
  readonly problem: string | undefined;
  /** What the hook's policy would make of the failure; undefined: it did not fail. */
  readonly policy: string | undefined;
}

/** `compose/hook-control.ts`. */
export interface HookControl {
  /** In the order in which they run, point by point. */
  list(): Promise<readonly HookView[]>;
  /**
   * Change hooks by command: durable first, then in effect on this node at once; on others within half a minute. Changes come one
   * after the other.
   * @param edit  from all hooks as they are now; what it throws ends the change
   * @returns     all hooks as they are after it (with `dryRun`: would be)
   * @throws {MairustError} `config_invalid` with all problems: nothing is changed then; `store_unavailable`
   */
  change(
    edit: (views: readonly HookView[]) => HookEdit,
    options: ChangeOptions,
  ): Promise<readonly HookView[]>;
  /** Call the hook's plugin once, in mode shadow, recorded in the ledger. @throws {MairustError} `not_found`, `disk_full`, `data_invalid` */
  test(name: string, message: TestMessage): Promise<HookTest>;
}
