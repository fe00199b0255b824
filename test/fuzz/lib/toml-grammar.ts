/** TOML documents by grammar around given keys, right ones and nearly right ones. */
import type { Random } from "./random.ts";

const SCALARS = [
  "1",
  "-1",
  "0x1f",
  "1e3",
  "nan",
  "inf",
  "true",
  "1979-05-27",
  "1979-05-27T07:32:00Z",
  "07:32:00",
  '"x"',
  '""',
  "'lit'",
  '"""a\nb"""',
  '"\\u00e9"',
  '"\\ud800"',
  '"\\q"',
  "99999999999999999999",
  "1_000",
  '"http://localhost:1/x"',
  '"1.2.3"',
  '"none"',
  '"unix:/a"',
  '"inet:127.0.0.1:24"',
];

function value(random: Random, keys: readonly string[], depth: number): string {
  const choice = depth <= 0 ? 0 : random.int(5);
  if (choice === 1) return `[${random.many(random.small(4), () => value(random, keys, depth - 1), ", ")}]`;
  if (choice === 2)
    return `{ ${random.many(random.small(3), () => `${key(random, keys)} = ${value(random, keys, depth - 1)}`, ", ")} }`;
  return random.pick(SCALARS);
}

function key(random: Random, keys: readonly string[]): string {
  if (random.oneIn(20))
    return random.pick(['"a b"', "''", "__proto__", "constructor.prototype", '"\\u0000"', "a.b.c", "1"]);
  return random.pick(keys);
}

export function tomlDocument(random: Random, tables: readonly string[], keys: readonly string[]): string {
  return random.many(
    1 + random.small(10),
    () => {
      if (random.oneIn(3)) return random.oneIn(4) ? `[[${random.pick(tables)}]]` : `[${random.pick(tables)}]`;
      return `${key(random, keys)} = ${value(random, keys, 3)}${random.oneIn(10) ? " # c" : ""}`;
    },
    random.oneIn(10) ? "\r\n" : "\n",
  );
}
