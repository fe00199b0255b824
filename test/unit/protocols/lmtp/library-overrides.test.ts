import assert from "node:assert/strict";
import { test } from "node:test";
import { assertLibraryShape, installedLibrary } from "../../../../src/protocols/lmtp/library-overrides.ts";

test("the installed library is the one the overrides were written for", () => {
  assertLibraryShape(installedLibrary());
});

test("another version is refused", () => {
  assert.throws(() => assertLibraryShape({ ...installedLibrary(), version: "3.22.0" }), {
    code: "config_invalid",
    message: 'Cannot use library "smtp-server": version is "3.22.0", checked is "3.21.6"',
  });
});

test("a missing method and one with other arguments are refused by name", () => {
  const library = installedLibrary();
  const without = class {};
  assert.throws(
    () => assertLibraryShape({ ...library, connection: without }),
    /SMTPConnection\.init is missing/u,
  );
  const changed = Object.assign(Object.create(library.stream.prototype), { _write() {} });
  assert.throws(
    () => assertLibraryShape({ ...library, stream: { prototype: changed } }),
    /SMTPStream\._write takes 0/u,
  );
});
