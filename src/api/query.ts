/** Query strings are text; the schema of a route says what is meant. Bodies are never converted. */
import type { FastifyRequest, RouteOptions } from "fastify";
import { Type } from "typebox";
import { closed } from "../wire/api/common.ts";

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, { readonly type?: unknown }>>;
}

function isObjectSchema(schema: unknown): schema is ObjectSchema {
  return typeof schema === "object" && schema !== null && "properties" in schema;
}

/** Turn `limit=20` into a number and `dry_run=true` into a boolean where the route's schema wants one; the rest is left to validation. */
export function convertQuery(request: FastifyRequest): void {
  const schema: unknown = request.routeOptions.schema?.querystring;
  const { query } = request;
  if (!isObjectSchema(schema) || typeof query !== "object" || query === null) return;
  request.query = convertValues(schema, query);
}

export function convertValues(schema: ObjectSchema, query: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, convert(schema.properties?.[name]?.type, value)]),
  );
}

function convert(type: unknown, value: unknown): unknown {
  if (typeof value !== "string") return value;
  if (type === "integer" && /^\d{1,15}$/u.test(value)) return Number(value);
  if (type === "boolean" && (value === "true" || value === "false")) return value === "true";
  return value;
}

const READS: ReadonlySet<string> = new Set(["GET", "HEAD"]);
const NOTHING = Type.Object({}, closed);

/** A change that takes no query refuses one: `dry_run=true` must never be passed over and the change made. */
export function closeQuery(route: RouteOptions): void {
  const methods = [route.method].flat();
  if (methods.every(method => READS.has(method)) || route.schema?.querystring !== undefined) return;
  route.schema = { ...route.schema, querystring: NOTHING };
}
