/**
 * May this plugin run, and with what rights? Every reason against it at once. Checked again at each start: grants and manifest
 * can change apart from each other.
 */
import {
  type ErrorCode,
  PluginDependencyError,
  type PluginError,
  PluginLoadError,
  PluginSecurityError,
  PluginValidationError,
} from "../core/errors.ts";
import type { SettingValues } from "../core/hook-plugin.ts";
import { beyondRequest, type Grants, grantsOf, missingPrerequisites } from "../core/permissions-grants.ts";
import { termsOf, widenings } from "../core/plugin-terms.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import type { StoredSettings } from "../core/ports/plugin-settings.ts";
import type { Config, HookConfig } from "../wire/config/schema.ts";
import { API_VERSION } from "../wire/hook-payload.ts";
import { type PermissionsInput, permissionsSchema } from "../wire/permissions.ts";
import { missingInThisVersion } from "./built.ts";
import type { FoundPlugin } from "./discovery.ts";
import { isCalledByHttp } from "./endpoint.ts";
import { compatFinding } from "./manifest-rules.ts";
import { type Finding, findingText } from "./problem.ts";
import { checkSchema } from "./schema-check.ts";
import { declaredValues, resolveSettings } from "./settings.ts";
import { wideningName, withinRequest } from "./terms.ts";

export interface Enablement {
  readonly grants: Grants;
  readonly settings: SettingValues;
  /** Empty: it may run. */
  readonly refusals: readonly Refusal[];
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly text: string;
}

export interface EnableContext {
  readonly plugins: Config["plugins"];
  /** `[plugin."id"]`, where there is one. */
  readonly entry: Config["plugin"][string] | undefined;
  /** Rows that name the plugin. */
  readonly hooks: readonly HookConfig[];
  readonly hostVersion: string;
  /** What was decided by command. */
  readonly record: PluginRecord | undefined;
  /** Settings by command; those of a file go before them. */
  readonly settings: StoredSettings;
}

/** A secret that was set and cannot be read is not the same as none. */
function unreadableRefusals({ settings, entry }: EnableContext): readonly Refusal[] {
  return [...settings.unreadable]
    .filter(([key]) => !Object.hasOwn(entry?.settings ?? {}, key))
    .map(([key, why]) => ({
      code: "plugin_security",
      text: `settings.${key}: what was set cannot be read: ${why}`,
    }));
}

/** What a configuration file grants; undefined: nothing is said there. */
export function grantsOfFile(entry: EnableContext["entry"]): PermissionsInput | undefined {
  return entry === undefined || Object.keys(entry.grants).length === 0
    ? undefined
    : (entry.grants as PermissionsInput);
}

export function enablePlugin(found: FoundPlugin, context: EnableContext): Enablement {
  const { manifest } = found;
  const { entry, plugins } = context;
  const byFile = grantsOfFile(entry);
  const grantShape = checkSchema(permissionsSchema, byFile ?? {}, ["grants"]);
  const given = byFile ?? approvedRights(context.record, manifest.permissions);
  const granted = grantShape.length === 0 ? given : {};
  const grants = grantsOf(granted);
  const set = { ...declaredValues(manifest.settings, context.settings.values), ...entry?.settings };
  const settings = resolveSettings(manifest.settings, set, manifest.limits);
  const compat = compatFinding(manifest, context.hostVersion, [API_VERSION]);
  const invalid = [...(compat === undefined ? [] : [compat]), ...grantShape, ...settings.findings].map(
    textOf,
  );
  const beyond = beyondRequest(grants, grantsOf(manifest.permissions));
  const refusals: Refusal[] = [
    ...invalid.map(text => ({ code: "plugin_validation", text }) as const),
    ...beyond.map(
      name =>
        ({ code: "plugin_security", text: `grants.${name} goes beyond what the manifest asks for` }) as const,
    ),
    ...missingPrerequisites(grants).map(
      ({ code, text }) => ({ code: "plugin_validation", text: `${code}: ${text}` }) as const,
    ),
    ...missingInThisVersion(manifest, granted).map(
      what => ({ code: "not_built", text: `${what} is not built in this version` }) as const,
    ),
    ...unreadableRefusals(context),
    ...pointRefusals(manifest, context.hooks),
    ...endpointRefusals(manifest, entry?.endpoint),
    ...(byFile === undefined ? recordRefusals(found, context) : []),
    ...(context.record?.state === "failed" ? [failedRefusal(context.record)] : []),
    ...signatureRefusals(found, plugins),
  ];
  return { grants, settings: settings.values, refusals };
}

function textOf(finding: Finding): string {
  return `${finding.path.join(".")}: ${findingText(finding)}`;
}

function pointRefusals({ hooks }: FoundPlugin["manifest"], rows: readonly HookConfig[]): readonly Refusal[] {
  const on = hooks?.on ?? [];
  return rows
    .filter(row => row.enabled && !on.includes(row.point))
    .map(row => ({
      code: "plugin_validation",
      text: `hook "${row.name}" is at ${row.point}, which hooks.on of the manifest does not name`,
    }));
}

function endpointRefusals(
  { entry }: FoundPlugin["manifest"],
  endpoint: string | undefined,
): readonly Refusal[] {
  if (endpoint === undefined || isCalledByHttp(entry)) return [];
  return [
    {
      code: "plugin_validation",
      text: "endpoint: it is not called by HTTP, so there is none; take the key out",
    },
  ];
}

/**
 * What was approved by command, as far as this version still asks for it.
 * @returns nothing unless somebody approved something
 */
function approvedRights(
  record: PluginRecord | undefined,
  asked: PermissionsInput | undefined,
): PermissionsInput {
  return record?.approval === undefined ? {} : withinRequest(record.approval.terms.permissions, asked ?? {});
}

/** By command, a plugin runs only with what somebody agreed to. */
function recordRefusals(
  { manifest, installed }: FoundPlugin,
  { record, entry }: EnableContext,
): readonly Refusal[] {
  if (record === undefined || record.state === "failed") return [];
  const refusal = (text: string) => [{ code: "plugin_security", text } as const];
  if (record.state === "installed")
    return refusal(`it is installed, and nobody enabled it: mairust plugin enable ${record.id}`);
  const { approval } = record;
  // A folder that a hook names runs without any right, as it does without a record.
  if (approval === undefined && record.version === undefined) return [];
  if (approval === undefined)
    return refusal(`nobody approved what it asks for: mairust plugin approve ${record.id}`);
  const signer = installed?.verification.developerKey;
  const asked = termsOf(manifest, { signer, endpoint: entry?.endpoint });
  const more = widenings({ ...asked, permissions: {} }, approval.terms);
  if (more.length === 0) return [];
  return refusal(
    `it asks for more than was approved (${more.map(wideningName).join(", ")}): mairust plugin approve ${record.id}`,
  );
}

function failedRefusal({ id, reason }: PluginRecord): Refusal {
  const text = `${reason ?? "it failed too often"}; mairust plugin enable ${id} starts it again`;
  return { code: "plugin_failed", text };
}

/**
 * Folders are read as they are, so nothing in them is signed. What was revoked as vulnerable goes on where it was enabled: to end a
 * filter that works is for the administrator, who is told. Commands that would begin with it are refused before this.
 */
function signatureRefusals(
  { manifest: { id }, installed }: FoundPlugin,
  plugins: Config["plugins"],
): readonly Refusal[] {
  const verification = installed?.verification;
  // Whatever else is wrong with it counts all the same.
  const isWarnedOf = verification?.state === "revoked" && verification.revocation?.severity === "vulnerable";
  const apart = verification?.isVouchedFor === true ? "private" : "unsigned";
  const state = isWarnedOf ? apart : (verification?.state ?? "unsigned");
  switch (state) {
    case "signed":
    case "private":
      return [];
    case "modified":
    case "revoked":
      return [{ code: "plugin_security", text: `it is ${state}: ${verification?.detail}` }];
    case "unsigned":
      if (plugins.allow_unsigned.includes(id)) return [];
      return [
        {
          code: "plugin_security",
          text: `it has no signature; plugins.allow_unsigned = ["${id}"] lets it run all the same`,
        },
      ];
  }
}

/** One error for all refusals of a plugin; its class and code are those of the first, its text has them all. */
export function refusalError(id: string, refusals: readonly Refusal[]): PluginError {
  const code = refusals[0]?.code ?? "plugin_load";
  const why = refusals.map(refusal => refusal.text).join("; ");
  const text = `Cannot enable plugin "${id}": ${why}`;
  const options = { context: { why, plugin: id } };
  switch (code) {
    case "plugin_security":
      return new PluginSecurityError(code, text, options);
    case "plugin_validation":
      return new PluginValidationError(code, text, options);
    case "plugin_dependency":
      return new PluginDependencyError(code, text, options);
    default:
      return new PluginLoadError(code, text, options);
  }
}

/** The reasons alone, for texts that name the plugin themselves. */
export function refusalText(error: PluginError): string {
  return typeof error.context.why === "string" ? error.context.why : error.message;
}
