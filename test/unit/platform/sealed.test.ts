import assert from "node:assert/strict";
import { test } from "node:test";
import { open, seal, sealingKey } from "../../../src/platform/sealed.ts";

const key = sealingKey("master", "plugin secrets");
const plain = Buffer.from("0123456789abcdef0123456789abcdef");

test("what was sealed opens again, with the same key and owner only", () => {
  const sealed = seal(key, plain, "a");
  assert.equal(sealed.length, 60);
  assert.deepEqual(Buffer.from(open(key, sealed, "a")), plain);
  assert.throws(() => open(key, sealed, "b"));
  assert.throws(() => open(sealingKey("other", "plugin secrets"), sealed, "a"));
  assert.throws(() => open(sealingKey("master", "another purpose"), sealed, "a"));
  for (const at of [0, 11, 12, 43, 44, 59]) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => open(key, changed, "a"), `octet ${at}`);
  }
  assert.throws(() => open(key, sealed.subarray(0, 20), "a"));
});

test("the same secret is sealed differently each time, and never stands in it", () => {
  const [one, two] = [seal(key, plain, "a"), seal(key, plain, "a")];
  assert.notDeepEqual(one, two);
  assert.ok(!Buffer.from(one).includes(plain.subarray(0, 8)));
});

test("a key's id is the key file's and the purpose's, and not part of the key", () => {
  assert.equal(key.id, sealingKey("master", "plugin secrets").id);
  assert.notEqual(key.id, sealingKey("other", "plugin secrets").id);
  assert.match(key.id, /^[0-9a-f]{16}$/u);
  assert.ok(!Buffer.from(key.key).toString("hex").includes(key.id));
});
