/** What all lists answer with: the page, and RFC 8288 `Link: rel="next"` when there is more. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { PageGiven } from "../../services/paging.ts";
import type { PageBody } from "../../wire/api/common.ts";
import { pageBodyOf } from "../bodies.ts";

export function sendPage<T, B>(
  request: FastifyRequest,
  reply: FastifyReply,
  page: PageGiven<T>,
  body: (item: T) => B,
): { items: B[]; next_cursor: string | null } {
  if (page.nextCursor !== undefined) {
    const url = new URL(request.url, "http://localhost");
    url.searchParams.set("cursor", page.nextCursor);
    reply.header("link", `<${url.pathname}${url.search}>; rel="next"`);
  }
  const { items, next_cursor }: PageBody<B> = pageBodyOf(page, body);
  return { items: [...items], next_cursor };
}

/** 201 for what was made, 200 for a dry run. */
export function createdCode(dryRun: boolean | undefined): 200 | 201 {
  return dryRun === true ? 200 : 201;
}
