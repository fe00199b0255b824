import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_HELLO_BYTES, readClientHello } from "../../../../src/runtimes/egress/client-hello.ts";
import { extension, handshake, realHello, records, serverName } from "../../../lib/client-hello.ts";

const named = (name: string | undefined, hidden = false) =>
  ({ kind: "hello", serverName: name, hidden }) as const;

test("the name of a real hello is read, whatever else it offers", async () => {
  assert.deepEqual(readClientHello(await realHello("API.Example.com")), named("api.example.com"));
  const offering = await realHello("api.example.com", { ALPNProtocols: ["h2", "http/1.1"] });
  assert.deepEqual(readClientHello(offering), named("api.example.com"));
  assert.deepEqual(readClientHello(await realHello("")), named(undefined));
});

test("every shorter piece of a hello asks for more, and nothing is read past its end", async () => {
  const hello = await realHello("api.example.com");
  for (let i = 0; i < hello.length; i++)
    assert.deepEqual(readClientHello(hello.subarray(0, i)), { kind: "incomplete" }, `${i}`);
  assert.deepEqual(
    readClientHello(Buffer.concat([hello, Buffer.from("GET / HTTP/1.1")])),
    named("api.example.com"),
  );
});

test("a hello cut into records anywhere is the same", () => {
  const message = handshake([serverName("api.example.com")]);
  for (let i = 1; i < message.length; i++)
    assert.deepEqual(readClientHello(records(message, i)), named("api.example.com"));
  const bytewise = records(message, ...Array<number>(message.length).fill(1));
  assert.deepEqual(readClientHello(bytewise), named("api.example.com"));
});

test("an encrypted hello is seen", () => {
  const hello = handshake([serverName("api.example.com"), extension(0xfe0d, Buffer.alloc(8))]);
  assert.deepEqual(readClientHello(records(hello)), named("api.example.com", true));
});

for (const [what, bytes] of [
  ["plain http", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["ssh", Buffer.from("SSH-2.0-x\r\n")],
  ["SSL 2", Buffer.from([0x80, 0x2e, 1, 3, 1])],
  ["another handshake message", records(handshake([], 2))],
  ["an alert", Buffer.from([21, 3, 3, 0, 2, 2, 0])],
  ["a record of another version", Buffer.from([22, 2, 0, 0, 5])],
  ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
  ["a record that is too long", Buffer.from([22, 3, 1, 0xff, 0xff])],
  ["a message that is too long", Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff])],
  ["two names", records(handshake([serverName("a.example", "b.example")]))],
  ["the name twice", records(handshake([serverName("a.example"), serverName("b.example")]))],
  ["a name with a NUL", records(handshake([serverName("a.example\0.b.example")]))],
  ["an empty name", records(handshake([serverName("")]))],
  [
    "a name list that is longer than its extension",
    records(handshake([extension(0, Buffer.from([0, 9, 0, 0, 1, 97]))])),
  ],
  [
    "extensions that are longer than the hello",
    records(Buffer.concat([handshake([]).subarray(0, -2), Buffer.from([0xff, 0xff])])),
  ],
] as const)
  test(`${what} is no hello`, () => assert.deepEqual(readClientHello(bytes), { kind: "not_tls" }));

test("bytes without end are not waited for for ever", () => {
  const endless = Buffer.concat(Array.from({ length: 8000 }, () => Buffer.from([22, 3, 1, 0, 1, 1])));
  const result = readClientHello(endless.subarray(0, 2 * MAX_HELLO_BYTES + 6));
  assert.deepEqual(result, { kind: "not_tls" });
});

test("any byte changed gives an answer and never throws", async () => {
  const hello = await realHello("api.example.com");
  for (let i = 0; i < hello.length; i++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const wrong = Buffer.from(hello);
      wrong[i] = value;
      assert.ok(["hello", "not_tls", "incomplete"].includes(readClientHello(wrong).kind));
    }
  }
});
