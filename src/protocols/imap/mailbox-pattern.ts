/**
 * LIST patterns: `*` matches anything, `%` anything up to the separator. Pure, and linear in pattern × name whatever the
 * pattern (no regular expression). Source: RFC 3501 §6.3.8.
 */
const SEPARATOR = "/";

/** @param pattern, name  Unicode; a leading INBOX compares in any case */
export function matchesPattern(pattern: string, name: string): boolean {
  const wanted = pattern.replace(/^inbox(?=\/|$|[%*])/iu, "INBOX");
  // reachable[i]: the pattern read so far can end at name position i.
  let reachable = new Uint8Array(name.length + 1);
  reachable[0] = 1;
  for (const char of wanted) {
    reachable =
      char === "*" || char === "%" ? spread(reachable, name, char === "%") : step(reachable, name, char);
  }
  return reachable[name.length] === 1;
}

function spread(from: Uint8Array, name: string, stopAtSeparator: boolean): Uint8Array<ArrayBuffer> {
  const to = new Uint8Array(from.length);
  let open = false;
  for (let i = 0; i < from.length; i += 1) {
    if (stopAtSeparator && i > 0 && name[i - 1] === SEPARATOR) open = false;
    if (from[i] === 1) open = true;
    if (open) to[i] = 1;
  }
  return to;
}

function step(from: Uint8Array, name: string, char: string): Uint8Array<ArrayBuffer> {
  const to = new Uint8Array(from.length);
  for (let i = 0; i + char.length < from.length; i += 1) {
    if (from[i] === 1 && name.startsWith(char, i)) to[i + char.length] = 1;
  }
  return to;
}
