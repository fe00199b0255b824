import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_HEAD_BYTES, readConnect } from "../../../../src/runtimes/egress/connect-request.ts";
import { destinationText } from "../../../../src/runtimes/egress/destination.ts";
import { Refusal } from "../../../../src/runtimes/egress/refusal.ts";

const read = (text: string) => readConnect(Buffer.from(text, "latin1"));
const refused = (text: string) => {
  try {
    read(text);
  } catch (error) {
    if (error instanceof Refusal) return error.reason;
  }
  return undefined;
};

test("a CONNECT is read, and what follows is the tunnel's", () => {
  const head = "CONNECT Api.Example.com:443 HTTP/1.1\r\nHost: other.example\r\nUser-Agent: x\r\n\r\n";
  const request = read(`${head}early`) ?? assert.fail();
  assert.equal(destinationText(request.asked), "api.example.com:443");
  assert.equal(request.length, head.length);
});

test("every shorter piece of a head asks for more", () => {
  const head = "CONNECT a.example:443 HTTP/1.0\r\n\r\n";
  for (let i = 0; i < head.length; i++) assert.equal(read(head.slice(0, i)), undefined);
});

test("a head without end is refused", () => {
  assert.equal(
    refused(`CONNECT a.example:443 HTTP/1.1\r\nX: ${"x".repeat(MAX_HEAD_BYTES)}`),
    "head_too_large",
  );
  assert.equal(refused(`${"\n".repeat(MAX_HEAD_BYTES)}`), "head_too_large");
});

for (const [line, reason] of [
  ["GET http://a.example/ HTTP/1.1", "not_connect"],
  ["POST /x HTTP/1.1", "not_connect"],
  ["OPTIONS * HTTP/1.1", "not_connect"],
  ["connect a.example:443 HTTP/1.1", "not_connect"],
  ["CONNECT a.example HTTP/1.1", "bad_request"],
  ["CONNECT http://a.example:443 HTTP/1.1", "bad_request"],
  ["CONNECT a.example:443", "bad_request"],
  ["CONNECT  a.example:443 HTTP/1.1", "bad_request"],
  ["CONNECT a.example:443 HTTP/2", "bad_request"],
  ["CONNECT a.example:443 HTTP/1.1\nX: y", "bad_request"],
  [" CONNECT a.example:443 HTTP/1.1", "bad_request"],
  ["\x16\x03\x01\x02\x00", "bad_request"],
  ["", "bad_request"],
] as const)
  test(`${JSON.stringify(line)} is ${reason}`, () => assert.equal(refused(`${line}\r\n\r\n`), reason));
