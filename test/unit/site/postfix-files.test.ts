import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parsePostconf,
  putParameter,
  rawParameter,
  removeParameter,
  setParameter,
} from "../../../src/site/main-cf.ts";
import {
  findService,
  parseMaster,
  putService,
  removeService,
  withSetting,
} from "../../../src/site/master-cf.ts";
import {
  observedOf,
  routeFor,
  routesOf,
  scopesOf,
  withObserved,
  withoutScope,
  withRoute,
} from "../../../src/site/transport-table.ts";
import { formatUndo, parseUndo } from "../../../src/site/undo-file.ts";

const MAIN = `# first
a = 1
b = x,
    # inside

    y
# after
c=
a = 2`;

test("setParameter() and removeParameter() change one definition, the last, and no other byte", () => {
  assert.equal(rawParameter(MAIN, "b"), "b = x,\n    # inside\n\n    y\n");
  assert.equal(rawParameter(MAIN, "a"), "a = 2");
  assert.equal(setParameter(MAIN, "b", "z"), MAIN.replace(/b = x,[\s\S]*? {4}y\n/u, "b = z\n"));
  assert.equal(setParameter(MAIN, "a", "3"), MAIN.replace("a = 2", "a = 3"));
  assert.equal(setParameter(MAIN, "c", ""), MAIN.replace("c=", "c ="));
  assert.equal(removeParameter(MAIN, "none"), MAIN);
  assert.equal(setParameter("", "a", "1"), "a = 1\n");
});

test("parameters that were added and taken away in any order leave the file as it was, with and without its last line break", () => {
  for (const text of [MAIN, `${MAIN}\n`, "", "# only a comment\n"]) {
    const more = setParameter(setParameter(text, "x", "1"), "y", "2");
    assert.equal(removeParameter(removeParameter(more, "x"), "y"), text);
    assert.equal(removeParameter(removeParameter(more, "y"), "x"), text);
    const raw = rawParameter(text, "a");
    if (raw === undefined) continue;
    const changed = setParameter(setParameter(text, "a", "9"), "x", "1");
    assert.equal(putParameter(removeParameter(changed, "x"), "a", raw), text);
    assert.equal(removeParameter(putParameter(changed, "a", raw), "x"), text);
  }
});

test("parsePostconf() reads empty values and values with equals signs", () => {
  assert.deepEqual(
    [...parsePostconf("a = \nb = x = y\nc =\nwarning: no\n")],
    [
      ["a", ""],
      ["b", "x = y"],
      ["c", ""],
    ],
  );
});

const MASTER = `smtp inet n - y - - smtpd
# a comment
submission inet n - - - - smtpd
    -o a=1 -o { b = 2, c }
#   -o off=1
    -o { d = { unix:x, e=f }, g }
short line
pipe unix - n n - - pipe flags=R argv=/bin/x -o not`;

test("parseMaster() reads columns and settings, braces inside of braces too", () => {
  const [smtp, submission, pipe] = parseMaster(MASTER);
  assert.deepEqual([smtp?.chroot, submission?.chroot, pipe?.command], ["y", "-", "pipe"]);
  assert.deepEqual(
    [...(submission?.settings ?? [])],
    [
      ["a", "1"],
      ["b", "2, c"],
      ["d", "{ unix:x, e=f }, g"],
    ],
  );
  assert.equal(findService(MASTER, "submission", "unix"), undefined);
});

test("services that were added, changed and taken away leave the file as it was", () => {
  for (const text of [MASTER, `${MASTER}\n`]) {
    const more = putService(text, "mairust", "unix", withSetting("mairust unix - - n - - lmtp\n", "a=b"));
    assert.equal(findService(more, "mairust", "unix")?.settings.get("a"), "b");
    assert.equal(removeService(more, "mairust", "unix"), text);
    const at = findService(text, "smtp", "inet");
    const raw = text.slice(at?.start, at?.end);
    assert.equal(
      putService(putService(text, "smtp", "inet", withSetting(raw, "a=b")), "smtp", "inet", raw),
      text,
    );
  }
});

test("the sidecar's table keeps lines of others, one per target, and says who is only observed", () => {
  const own = "# mine\nold.test smtp:[x]\n\n";
  const table = withObserved(withRoute(own, "a.test", "mairust:unix:s"), "b.test");
  assert.equal(table, `${own}a.test mairust:unix:s\n#observe b.test\n`);
  assert.equal(withRoute(table, "a.test", "mairust:unix:s"), table);
  assert.deepEqual(scopesOf(table), ["old.test", "a.test", "b.test"]);
  assert.deepEqual(observedOf(withRoute(table, "b.test", "x:")), []);
  assert.equal(routesOf(withRoute(table, "a.test", "mairust:inet:x")).length, 2);
  assert.equal(withoutScope(withoutScope(table, "a.test"), "b.test"), own);
  assert.equal(routeFor(table, "ann@a.test")?.key, "a.test");
  assert.equal(routeFor(withRoute(table, "ann@a.test", "x:"), "ann@a.test")?.value, "x:");
  assert.equal(routeFor(table, "ann@b.test"), undefined);
});

test("an undo file keeps values for the scripts of postfix/, and every byte besides", () => {
  const record = {
    parameters: new Map([
      ["a", { value: "1 2", raw: "a = 1\n    # x\n\n  2\n" }],
      ["b", { value: "" }],
    ]),
    services: new Map([["submission/inet", "submission inet\n  -o a=b\n"]]),
  };
  const text = formatUndo(record);
  assert.match(text, /^a = 1 2$/mu);
  assert.deepEqual(parseUndo(text), record);
  assert.deepEqual(parseUndo("a = 1\n").parameters, new Map([["a", { value: "1" }]]), "a script's");
});
