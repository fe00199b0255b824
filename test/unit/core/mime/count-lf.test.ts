import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countLf } from "../../../../src/core/mime/count-lf.ts";

test("countLf() counts like a plain loop, at any alignment", () => {
  const octet = fc.constantFrom(0x0a, 0x0b, 0x09, 0x8a, 0x00, 0xff, 0x0d, 0x41);
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 300 }), fc.nat(7), fc.nat(300), (list, offset, from) => {
      const bytes = new Uint8Array(list.length + offset).subarray(offset);
      bytes.set(list);
      const start = Math.min(from, list.length);
      assert.equal(countLf(bytes, start, bytes.length), list.slice(start).filter(o => o === 0x0a).length);
    }),
  );
});
