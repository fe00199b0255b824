/** Everything of this folder as the commands call it. */
import type { AuthorTools } from "../wire/author-calls.ts";
import { developPlugin } from "./dev.ts";
import { initPlugin, KINDS, LANGUAGES } from "./init.ts";
import { lintPlugin } from "./lint.ts";
import type { OpenHost } from "./plugin-process.ts";
import { recordFixture } from "./record.ts";
import { SAMPLES } from "./samples.ts";
import { testPlugin } from "./test.ts";
import { triggerPlugin } from "./trigger.ts";

/** @param openHost  how plugins are started here */
export function makeAuthorTools(openHost: OpenHost): AuthorTools {
  return {
    lint: lintPlugin,
    init: initPlugin,
    test: options => testPlugin(options, openHost),
    trigger: options => triggerPlugin(options, openHost),
    dev: options => developPlugin(options, openHost),
    record: recordFixture,
    samples: SAMPLES.map(({ name, description }) => ({ name, description })),
    languages: LANGUAGES,
    kinds: KINDS,
  };
}
