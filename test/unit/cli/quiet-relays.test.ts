import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Client } from "../../../src/cli/client.ts";
import { quietRelays } from "../../../src/cli/quiet-relays.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";

/** What a service answers, by the last word of the path. */
type Answers = Readonly<Record<string, { readonly status: number; readonly body: object }>>;

const PROBLEM = { type: "about:blank", title: "no", status: 404, code: "not_found", trace_id: "t" };
const GOES_ON = { status: 200, body: {} };

async function rig(t: TestContext, answers: Answers | undefined) {
  const scratch = await makeScratch();
  const socket = join(scratch.dir, "api.sock");
  const done: string[] = [];
  const said: string[] = [];
  const server = createServer((request, response) => {
    const word = request.url?.split("/").at(-1) ?? "";
    done.push(word);
    const { status, body } = answers?.[word] ?? { status: 404, body: PROBLEM };
    request.resume();
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  if (answers !== undefined) await new Promise<void>(resolve => server.listen(socket, resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
    await scratch.remove();
  });
  let clock = 0;
  const quietly = quietRelays(
    new Client(socket),
    text => said.push(text),
    () => clock,
  );
  const pass = (ms: number) => {
    clock += ms;
  };
  const work = () => {
    done.push("work");
    return Promise.resolve("its result");
  };
  return { done, said, quietly, work, pass };
}

test("what is done quietly is done between a pause and its end, also when it fails", async t => {
  const { done, said, quietly, work } = await rig(t, {
    pause: { status: 200, body: { quiet: true } },
    resume: GOES_ON,
  });
  assert.equal(await quietly(work), "its result");
  await assert.rejects(
    quietly(() => Promise.reject(new Error("refused"))),
    /refused/u,
  );
  assert.deepEqual([done, said], [["pause", "work", "resume", "pause", "resume"], []]);
});

test("a service that is not there relays nothing", async t => {
  const { done, said, quietly, work } = await rig(t, undefined);
  assert.equal(await quietly(work), "its result");
  assert.deepEqual([done, said], [["work"], []]);
});

test("what cannot be paused, or does not become quiet, is told, and the work is done", async t => {
  for (const [answers, steps] of [
    [{}, ["pause", "work"]],
    [{ pause: { status: 200, body: { quiet: false } }, resume: GOES_ON }, ["pause", "work", "resume"]],
  ] as const) {
    const { done, said, quietly, work } = await rig(t, answers);
    await quietly(work);
    assert.deepEqual(done, steps);
    assert.match(said.join(""), /twice/u);
  }
});

test("a reload that took longer than the pause is told", async t => {
  const answers = { pause: { status: 200, body: { quiet: true } }, resume: GOES_ON };
  const { said, quietly, pass } = await rig(t, answers);
  await quietly(async () => pass(14_000));
  assert.deepEqual(said, []);
  await quietly(async () => pass(16_000));
  assert.match(said.join(""), /longer than relays are held/u);
});
