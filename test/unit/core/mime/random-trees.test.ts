import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findPart, packStructure, unpackStructure } from "../../../../src/core/mime/packed.ts";
import { madeMessage } from "../../../lib/mime-tree.ts";
import { readImap } from "./imap-reader.ts";
import { octets, scan } from "./support.ts";

test("any well-formed tree is found as it was made: numbers, types, header and body octets of each part", () => {
  fc.assert(
    fc.property(madeMessage, fc.integer({ min: 1, max: 200 }), ({ text, parts }, chunk) => {
      const bytes = octets(text);
      const packed = packStructure(scan(bytes, chunk));
      const found = unpackStructure(packed).parts;
      const cut = (from: number, to: number) => bytes.subarray(from, to).toString("latin1");
      assert.deepEqual(
        found.map(part => ({
          path: part.path,
          type: part.mediaType,
          header: cut(part.headerStart, part.bodyStart),
          body: cut(part.bodyStart, part.bodyEnd),
        })),
        parts,
      );
      for (const { path, header, body } of parts) {
        if (path === undefined) continue;
        const section = (name: "body" | "mime") => {
          const range = findPart(packed, path, name);
          return range === undefined ? undefined : cut(range.start, range.end);
        };
        assert.equal(section("body"), body);
        assert.equal(section("mime"), header);
      }
    }),
    { numRuns: 500 },
  );
});

test("BODYSTRUCTURE of any well-formed tree names the same parts with the same sizes", () => {
  fc.assert(
    fc.property(madeMessage, ({ text, parts }) => {
      const { bodyStructure } = unpackStructure(packStructure(scan(octets(text))));
      const said: string[] = [];
      const walk = (value: unknown): void => {
        if (!Array.isArray(value)) return;
        if (Array.isArray(value[0])) {
          said.push(`multipart/${value.find(each => typeof each === "string")}`);
          for (const child of value)
            if (Array.isArray(child) && (Array.isArray(child[0]) || typeof child[6] === "number"))
              walk(child);
        } else {
          said.push(`${value[0]}/${value[1]} ${value[6]}`);
          if (value[0] === "message") walk(value[8]);
        }
      };
      walk(readImap(bodyStructure));
      assert.deepEqual(
        said,
        parts.map(({ type, body }) => (type.startsWith("multipart/") ? type : `${type} ${body.length}`)),
      );
    }),
    { numRuns: 300 },
  );
});
