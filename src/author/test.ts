/** `plugin test`: every fixture through the real transport, permission engine and answer check, against what it expects. */
import { MairustError, messageOf } from "../core/errors.ts";
import type { FoundPlugin } from "../plugins/discovery.ts";
import type { CallReport, Difference, FixtureReport, TestOptions, TestReport } from "../wire/author-calls.ts";
import { differences } from "./compare.ts";
import { FIXTURES_FOLDER, type Fixture, readFixtures } from "./fixture.ts";
import { TRIAL_ENVELOPE, type Trial } from "./message-facts.ts";
import { type OpenHost, type PluginProcess, withPlugin } from "./plugin-process.ts";
import { readProject } from "./project.ts";
import { writeExpectation } from "./snapshot.ts";

/** @throws {MairustError} the project cannot be read; `not_found`: it has no fixtures */
export async function testPlugin(options: TestOptions, openHost: OpenHost): Promise<TestReport> {
  const project = await readProject(options.folder);
  return withPlugin(project, openHost(options.bare), running => runFixtures(running, options));
}

/** The fixtures of a plugin that runs already. */
export async function runFixtures(
  running: PluginProcess,
  { names, update }: Pick<TestOptions, "names" | "update">,
): Promise<TestReport> {
  const { folder, manifest } = running.project;
  const fixtures = await readFixtures(folder, names);
  if (fixtures.length === 0) {
    const how = `put a message into ${FIXTURES_FOLDER}/NAME.eml and what you expect into ${FIXTURES_FOLDER}/NAME.toml`;
    throw new MairustError("not_found", `Cannot test plugin "${manifest.id}": it has no fixtures; ${how}`);
  }
  const startedAt = performance.now();
  const reports: FixtureReport[] = [];
  for (const fixture of fixtures) reports.push(await runFixture(running, fixture, update));
  const count = (state: FixtureReport["state"]) => reports.filter(report => report.state === state).length;
  return {
    plugin: `${manifest.id} ${manifest.version}`,
    passed: count("passed"),
    failed: count("failed"),
    updated: count("updated"),
    ms: Math.round(performance.now() - startedAt),
    fixtures: reports,
    notes: running.notes,
  };
}

async function runFixture(running: PluginProcess, fixture: Fixture, update: boolean): Promise<FixtureReport> {
  const { name, content } = fixture;
  const startedAt = performance.now();
  const report = (state: FixtureReport["state"], found: readonly Difference[], call: CallReport | null) => ({
    name,
    state,
    ms: Math.round(performance.now() - startedAt),
    differences: found,
    call,
  });
  try {
    const call = await running.call(trialOf(fixture, running.project), {
      point: content.point,
      grants: content.grants,
      settings: content.settings,
      bccAllowed: content.bcc,
      timeoutMs: content.timeout_ms,
    });
    const found =
      content.expect === undefined ? [NOTHING_EXPECTED] : differences(content.expect, call.verdict);
    if (found.length === 0) return report("passed", [], call);
    if (!update) return report("failed", found, call);
    await writeExpectation(fixture, call.verdict);
    return report("updated", found, call);
  } catch (error) {
    // The fixture asks for what the manifest does not allow.
    if (!(error instanceof MairustError)) throw error;
    return report("failed", [{ what: "fixture", expected: "a call", got: messageOf(error) }], null);
  }
}

const NOTHING_EXPECTED: Difference = {
  what: "expect",
  expected: "a table [expect]",
  got: "none; --update writes what the plugin answers",
};

function trialOf({ message, content }: Fixture, { manifest }: FoundPlugin): Trial {
  const { envelope = {}, tags = [] } = content;
  const point = content.point ?? manifest.hooks?.on[0];
  const { client_ip: ip, client_name: name, helo } = envelope;
  const client = {
    ...(ip === undefined ? {} : { address: ip }),
    ...(name === undefined ? {} : { name }),
    ...(helo === undefined ? {} : { helo }),
  };
  return {
    bytes: message,
    direction: content.direction ?? (point === "pre_send" ? "outbound" : "inbound"),
    tags,
    envelope: {
      mailFrom: envelope.mail_from ?? TRIAL_ENVELOPE.mailFrom,
      recipients: envelope.rcpt_to ?? TRIAL_ENVELOPE.recipients,
      client: Object.keys(client).length === 0 ? TRIAL_ENVELOPE.client : client,
      tls: envelope.tls,
      authUser: envelope.auth_user,
      queueId: envelope.queue_id ?? TRIAL_ENVELOPE.queueId,
    },
  };
}
