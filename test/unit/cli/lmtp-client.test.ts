/** The LMTP client of selftest, against a scripted peer. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { sendByLmtp } from "../../../src/cli/lmtp-client.ts";

/** Answers the greeting and each command line in turn, and the message with the last reply. @returns what it was sent */
async function withPeer<T>(
  replies: readonly string[],
  work: (spec: string) => Promise<T>,
): Promise<{ result: T; sent: string }> {
  const got = { text: "" };
  const waiting = [...replies];
  const server = createServer(socket => {
    const next = () => socket.write(`${waiting.shift() ?? "500 script is over"}\r\n`);
    next();
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      const inData = got.text.includes("DATA\r\n");
      got.text += chunk;
      if (inData ? got.text.endsWith("\r\n.\r\n") : chunk.endsWith("\r\n")) next();
    });
    socket.on("error", () => undefined);
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  try {
    return { result: await work(`inet:127.0.0.1:${port}`), sent: got.text };
  } finally {
    server.close();
  }
}

const message = {
  from: "",
  to: "taro@example.test",
  content: Buffer.from("Subject: x\r\n\r\n.dot\r\n..two\r\n"),
  timeoutMs: 20_000,
};
const GOOD = ["220 hi", "250-there\r\n250 PIPELINING", "250 ok", "250 ok", "354 go", "250 2.0.0 stored"];

test("sendByLmtp() sends one transaction, doubles dots, and gives the last reply", async () => {
  const { result, sent } = await withPeer(GOOD, spec => sendByLmtp(spec, message));
  assert.equal(result, "250 2.0.0 stored");
  assert.match(
    sent,
    /^LHLO localhost\r\nMAIL FROM:<>\r\nRCPT TO:<taro@example\.test>\r\nDATA\r\nSubject: x\r\n\r\n\.\.dot\r\n\.\.\.two\r\n\.\r\n/u,
  );
});

test("sendByLmtp() ends with 67 for an unknown recipient, 1 for another 5xx, 75 for 4xx or silence, 69 when nobody listens", async () => {
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 0,
      (error: { exitCode?: number }) => error.exitCode,
    );
  const refused = (reply: string) =>
    withPeer(["220 hi", "250 ok", "250 ok", reply], spec => codeOf(sendByLmtp(spec, message)));
  assert.equal((await refused("550 5.1.1 no such user")).result, 67);
  assert.equal((await refused("550 5.1.2 no such domain")).result, 67);
  assert.equal((await refused("554 5.7.1 refused")).result, 1);
  assert.equal((await refused("451 4.3.0 later")).result, 75);
  const silent = await withPeer([""], spec => codeOf(sendByLmtp(spec, { ...message, timeoutMs: 50 })));
  assert.notEqual(silent.result, 0);
  await assert.rejects(sendByLmtp("unix:/nonexistent/lmtp.sock", message), {
    exitCode: 69,
    message:
      /^the service is away: cannot reach \/nonexistent\/lmtp\.sock \(there is no such socket\)\. Start it/u,
  });
});
