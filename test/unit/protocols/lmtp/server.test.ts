import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import defaultTls from "smtp-server/lib/tls-options";
import { deadlineAfter } from "../../../../src/platform/deadline.ts";
import { DEFAULT_LIMITS } from "../../../../src/protocols/lmtp/limits.ts";
import { gate, Harness, MESSAGE_ID, Peer, START, startData } from "./harness.ts";

test("the greeting comes at once and not after the library's 100 ms", () =>
  Harness.with({}, async harness => {
    let fastest = Number.POSITIVE_INFINITY;
    // One is enough: the library would never be that fast.
    for (let i = 0; i < 50 && fastest >= 90; i += 1) {
      const startedAt = performance.now();
      const peer = await harness.dial();
      await peer.line();
      fastest = Math.min(fastest, performance.now() - startedAt);
    }
    assert.ok(fastest < 90, `fastest greeting took ${fastest} ms`);
  }));

test("a message is stored byte for byte", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    await startData(peer);
    const bytes = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join("");
    const message = `Subject: x\r\n\r\n${bytes}\r\n.dot\r\n..\r\nb\n..c\rd\r\n`;
    const [reply] = await peer.ask(`${message.replace(/\r\n\./gu, "\r\n..")}.\r\n`);
    assert.equal(reply, `250 2.0.0 stored id=${MESSAGE_ID}`);
    assert.equal(harness.intake.taken[0]?.content, message);
    assert.deepEqual(harness.results, ["stored"]);
  }));

test("the envelope carries what the peer said", () =>
  Harness.with({ dsn: true }, async harness => {
    const peer = await harness.greet();
    await peer.ask(
      "XFORWARD NAME=client.example ADDR=IPV6:2001:db8::1 PORT=4711\r\n" +
        "XFORWARD PROTO=ESMTP HELO=mail.client.example IDENT=4Abc123 SOURCE=REMOTE\r\n" +
        "MAIL FROM:<s@example.com> SIZE=123 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=QQ+2B1\r\n" +
        'RCPT TO:<"a b"@example.com> NOTIFY=success,DELAY ORCPT=rfc822;o+2Bx@example.com\r\n' +
        "RCPT TO:<j\xc3\xbcrgen@xn--bcher-kva.example>\r\nDATA\r\n",
      6,
    );
    await peer.ask("x\r\n.\r\n", 2);
    assert.deepEqual(harness.intake.taken[0]?.envelope, {
      mailFrom: { raw: "s@example.com", local: "s", domain: "example.com" },
      recipients: [
        {
          address: { raw: '"a b"@example.com', local: "a b", domain: "example.com" },
          orcpt: "rfc822;o+x@example.com",
          notify: ["SUCCESS", "DELAY"],
        },
        {
          address: { raw: "jürgen@xn--bcher-kva.example", local: "jürgen", domain: "xn--bcher-kva.example" },
        },
      ],
      client: {
        name: "client.example",
        address: "2001:db8::1",
        port: 4711,
        proto: "ESMTP",
        helo: "mail.client.example",
        ident: "4Abc123",
        source: "REMOTE",
      },
      peer: "127.0.0.1",
      peerHelo: "client.example",
      dsn: { ret: "FULL", envid: "QQ+1" },
      declaredSizeBytes: 123,
      body8bit: true,
      smtpUtf8: true,
    });
  }));

test("XFORWARD facts end with the transaction, with RSET and with a refused DATA", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    await peer.ask(`XFORWARD IDENT=first\r\n${START}`, 4);
    await peer.ask("x\r\n.\r\n");
    await startData(peer);
    await peer.ask("x\r\n.\r\n");
    await peer.ask(`XFORWARD IDENT=third\r\nRSET\r\n${START}`, 5);
    await peer.ask("x\r\n.\r\n");
    await peer.ask("XFORWARD IDENT=fourth\r\nMAIL FROM:<>\r\nRCPT TO:<nodisk@example.com>\r\nDATA\r\n", 4);
    await startData(peer);
    await peer.ask("x\r\n.\r\n");
    const idents = harness.intake.taken.map(message => message.envelope.client.ident);
    assert.deepEqual(idents, ["first", undefined, undefined, undefined]);
  }));

test("XFORWARD is neither announced to nor taken from a peer that is not trusted", () =>
  Harness.with({ xforwardFrom: ["10.0.0.0/8"] }, async harness => {
    const peer = await harness.dial();
    await peer.read(1);
    const lhlo = await peer.ask("LHLO c\r\n", 6);
    assert.ok(!lhlo.join("\n").includes("XFORWARD"), lhlo.join("\n"));
    assert.match(lhlo[5] ?? "", /^250 /u);
    assert.deepEqual(await peer.ask("XFORWARD IDENT=forged\r\n"), ["550 5.7.0 not permitted"]);
  }));

test("two messages and QUIT in one write are answered in order", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    const one = `${START}x\r\n.\r\n`;
    const lines = await peer.ask(`${one}${one}QUIT\r\n`, 9);
    const codes = lines.map(line => line.slice(0, 3)).join(" ");
    assert.equal(codes, "250 250 354 250 250 250 354 250 221");
  }));

test("recipients past the limit get 452 4.5.3 and the others are delivered", () =>
  Harness.with({ limits: { recipients: 3 } }, async harness => {
    const peer = await harness.greet();
    const rcpts = "RCPT TO:<user@example.com>\r\n".repeat(5);
    const lines = await peer.ask(`MAIL FROM:<>\r\n${rcpts}DATA\r\n`, 7);
    assert.deepEqual(lines.slice(4, 6), ["452 4.5.3 too many recipients", "452 4.5.3 too many recipients"]);
    await peer.ask("x\r\n.\r\n", 3);
    assert.equal(harness.intake.taken[0]?.envelope.recipients.length, 3);
  }));

test("a command line past the limit is answered 500 and not kept", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    const long = "X".repeat(DEFAULT_LIMITS.commandLineBytes + 1);
    assert.deepEqual(await peer.ask(`${long}\r\n`), ["500 5.5.2 line too long"]);
    for (let i = 0; i < 40; i += 1) peer.send("Y".repeat(100_000));
    assert.deepEqual(await peer.ask("\r\nNOOP\r\n", 2), ["500 5.5.2 line too long", "250 2.0.0 ok"]);
  }));

test("too many syntax errors and too many unknown commands end the connection", () =>
  Harness.with({ limits: { protocolErrors: 3 } }, async harness => {
    const peer = await harness.greet();
    const lines = await peer.ask("MAIL FROM:x\r\n".repeat(4), 4);
    assert.match(lines[2] ?? "", /^501 /u);
    assert.match(lines[3] ?? "", /^421 4\.7\.0 /u);
    assert.equal(await peer.rest(), "");
    const unknown = await harness.greet();
    assert.match((await unknown.ask("WHAT\r\n".repeat(10), 10))[9] ?? "", /^421 /u);
  }));

test("connections over the cap get 421 and the others go on", () =>
  Harness.with({ connections: 2 }, async harness => {
    const peers = [await harness.greet(), await harness.greet()];
    const third = await harness.dial();
    assert.equal(await third.line(), "421 4.3.2 too many connections");
    await third.rest();
    peers[0]?.socket.end("QUIT\r\n");
    while (harness.lmtp.connections() > 1) await new Promise(resolve => setImmediate(resolve));
    await startData(await harness.greet());
  }));

test("refused connections that stay do not pile up", () =>
  Harness.with({ connections: 0, limits: { refusedSockets: 1, refusedLingerMs: 60_000 } }, async harness => {
    const first = await harness.dial(true);
    assert.equal(await first.line(), "421 4.3.2 too many connections");
    const second = await harness.dial(true);
    assert.equal(await second.line(), "", "no room to say why");
  }));

test("refused connections that stay are cut after a while", () =>
  Harness.with({ connections: 0, limits: { refusedSockets: 1, refusedLingerMs: 40 } }, async harness => {
    const first = await harness.dial(true);
    assert.equal(await first.line(), "421 4.3.2 too many connections");
    let said = "";
    for (const until = performance.now() + 20_000; said === "" && performance.now() < until; ) {
      await new Promise(resolve => setTimeout(resolve, 10));
      said = await (await harness.dial(true)).line();
    }
    assert.equal(said, "421 4.3.2 too many connections");
  }));

test("an idle connection gets 421 and is closed", () =>
  Harness.with({ limits: { idleMs: 40 } }, async harness => {
    const peer = await harness.dial();
    assert.match(await peer.line(), /^220 /u);
    assert.equal(await peer.line(), "421 4.4.2 idle for too long");
    assert.equal(await peer.rest(), "");
  }));

test("a peer that waits for us is not idle, but not for ever", () =>
  Harness.with({ limits: { idleMs: 40, busyPeriods: 3 } }, async harness => {
    const hold = gate();
    harness.intake.gate = hold.promise;
    const peer = await harness.dial();
    const startedAt = performance.now();
    // All in one write: a machine that pauses between two of them makes a silence of its own.
    peer.send(`LHLO c\r\n${START}x\r\n.\r\n`);
    let line = await peer.line();
    while (/^(?:220|250|354)[ -]/u.test(line)) line = await peer.line();
    assert.equal(line, "421 4.3.0 local error, closing");
    assert.ok(performance.now() - startedAt > 90);
    hold.open();
  }));

test("a peer that trickles its message is cut off", () =>
  Harness.with({ limits: { uploadMs: 30 } }, async harness => {
    const peer = await harness.greet();
    await startData(peer);
    const timer = setInterval(() => peer.socket.writable && peer.send("x"), 10);
    const reply = await peer.line();
    clearInterval(timer);
    assert.equal(reply, "421 4.4.2 message took too long");
    await once(peer.socket, "close");
    while (harness.intake.aborted.length === 0) await new Promise(resolve => setImmediate(resolve));
  }));

test("draining finishes running transactions, closes idle connections and refuses new ones", () =>
  Harness.with({}, async harness => {
    const idle = await harness.greet();
    const running = await harness.greet();
    await startData(running);
    const deadline = deadlineAfter(60_000);
    const drained = harness.lmtp.drain(deadline);
    assert.equal(await idle.line(), "421 4.3.2 service is stopping");
    const late = await harness.dial();
    assert.equal(await late.line(), "421 4.3.2 service is stopping");
    assert.match((await running.ask("x\r\n.\r\n"))[0] ?? "", /^250 2\.0\.0 stored/u);
    assert.equal(await running.line(), "421 4.3.2 service is stopping");
    for (const peer of [idle, running, late]) peer.socket.end();
    await drained;
    deadline.dispose();
    assert.equal(harness.lmtp.connections(), 0);
  }));

test("draining does not wait for a peer that is between MAIL and DATA, whatever it pipelined", () =>
  Harness.with({}, async harness => {
    const hold = gate();
    const between = await harness.greet();
    await between.ask("MAIL FROM:<a@example.com>\r\nRCPT TO:<user@example.com>\r\n", 2);
    const checking = await harness.greet();
    await checking.ask("MAIL FROM:<a@example.com>\r\nRCPT TO:<user@example.com>\r\n", 2);
    harness.intake.rcptGate = hold.promise;
    checking.send("RCPT TO:<user@example.com>\r\nRCPT TO:<nobody@example.com>\r\nDATA\r\nx\r\n.\r\n");
    while (harness.intake.checks < 3) await new Promise(resolve => setImmediate(resolve));
    const startedAt = performance.now();
    const deadline = deadlineAfter(60_000);
    const drained = harness.lmtp.drain(deadline);
    for (const peer of [between, checking]) {
      assert.equal(await peer.line(), "421 4.3.2 service is stopping");
      assert.equal(await peer.rest(), "");
    }
    hold.open();
    await drained;
    deadline.dispose();
    assert.ok(performance.now() - startedAt < 30_000, "it waited for its deadline");
    assert.equal(harness.intake.opened, 0, "nothing is begun after the 421");
  }));

test("a recipient check that does not come back is answered 451, and the next command goes on", () =>
  Harness.with({ limits: { recipientCheckMs: 30 } }, async harness => {
    const hold = gate();
    harness.intake.rcptGate = hold.promise;
    const peer = await harness.greet();
    const [, reply] = await peer.ask("MAIL FROM:<>\r\nRCPT TO:<user@example.com>\r\n", 2);
    assert.equal(reply, "451 4.3.0 not finished in time");
    harness.intake.rcptGate = undefined;
    assert.deepEqual(await peer.ask("RCPT TO:<user@example.com>\r\n"), ["250 2.1.5 ok"]);
    hold.open();
    await peer.ask("DATA\r\n");
    assert.deepEqual(await peer.ask("x\r\n.\r\nNOOP\r\n", 2), [
      `250 2.0.0 stored id=${MESSAGE_ID}`,
      "250 2.0.0 ok",
    ]);
    assert.equal(harness.intake.taken[0]?.envelope.recipients.length, 1, "the late answer counts no more");
  }));

test("a queue id that only the message tells is in the log line of its failure", () =>
  Harness.with({}, async harness => {
    harness.intake.receivedQueueId = "4Received";
    harness.intake.outcomes = () => Promise.reject(new Error("broken contract"));
    const peer = await harness.greet();
    await startData(peer);
    assert.match((await peer.ask("x\r\n.\r\n"))[0] ?? "", /^451 /u);
    const failed = harness.logged.find(line => line.event === "lmtp.failed");
    assert.equal(failed?.fields?.queue_id, "4Received");
  }));

test("drain() ends with its deadline when a peer does not", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    await startData(peer);
    await harness.lmtp.drain(deadlineAfter(30));
    assert.equal(harness.lmtp.connections(), 1);
    await harness.lmtp.close();
    assert.equal(harness.lmtp.connections(), 0);
    assert.equal(harness.intake.aborted.length, 1);
  }));

test("a recipient check that says the service is stopping ends the connection with 421", () =>
  Harness.with({}, async harness => {
    const peer = await harness.greet();
    const lines = await peer.ask("MAIL FROM:<>\r\nRCPT TO:<leaving@example.com>\r\nDATA\r\n", 2);
    assert.match(lines[1] ?? "", /^421 4\.3\.2 /u);
    assert.equal(await peer.rest(), "");
  }));

test("peers on a UNIX socket are trusted and named unix", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mairust-lmtp-"));
  try {
    await Harness.with(
      { xforwardFrom: [] },
      async harness => {
        const peer = await harness.greet();
        await peer.ask(`XFORWARD IDENT=4Q\r\n${START}x\r\n.\r\n`, 5);
        assert.equal(harness.intake.taken[0]?.envelope.peer, "unix");
        assert.equal(harness.intake.taken[0]?.envelope.client.ident, "4Q");
      },
      join(folder, "lmtp.sock"),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("STARTTLS forgets what was said in the clear and drops what was pipelined behind it", () => {
  const { key, cert } = defaultTls();
  return Harness.with({ tls: { key: String(key), cert: String(cert) } }, async harness => {
    const plain = await harness.greet();
    await plain.ask("XFORWARD IDENT=clear\r\nMAIL FROM:<clear@example.com>\r\n", 2);
    assert.deepEqual(await plain.ask("STARTTLS\r\nRCPT TO:<injected@example.com>\r\nDATA\r\n"), [
      "220 2.0.0 Ready to start TLS",
    ]);
    plain.socket.removeAllListeners("data");
    const secure = connectTls({ socket: plain.socket, rejectUnauthorized: false });
    await once(secure, "secureConnect");
    const peer = new Peer(secure);
    // Not "503 a transaction is open": the one from before is forgotten.
    assert.deepEqual(await peer.ask("XFORWARD SOURCE=LOCAL\r\n"), ["250 2.0.0 ok"]);
    assert.deepEqual(await peer.ask("MAIL FROM:<a@example.com>\r\n"), ["503 5.5.1 send LHLO first"]);
    const lhlo = await peer.ask("LHLO c\r\n", 7);
    assert.ok(!lhlo.join().includes("STARTTLS"), "announced twice");
    await peer.ask(`${START}x\r\n.\r\n`, 4);
    assert.deepEqual(harness.intake.taken[0]?.envelope.client, {});
    assert.equal(harness.intake.taken[0]?.envelope.mailFrom.raw, "a@example.com");
    secure.destroy();
  });
});
