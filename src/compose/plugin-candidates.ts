/** A package that somebody wants to install, or a version that is to be approved: read, verified, and checked against this service. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type MairustError,
  messageOf,
  PluginError,
  PluginLoadError,
  PluginSecurityError,
  PluginValidationError,
} from "../core/errors.ts";
import { termsOf } from "../core/plugin-terms.ts";
import type { PluginKeys } from "../core/ports/plugin-keys.ts";
import type { PluginPackage, Verification } from "../core/ports/plugin-packages.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import { missingInThisVersion } from "../plugins/built.ts";
import { type FoundPlugin, MANIFEST_FILE, switchedOff } from "../plugins/discovery.ts";
import type { Candidate } from "../plugins/lifecycle-plan.ts";
import { compatFinding } from "../plugins/manifest-rules.ts";
import { readPackage } from "../plugins/package/read.ts";
import { downgradeProblem, verifyPackage } from "../plugins/package/verify.ts";
import { findingText } from "../plugins/problem.ts";
import { checkSchema } from "../plugins/schema-check.ts";
import { API_VERSION } from "../wire/hook-payload.ts";
import type { Manifest } from "../wire/manifest.ts";
import { type PermissionsInput, permissionsSchema } from "../wire/permissions.ts";
import type { Settings } from "./settings.ts";

export interface CandidateParts {
  readonly settings: Settings;
  readonly keys: Pick<PluginKeys, "trust">;
  /** Of this service. */
  readonly version: string;
}

export interface NewPackage {
  readonly bytes: Uint8Array;
  readonly package: PluginPackage;
  readonly verification: Verification;
}

/** @throws {PluginError} it is no package, or its manifest has errors; every reason at once */
export async function openPackage(bytes: Uint8Array): Promise<PluginPackage> {
  try {
    return await readPackage(bytes);
  } catch (error) {
    if (!(error instanceof PluginError) || error.publicText !== "") throw error;
    throw publicError(error);
  }
}

/** Who sends a package is the administrator, and may read all of what is wrong with it. */
function publicError(error: PluginError): MairustError {
  const options = { publicText: messageOf(error), cause: error, context: error.context };
  const Same = error instanceof PluginValidationError ? PluginValidationError : PluginSecurityError;
  return new Same(error.code, error.message, options);
}

/**
 * @param record     of the plugin, if it has one
 * @param downgrade  an older version than was ever installed is meant
 * @throws {PluginError} with every reason against it
 */
export async function checkPackage(
  { settings, keys, version }: CandidateParts,
  bytes: Uint8Array,
  given: PluginPackage,
  record: PluginRecord | undefined,
  downgrade: boolean,
): Promise<NewPackage> {
  const verification = verifyPackage(given, await keys.trust(), record?.developerKey);
  const { manifest } = given;
  const { plugins } = settings.config;
  refuseUntrusted(manifest.id, verification, plugins.allow_unsigned);
  refuseUnusable(manifest, version);
  const off = switchedOff(manifest.id, { ...plugins, enabled: true });
  if (off !== undefined) throw refusal(manifest.id, "plugin_security", off);
  const older = downgrade ? undefined : downgradeProblem(manifest.version, record?.highestVersion);
  if (older !== undefined)
    throw refusal(manifest.id, "plugin_security", `${older}; --downgrade installs it all the same`);
  return { bytes, package: given, verification };
}

/** @throws {PluginValidationError}, {PluginLoadError} it does not run on this version */
export function refuseUnusable(manifest: Manifest, hostVersion: string): void {
  const compat = compatFinding(manifest, hostVersion, [API_VERSION]);
  if (compat !== undefined)
    throw refusal(manifest.id, "plugin_validation", `${compat.path.join(".")}: ${findingText(compat)}`);
  const missing = missingInThisVersion(manifest, {});
  if (missing.length > 0)
    throw refusal(manifest.id, "not_built", `${missing.join(", ")}: not built in this version`);
}

function refuseUntrusted(
  id: string,
  { state, detail }: Verification,
  allowUnsigned: readonly string[],
): void {
  if (state === "signed" || state === "private") return;
  if (state !== "unsigned") throw refusal(id, "plugin_security", `it is ${state}: ${detail}`);
  if (allowUnsigned.includes(id)) return;
  const how = `plugins.allow_unsigned = ["${id}"] lets it run all the same`;
  throw refusal(id, "plugin_security", `no signature that this service trusts (${detail}); ${how}`);
}

function refusal(
  id: string,
  code: "plugin_security" | "plugin_validation" | "not_built",
  why: string,
): PluginError {
  const text = `plugin "${id}" is refused: ${why}`;
  const options = { publicText: text, context: { why, plugin: id } };
  const message = `Cannot install: ${text}`;
  if (code === "plugin_security") return new PluginSecurityError(code, message, options);
  if (code === "plugin_validation") return new PluginValidationError(code, message, options);
  return new PluginLoadError(code, message, options);
}

/** What is to be agreed to. */
export async function candidateOf(
  found: FoundPlugin,
  { settings }: Pick<CandidateParts, "settings">,
): Promise<Candidate> {
  const { manifest, installed, folder } = found;
  const endpoint = settings.config.plugin[manifest.id]?.endpoint;
  const signer = installed?.verification.developerKey;
  const digest =
    installed?.digest ??
    createHash("sha256")
      .update(await readFile(join(folder, MANIFEST_FILE)))
      .digest("hex");
  return { version: manifest.version, digest, asked: termsOf(manifest, { signer, endpoint }) };
}

/** @throws {PluginValidationError} with everything that is no grant */
export function readPermissions(
  id: string,
  given: Readonly<Record<string, unknown>> | undefined,
): PermissionsInput | undefined {
  const findings = checkSchema(permissionsSchema, given ?? {}, ["grants"]);
  if (findings.length === 0) return given as PermissionsInput | undefined;
  const why = findings.map(one => `${one.path.join(".")}: ${findingText(one)}`).join("; ");
  throw refusal(id, "plugin_validation", why);
}
