/** What is known of each plugin here: what became of it in this process, and what stands in its record. */
import type { PluginDetail } from "../core/ports/plugin-lifecycle.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import { type BrokenCircuit, brokenText } from "../hooks/circuits.ts";
import { grantsOfFile } from "../plugins/enable.ts";
import type { PluginStatus } from "../plugins/host.ts";
import { withinRequest } from "../plugins/terms.ts";
import type { HooksInUse } from "./hook-views.ts";

/** By id. Those whose version waits say for what when they are looked at alone. */
export function pluginDetails(
  { config, records, loaded }: HooksInUse,
  broken: readonly BrokenCircuit[] = [],
): readonly PluginDetail[] {
  const recorded = new Map(records.map(record => [record.id, record]));
  const listed = new Map(loaded.host.list().map(status => [status.id, status]));
  const ids = [...new Set([...recorded.keys(), ...listed.keys()])].sort();
  return ids.map(id => {
    const status = listed.get(id);
    const record = recorded.get(id);
    const { grants, grantedBy } = grantsOf(config.plugin[id], record, status);
    const circuit = broken.find(({ plugin }) => plugin === id);
    const { state, reason } = stateOf(status, record);
    const verification = status?.found?.installed?.verification;
    return {
      id,
      name: status?.name ?? id,
      version: status?.version ?? record?.version ?? "",
      origin: originOf(status, record),
      state,
      reason: reason ?? (circuit && brokenText(circuit)),
      destination: loaded.host.find(id)?.transport?.destination,
      signature: verification?.state,
      signatureDetail: verification?.detail,
      grants,
      grantedBy,
      hooks: loaded.hooks
        .filter(({ plugin }) => plugin === id)
        .map(({ name, point, mode }) => ({ name, point, mode })),
      record,
      waitsFor: [],
    };
  });
}

function originOf(
  status: PluginStatus | undefined,
  record: PluginRecord | undefined,
): PluginDetail["origin"] {
  if (status?.found !== undefined) return status.found.installed === undefined ? "folder" : "package";
  return record?.version === undefined ? "unknown" : "package";
}

function stateOf(
  status: PluginStatus | undefined,
  record: PluginRecord | undefined,
): Pick<PluginDetail, "state" | "reason"> {
  if (record?.state === "failed") return { state: "failed", reason: record.reason };
  if (status?.state === "enabled") return { state: "enabled", reason: undefined };
  if (status?.state === "refused") return { state: "refused", reason: status.reason };
  if (record === undefined || record.state === "enabled")
    return { state: "disabled", reason: status?.reason ?? record?.reason };
  return { state: record.state, reason: record.reason ?? status?.reason };
}

function grantsOf(
  entry: HooksInUse["config"]["plugin"][string] | undefined,
  record: PluginRecord | undefined,
  status: PluginStatus | undefined,
): Pick<PluginDetail, "grants" | "grantedBy"> {
  const byFile = grantsOfFile(entry);
  if (byFile !== undefined) return { grants: byFile, grantedBy: "file" };
  const approved = record?.approval?.terms.permissions;
  if (approved === undefined) return { grants: {}, grantedBy: "nobody" };
  const asked = status?.found?.manifest.permissions ?? approved;
  return { grants: withinRequest(approved, asked), grantedBy: "approval" };
}

/** Nothing of it is left. */
export function purgedPlugin(id: string): PluginDetail {
  return {
    id,
    name: id,
    version: "",
    origin: "unknown",
    state: "uninstalled",
    reason: undefined,
    destination: undefined,
    signature: undefined,
    signatureDetail: undefined,
    grants: {},
    grantedBy: "nobody",
    hooks: [],
    record: undefined,
    waitsFor: [],
  };
}
