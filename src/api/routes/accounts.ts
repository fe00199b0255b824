/** `/api/v1/accounts`, their aliases and mailboxes. */
import type { NewPassword } from "../../core/admin-ports.ts";
import { MairustError } from "../../core/errors.ts";
import * as accounts from "../../services/accounts.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { type PasswordBody, accountRoutes as routes } from "../../wire/api/accounts.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { accountBodyOf, aliasBodyOf, listBodyOf, mailboxBodyOf } from "../bodies.ts";
import { createdCode, sendPage } from "./paging.ts";

const BASE = "/api/v1/accounts";
const ONE = `${BASE}/:address`;

export function accountRoutesOf(app: App, ports: ServicePorts): void {
  app.get(BASE, { schema: routes.list }, async (request, reply) => {
    const { domain, ...page } = request.query;
    return sendPage(request, reply, await accounts.listAccounts(ports, domain, page), accountBodyOf);
  });
  app.get(ONE, { schema: routes.get }, async request =>
    accountBodyOf(await accounts.getAccount(ports, request.params.address)),
  );
  app.post(BASE, { schema: routes.add }, async (request, reply) => {
    const { address, quota_bytes: quota } = request.body;
    const password = passwordOf(request.body);
    reply.code(createdCode(request.query.dry_run));
    return accountBodyOf(
      await accounts.addAccount(
        ports,
        { address, quotaBytes: quota ?? undefined, ...(password === undefined ? {} : { password }) },
        changeBy(request),
      ),
    );
  });
  app.patch(ONE, { schema: routes.change }, async request => {
    const quota = request.body.quota_bytes ?? undefined;
    return accountBodyOf(await accounts.setQuota(ports, request.params.address, quota, changeBy(request)));
  });
  passwordRoutesOf(app, ports);
  app.delete(ONE, { schema: routes.remove }, async request => {
    return accountBodyOf(await accounts.removeAccount(ports, request.params.address, changeBy(request)));
  });
  aliasRoutesOf(app, ports);
  app.get(`${ONE}/mailboxes`, { schema: routes.listMailboxes }, async request =>
    listBodyOf(await accounts.listMailboxes(ports, request.params.address), mailboxBodyOf),
  );
}

/** @throws {MairustError} `invalid_argument`: both are there */
function passwordOf({ password, hash }: PasswordBody): NewPassword | undefined {
  if (password !== undefined && hash !== undefined) {
    const text = "give password or hash, not both";
    throw new MairustError("invalid_argument", `Cannot take a password: ${text}`, { publicText: text });
  }
  if (hash !== undefined) return { kind: "hash", hash };
  return password === undefined ? undefined : { kind: "password", password };
}

function passwordRoutesOf(app: App, ports: ServicePorts): void {
  app.put(`${ONE}/password`, { schema: routes.setPassword }, async request => {
    const given = passwordOf(request.body) ?? { kind: "none" as const };
    return accountBodyOf(await accounts.setPassword(ports, request.params.address, given, changeBy(request)));
  });
  app.delete(`${ONE}/password`, { schema: routes.clearPassword }, async request => {
    const none = { kind: "none" } as const;
    return accountBodyOf(await accounts.setPassword(ports, request.params.address, none, changeBy(request)));
  });
}

function aliasRoutesOf(app: App, ports: ServicePorts): void {
  app.get(`${ONE}/aliases`, { schema: routes.listAliases }, async request =>
    listBodyOf(await accounts.listAliases(ports, request.params.address), aliasBodyOf),
  );
  app.post(`${ONE}/aliases`, { schema: routes.addAlias }, async (request, reply) => {
    reply.code(createdCode(request.query.dry_run));
    const { address } = request.params;
    return aliasBodyOf(await accounts.addAlias(ports, address, request.body.address, changeBy(request)));
  });
  app.delete(`${ONE}/aliases/:alias`, { schema: routes.removeAlias }, async request => {
    const { address, alias } = request.params;
    return aliasBodyOf(await accounts.removeAlias(ports, address, alias, changeBy(request)));
  });
}
