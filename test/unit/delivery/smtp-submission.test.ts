import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { MairustError } from "../../../src/core/errors.ts";
import { DotStuffer, type SmtpMessage, submitBySmtp } from "../../../src/delivery/smtp-submission.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";

/** Says its replies one after the other, one for each line that comes; after DATA one for the final dot. Past the last it hangs up. */
async function scripted(t: TestContext, replies: readonly string[], onNoReply?: () => void) {
  const lines: string[] = [];
  const server = createServer((socket: Socket) => {
    const left = [...replies];
    let text = "";
    let inData = false;
    const say = () => {
      const reply = left.shift();
      if (reply === undefined) {
        if (onNoReply === undefined) socket.destroy();
        else onNoReply();
        return;
      }
      inData = reply.startsWith("354");
      socket.write(`${reply}\r\n`);
    };
    socket.on("error", () => undefined);
    socket.on("data", chunk => {
      text += chunk.toString("latin1");
      for (let at = text.indexOf("\r\n"); at >= 0; at = text.indexOf("\r\n")) {
        const line = text.slice(0, at);
        text = text.slice(at + 2);
        lines.push(line);
        if (!inData || line === ".") say();
      }
    });
    say();
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = server.address();
  return {
    lines,
    server: `inet:127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
  };
}

async function* bytes(...chunks: readonly string[]): AsyncIterable<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk, "latin1");
}

const messageTo = (...to: readonly string[]): SmtpMessage => ({
  mailFrom: "a@example.org",
  recipients: to.map(address => ({ address: parseMailAddress(address) })),
  top: "X-Top: 1\r\n",
  content: bytes("Subject: x\r\n\r\n.", "dot\r\nlast"),
});

async function submit(server: string, message: SmtpMessage) {
  const deadline = deadlineAfter(10_000);
  try {
    return await submitBySmtp({ server, hostname: "mail.example.test" }, message, deadline);
  } finally {
    deadline.dispose();
  }
}

const stuff = (...chunks: readonly string[]) => {
  const stuffer = new DotStuffer();
  const out = chunks.map(chunk => stuffer.chunk(Buffer.from(chunk, "latin1")));
  return Buffer.concat([...out, stuffer.end()]).toString("latin1");
};

test("dots at line starts are doubled however the bytes are cut; a bare LF becomes a line break", () => {
  assert.equal(stuff(".a\r\n.b\r\n..\r\nc.d\r\n"), "..a\r\n..b\r\n...\r\nc.d\r\n.\r\n");
  assert.equal(stuff(".", "\r", "\n", ".", "x"), "..\r\n..x\r\n.\r\n");
  assert.equal(stuff("a\n.b\n"), "a\r\n..b\r\n.\r\n");
  assert.equal(stuff("a\rb\r\n"), "a\rb\r\n.\r\n");
  assert.equal(stuff(""), ".\r\n");
});

test("each recipient has its own reply; what the server offers is used", async t => {
  const mta = await scripted(t, [
    "220 hello",
    "250-mta\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN",
    "250 ok",
    "250 ok",
    "550 5.1.1 nobody",
    "354 go",
    "250 2.0.0 queued",
  ]);
  const message: SmtpMessage = {
    ...messageTo("ü@example.test", "b@example.test"),
    dsn: { ret: "HDRS", envid: "a+b" },
  };
  const [first, ...rest] = message.recipients;
  const replies = await submit(mta.server, {
    ...message,
    recipients: [
      {
        address: parseMailAddress(first?.address.raw ?? ""),
        orcpt: "rfc822;x=y@z",
        notify: ["FAILURE", "DELAY"],
      },
      ...rest,
    ],
  });
  assert.deepEqual(replies, [
    { taken: true, text: "250 2.0.0 queued" },
    { taken: false, text: "550 5.1.1 nobody" },
  ]);
  const utf8 = Buffer.from("ü").toString("latin1");
  assert.deepEqual(mta.lines.slice(0, 10), [
    "EHLO mail.example.test",
    "MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb",
    `RCPT TO:<${utf8}@example.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x+3Dy@z`,
    "RCPT TO:<b@example.test>",
    "DATA",
    "X-Top: 1",
    "Subject: x",
    "",
    "..dot",
    "last",
  ]);
});

test("a server that offers nothing is asked for nothing; a refused sender is everybody's reply", async t => {
  const mta = await scripted(t, ["220 hello", "250 mta", "451 later"]);
  const replies = await submit(mta.server, messageTo("a@x.test", "b@x.test"));
  assert.deepEqual(replies, [
    { taken: false, text: "451 later" },
    { taken: false, text: "451 later" },
  ]);
  assert.equal(mta.lines[1], "MAIL FROM:<a@example.org>");
});

test("a connection that ends is a passing failure, and after the message's end it says that nobody knows", async t => {
  const early = await scripted(t, ["220 hello", "250 mta"]);
  await assert.rejects(submit(early.server, messageTo("a@x.test")), {
    code: "store_unavailable",
    context: { unknown: false },
  });
  const late = await scripted(t, ["220 hello", "250 mta", "250 ok", "250 ok", "354 go"]);
  await assert.rejects(submit(late.server, messageTo("a@x.test")), {
    code: "store_unavailable",
    context: { unknown: true },
    message: /it may have been taken/u,
  });
  await assert.rejects(submit("inet:127.0.0.1:1", messageTo("a@x.test")), { code: "store_unavailable" });
});

test("cut off after the message's end, nobody knows either, whatever it was cut off for", async t => {
  const cut = new AbortController();
  const content = async function* () {
    yield Buffer.from("Subject: x\r\n\r\n");
  };
  const replies = ["220 hello", "250 mta", "250 ok", "250 ok", "354 go"];
  const mta = await scripted(t, replies, () => cut.abort(new MairustError("draining", "Cannot go on: stop")));
  const message = { ...messageTo("a@x.test"), content: content() };
  await assert.rejects(
    submitBySmtp({ server: mta.server, hostname: "x.test" }, message, deadlineAfter(10_000, cut.signal)),
    { code: "store_unavailable", context: { unknown: true } },
  );
});

test("a server that does not go on to the message has not taken it, whatever it says", async t => {
  const mta = await scripted(t, ["220 hello", "250 mta", "250 ok", "250 ok", "250 ok"]);
  assert.deepEqual(await submit(mta.server, messageTo("a@x.test")), [{ taken: false, text: "250 ok" }]);
});

test("an address with a line break is no command", async t => {
  const mta = await scripted(t, ["220 hello", "250 mta", "250 ok"]);
  await assert.rejects(submit(mta.server, messageTo("a@x.test>\r\nDATA")), { code: "address_syntax" });
  assert.equal(
    mta.lines.some(line => line.startsWith("DATA")),
    false,
  );
});

test("what a server says of itself is told apart from what it says of the message", async t => {
  const broken = await scripted(t, ["554 5.3.2 not today"]);
  const refusing = await scripted(t, ["220 hi", "250 mail", "550 5.1.8 no such sender"]);
  const send = (server: string) =>
    submitBySmtp({ server, hostname: "client.test" }, messageTo("b@c.test"), deadlineAfter(10_000));
  assert.deepEqual(await send(broken.server), [{ taken: false, text: "554 5.3.2 not today", isEarly: true }]);
  assert.deepEqual(await send(refusing.server), [{ taken: false, text: "550 5.1.8 no such sender" }]);
});
