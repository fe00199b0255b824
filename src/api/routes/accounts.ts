/** `/api/v1/accounts`, their aliases and mailboxes. */
import * as accounts from "../../services/accounts.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { accountRoutes as routes } from "../../wire/api/accounts.ts";
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
    const dryRun = request.query.dry_run === true;
    reply.code(createdCode(dryRun));
    return accountBodyOf(
      await accounts.addAccount(ports, { address, quotaBytes: quota ?? undefined }, { dryRun }),
    );
  });
  app.patch(ONE, { schema: routes.change }, async request => {
    const quota = request.body.quota_bytes ?? undefined;
    const dryRun = request.query.dry_run === true;
    return accountBodyOf(await accounts.setQuota(ports, request.params.address, quota, { dryRun }));
  });
  passwordRoutesOf(app, ports);
  app.delete(ONE, { schema: routes.remove }, async request => {
    const dryRun = request.query.dry_run === true;
    return accountBodyOf(await accounts.removeAccount(ports, request.params.address, { dryRun }));
  });
  aliasRoutesOf(app, ports);
  app.get(`${ONE}/mailboxes`, { schema: routes.listMailboxes }, async request =>
    listBodyOf(await accounts.listMailboxes(ports, request.params.address), mailboxBodyOf),
  );
}

function passwordRoutesOf(app: App, ports: ServicePorts): void {
  app.put(`${ONE}/password`, { schema: routes.setPassword }, async request => {
    const { password, hash } = request.body;
    const given =
      hash === undefined
        ? { kind: "password" as const, password: password ?? "" }
        : { kind: "hash" as const, hash };
    const dryRun = request.query.dry_run === true;
    return accountBodyOf(await accounts.setPassword(ports, request.params.address, given, { dryRun }));
  });
  app.delete(`${ONE}/password`, { schema: routes.clearPassword }, async request => {
    const dryRun = request.query.dry_run === true;
    const none = { kind: "none" } as const;
    return accountBodyOf(await accounts.setPassword(ports, request.params.address, none, { dryRun }));
  });
}

function aliasRoutesOf(app: App, ports: ServicePorts): void {
  app.get(`${ONE}/aliases`, { schema: routes.listAliases }, async request =>
    listBodyOf(await accounts.listAliases(ports, request.params.address), aliasBodyOf),
  );
  app.post(`${ONE}/aliases`, { schema: routes.addAlias }, async (request, reply) => {
    const dryRun = request.query.dry_run === true;
    reply.code(createdCode(dryRun));
    const { address } = request.params;
    return aliasBodyOf(await accounts.addAlias(ports, address, request.body.address, { dryRun }));
  });
  app.delete(`${ONE}/aliases/:alias`, { schema: routes.removeAlias }, async request => {
    const { address, alias } = request.params;
    const dryRun = request.query.dry_run === true;
    return aliasBodyOf(await accounts.removeAlias(ports, address, alias, { dryRun }));
  });
}
