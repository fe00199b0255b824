/** `plugin trigger`: one call with one message, and all there is to know of it. */
import { MairustError } from "../core/errors.ts";
import type { TriggerOptions, TriggerReport } from "../wire/author-calls.ts";
import { mailBytes, TRIAL_ENVELOPE, type Trial } from "./message-facts.ts";
import { type OpenHost, type PluginProcess, withPlugin } from "./plugin-process.ts";
import { readProject } from "./project.ts";
import { findSample, SAMPLES } from "./samples.ts";

type Asked = Pick<TriggerOptions, "message" | "point" | "mailFrom" | "recipients">;

/** @throws {MairustError} the project cannot be read or started; `not_found`: the sample; `plugin_validation`: the point */
export async function triggerPlugin(options: TriggerOptions, openHost: OpenHost): Promise<TriggerReport> {
  const project = await readProject(options.folder);
  return withPlugin(project, openHost(options.bare), running => tryMessage(running, options));
}

export async function tryMessage(running: PluginProcess, asked: Asked): Promise<TriggerReport> {
  const { manifest } = running.project;
  const point = asked.point ?? manifest.hooks?.on[0];
  const trial = trialOf(asked, point === "pre_send" ? "outbound" : "inbound");
  const call = await running.call(trial, { point });
  return {
    ...call,
    plugin: `${manifest.id} ${manifest.version}`,
    message: `${asked.message.kind} ${asked.message.name}`,
    notes: running.notes,
  };
}

function trialOf({ message, mailFrom, recipients }: Asked, direction: Trial["direction"]): Trial {
  if (message.kind === "file") {
    const envelope = {
      ...TRIAL_ENVELOPE,
      mailFrom: mailFrom ?? TRIAL_ENVELOPE.mailFrom,
      recipients: recipients.length > 0 ? recipients : TRIAL_ENVELOPE.recipients,
    };
    return { bytes: mailBytes(message.bytes), direction, tags: [], envelope };
  }
  const sample = findSample(message.name);
  if (sample === undefined) {
    const names = SAMPLES.map(({ name }) => name).join(", ");
    throw new MairustError("not_found", `Cannot find sample "${message.name}": there are ${names}`);
  }
  const envelope = {
    ...TRIAL_ENVELOPE,
    mailFrom: mailFrom ?? sample.mailFrom,
    recipients: recipients.length > 0 ? recipients : sample.recipients,
  };
  return { bytes: sample.bytes, direction, tags: [], envelope };
}
