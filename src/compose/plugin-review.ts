/** Reviews of the plugins of this service: what each asks for, with what was approved, and what holds it here. */
import { NotFound } from "../core/errors.ts";
import { termsOf } from "../core/plugin-terms.ts";
import type { PluginReviews } from "../core/ports/plugin-review.ts";
import type { FoundPlugin } from "../plugins/discovery.ts";
import { isCalledByHttp } from "../plugins/endpoint.ts";
import type { InstalledPlugins } from "../plugins/installed.ts";
import { reviewOf } from "../plugins/review.ts";
import type { HooksHandle } from "./hooks.ts";
import type { Settings } from "./settings.ts";

export interface ReviewParts {
  readonly settings: Settings;
  readonly hooks: HooksHandle;
  readonly installed: Pick<InstalledPlugins, "find">;
}

/** Folders are read as they are: nothing in them is signed. */
const FOLDER = { state: "unsigned", detail: "it is a folder, read as it is" } as const;

export function pluginReviews({ settings, hooks, installed }: ReviewParts): PluginReviews {
  const find = async (id: string): Promise<FoundPlugin> => {
    const record = hooks.inUse()?.records.find(one => one.id === id);
    if (record?.pending !== undefined) return installed.find(record, record.pending);
    const status = hooks
      .host()
      ?.list()
      .find(one => one.id === id);
    if (status?.found !== undefined) return status.found;
    if (record?.version !== undefined) return installed.find(record, record.version);
    throw new NotFound("plugin", id);
  };
  return {
    async review(id, language) {
      const { manifest, installed: packed } = await find(id);
      const approval = hooks.inUse()?.records.find(one => one.id === id)?.approval;
      const endpoint = settings.config.plugin[id]?.endpoint;
      const verification = packed?.verification ?? FOLDER;
      const terms = termsOf(manifest, { signer: packed?.verification.developerKey, endpoint });
      return reviewOf({
        manifest,
        terms,
        verification,
        place: isCalledByHttp(manifest.entry) ? (endpoint ?? manifest.entry.endpoint) : undefined,
        approved: approval?.terms,
        limits: hooks.host()?.find(id)?.transport?.limits?.() ?? [],
        language,
      });
    },
  };
}
