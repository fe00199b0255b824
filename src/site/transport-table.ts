/**
 * The table that names who goes to the sidecar (`mairust-transport`, a `texthash:` of transport(5)): a line per domain or address, and
 * a comment per target that only the milter sees (stage `observe`), so that the table alone says who is set up. Pure; lines of others stay.
 */

export interface Route {
  readonly key: string;
  /** `mairust:unix:mairust/lmtp.sock` */
  readonly value: string;
}

const OBSERVED = "#observe ";

export function routesOf(text: string): readonly Route[] {
  return text.split("\n").flatMap(line => {
    const match = /^([^#\s]\S*)\s+(\S.*)$/u.exec(line);
    return match === null ? [] : [{ key: (match[1] ?? "").toLowerCase(), value: (match[2] ?? "").trim() }];
  });
}

/** Targets in stage `observe`. */
export function observedOf(text: string): readonly string[] {
  return text
    .split("\n")
    .flatMap(line => (line.startsWith(OBSERVED) ? [line.slice(OBSERVED.length).trim().toLowerCase()] : []));
}

/** All that are set up, whatever their stage. */
export function scopesOf(text: string): readonly string[] {
  return [...routesOf(text).map(route => route.key), ...observedOf(text)];
}

export function withoutScope(text: string, key: string): string {
  const lines = text.split("\n").filter(line => {
    const own = routesOf(line)[0]?.key ?? observedOf(line)[0];
    return own !== key;
  });
  return lines.join("\n");
}

export function withRoute(text: string, key: string, value: string): string {
  if (routesOf(text).some(route => route.key === key && route.value === value)) return text;
  return `${ended(withoutScope(text, key))}${key} ${value}\n`;
}

export function withObserved(text: string, key: string): string {
  if (observedOf(text).includes(key) && !routesOf(text).some(route => route.key === key)) return text;
  return `${ended(withoutScope(text, key))}${OBSERVED}${key}\n`;
}

const ended = (text: string) => (text === "" || text.endsWith("\n") ? text : `${text}\n`);

/** The route that mail for a target takes: its own line, or its domain's. */
export function routeFor(text: string, scope: string): Route | undefined {
  const routes = routesOf(text);
  const domain = scope.slice(scope.lastIndexOf("@") + 1);
  return routes.find(route => route.key === scope) ?? routes.find(route => route.key === domain);
}
