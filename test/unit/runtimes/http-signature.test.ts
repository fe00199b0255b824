import assert from "node:assert/strict";
import { test } from "node:test";
import { signatureHeaders, traceHeaders } from "../../../src/runtimes/http-signature.ts";

const SEVENS = Buffer.alloc(32, 7);
const NINES = Buffer.alloc(32, 9);

/*
 * BODY='{"api":"mairust.hook/1","call_id":"0190a000-0000-7000-8000-000000000001"}'; K=0707…07 (32 octets)
 * printf %s "1700000000.$BODY" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$K
 * printf %s "0190a000-0000-7000-8000-000000000001.1700000000.$BODY" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$K -binary | base64
 */
test("signatures are those that openssl makes", () => {
  const callId = "0190a000-0000-7000-8000-000000000001";
  const body = Buffer.from(`{"api":"mairust.hook/1","call_id":"${callId}"}`);
  const headers = signatureHeaders({ pluginId: "com.example.a", callId, body, timestamp: 1_700_000_000 }, [
    SEVENS,
  ]);
  assert.deepEqual(headers, {
    "x-mairust-timestamp": "1700000000",
    "x-mairust-plugin-id": "com.example.a",
    "x-mairust-signature": "sha256=74794972ba3986e9e7a9d24c75e28afe614334bb6ad519e59f29626051c90155",
    "webhook-id": callId,
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1,B97cceiYPrvWuJVLFtRGa9GiUgSJem5R/LF9gTMJcIc=",
  });
});

test("the example of the Standard Webhooks libraries comes out the same", () => {
  const secret = Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64");
  const body = Buffer.from('{"test": 2432232314}');
  const callId = "msg_p5jXN8AQM9LWM0D4loKWxJek";
  const headers = signatureHeaders({ pluginId: "a.b", callId, body, timestamp: 1_614_265_330 }, [secret]);
  assert.equal(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});

test("with two secrets the first one signs alone, and both sign the list", () => {
  const request = { pluginId: "a.b", callId: "x", body: Buffer.from("{}"), timestamp: 1 };
  const one = signatureHeaders(request, [SEVENS]);
  const two = signatureHeaders(request, [NINES]);
  const both = signatureHeaders(request, [SEVENS, NINES]);
  assert.equal(both["x-mairust-signature"], one["x-mairust-signature"]);
  assert.equal(both["webhook-signature"], `${one["webhook-signature"]} ${two["webhook-signature"]}`);
  assert.throws(() => signatureHeaders(request, []), /no secret to sign with/);
});

test("a traceparent is sent only when it is valid", () => {
  const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  assert.deepEqual(traceHeaders(good), { traceparent: good });
  const zeros = (digits: number) => "0".repeat(digits);
  for (const bad of [
    "",
    "x",
    good.toUpperCase(),
    `${good}\r\nx: y`,
    `00-${zeros(32)}-00f067aa0ba902b7-01`,
    `00-4bf92f3577b34da6a3ce929d0e0e4736-${zeros(16)}-01`,
  ])
    assert.deepEqual(traceHeaders(bad), {}, bad);
});
