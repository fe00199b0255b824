/** All checks of `doctor`, over what was read of the two servers. */
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding, SiteReport, SiteService } from "../../wire/site-calls.ts";
import type { DovecotFacts } from "../dovecot-read.ts";
import type { PostfixFacts } from "../postfix-read.ts";
import { checkDovecot } from "./dovecot-checks.ts";
import { finding, sorted } from "./finding.ts";
import {
  checkDatabase,
  checkDisks,
  checkPorts,
  checkReady,
  checkSecrets,
  type DatabaseFacts,
} from "./host-checks.ts";
import { checkMilter } from "./milter-checks.ts";
import { checkAliases, checkRelays, checkSockets } from "./reach-checks.ts";
import { checkRoutes } from "./route-checks.ts";
import { checkCertificate } from "./tls-checks.ts";

export interface CheckTools {
  /** @throws {MairustError} it does not answer */
  readonly askDatabase: (url: string) => Promise<DatabaseFacts>;
}

export interface Site {
  readonly config: Config;
  readonly postfix: PostfixFacts | undefined;
  readonly dovecot: DovecotFacts | undefined;
  /** The sidecar's password for Dovecot. */
  readonly secret: string | undefined;
  readonly service: SiteService | undefined;
}

export async function inspectSite(site: Site, tools: CheckTools): Promise<Omit<SiteReport, "targets">> {
  const { config, postfix, dovecot, service } = site;
  const found: SiteFinding[] = [
    ...checkReady(service, config),
    ...(service === undefined ? await checkPorts(config) : []),
    ...(await checkSecrets(config, site.secret)),
    ...(await checkCertificate(config, Date.now())),
    ...(await checkDisks(config)),
    ...(await checkDatabase(config.database.url, tools.askDatabase)),
    ...(await checkRelays(config, service)),
    ...(postfix === undefined ? [noPostfix()] : await postfixFindings(postfix, config, service)),
    ...(dovecot === undefined ? [] : checkDovecot(dovecot, config, site.secret)),
  ];
  return {
    postfix: postfix === undefined ? undefined : { version: postfix.version, configDir: postfix.configDir },
    dovecot: dovecot === undefined ? undefined : { version: dovecot.version, configFile: dovecot.configFile },
    findings: sorted(found),
  };
}

async function postfixFindings(
  facts: PostfixFacts,
  config: Config,
  service: SiteService | undefined,
): Promise<readonly SiteFinding[]> {
  return [
    ...checkMilter(facts, config),
    ...checkRoutes(facts, config, service),
    ...(await checkSockets(facts, config)),
    ...(await checkAliases(facts, service, facts.configDir)),
  ];
}

const noPostfix = () =>
  finding(
    "warning",
    "postfix_missing",
    "Postfix is not installed on this host",
    "the sidecar takes mail from Postfix, and only from there",
    "run doctor where Postfix is, or give --postfix-dir",
  );
