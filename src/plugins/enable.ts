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
import { missingForHook } from "../core/hook-row.ts";
import { beyondRequest, type Grants, grantsOf, missingPrerequisites } from "../core/permissions-grants.ts";
import type { Config, HookConfig } from "../wire/config/schema.ts";
import { API_VERSION } from "../wire/hook-payload.ts";
import { type PermissionsInput, permissionsSchema } from "../wire/permissions.ts";
import { missingInThisVersion } from "./built.ts";
import type { FoundPlugin } from "./discovery.ts";
import { isCalledByHttp } from "./endpoint.ts";
import { compatFinding } from "./manifest-rules.ts";
import { type Finding, findingText } from "./problem.ts";
import { checkSchema } from "./schema-check.ts";
import { resolveSettings } from "./settings.ts";

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
}

export function enablePlugin({ manifest }: FoundPlugin, context: EnableContext): Enablement {
  const { entry, plugins } = context;
  const grantShape = checkSchema(permissionsSchema, entry?.grants ?? {}, ["grants"]);
  const granted = grantShape.length === 0 ? ((entry?.grants ?? {}) as PermissionsInput) : {};
  const grants = grantsOf(granted);
  const settings = resolveSettings(manifest.settings, entry?.settings ?? {});
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
    ...[...missingInThisVersion(manifest, granted), ...missingForHooks(context.hooks)].map(
      what => ({ code: "not_built", text: `${what} is not built in this version` }) as const,
    ),
    ...pointRefusals(manifest, context.hooks),
    ...endpointRefusals(manifest, entry?.endpoint),
    ...trustRefusals(manifest, plugins),
  ];
  return { grants, settings: settings.values, refusals };
}

function missingForHooks(rows: readonly HookConfig[]): readonly string[] {
  return [...new Set(rows.filter(row => row.enabled).flatMap(missingForHook))];
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

/** Folders are read as they are, so nothing in them is signed. Whether a sandbox holds it is found out when it starts. */
function trustRefusals({ id }: FoundPlugin["manifest"], plugins: Config["plugins"]): readonly Refusal[] {
  const refusals: Refusal[] = [];
  if (!plugins.allow_unsigned.includes(id)) {
    refusals.push({
      code: "plugin_security",
      text: `it has no signature; plugins.allow_unsigned = ["${id}"] lets it run all the same`,
    });
  }
  return refusals;
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
