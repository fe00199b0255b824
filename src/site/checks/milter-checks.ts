/** Faults in how Postfix asks our milter. Pure. */
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding } from "../../wire/site-calls.ts";
import { parseMaster } from "../master-cf.ts";
import { isListener, type MilterSetting, parseMilters, secondsOf } from "../milters.ts";
import type { PostfixFacts } from "../postfix-read.ts";
import { isChrooted, isSubmission } from "../postfix-wanted.ts";
import { routesOf, scopesOf } from "../transport-table.ts";
import { finding } from "./finding.ts";

/** Postfix's own, when a milter names none. */
const CONTENT_TIMEOUT_S = 300;

/** Our entry in a list of milters, and where it stands. */
export function oursIn(
  value: string,
  facts: PostfixFacts,
  config: Config,
  chrooted: boolean,
): { readonly milter: MilterSetting; readonly isLast: boolean; readonly isFirst: boolean } | undefined {
  const all = parseMilters(value);
  const at = all.findIndex(one => isListener(one.socket, config.milter.listen, facts.queueDir, chrooted));
  const milter = all[at];
  return milter === undefined ? undefined : { milter, isLast: at === all.length - 1, isFirst: at === 0 };
}

export function smtpdServices(facts: PostfixFacts) {
  return parseMaster(facts.files.master).filter(service => service.command === "smtpd");
}

const globalMilters = (facts: PostfixFacts) => facts.effective.get("smtpd_milters") ?? "";

export function checkMilter(facts: PostfixFacts, config: Config): readonly SiteFinding[] {
  const chrooted = smtpdServices(facts).some(service => isChrooted(service.chroot, facts));
  const ours = oursIn(globalMilters(facts), facts, config, chrooted);
  if (ours === undefined) return missingMilter(facts);
  return [
    ...checkReach(ours.milter, chrooted),
    ...checkOrder(ours, facts, config),
    ...checkAction(ours.milter, facts),
    ...checkTimeout(ours.milter, facts, config),
    ...checkSubmission(facts, config),
  ];
}

function missingMilter(facts: PostfixFacts): readonly SiteFinding[] {
  if (scopesOf(facts.files.table ?? "").length === 0) return [];
  return [
    finding(
      "warning",
      "milter_missing",
      "Postfix does not ask the sidecar's milter: smtpd_milters does not name one of milter.listen",
      "hooks then run when mail is delivered; what they refuse is held there, because a bounce would go to a forged sender",
      "mairust setup --stage … --apply for a domain, or postconf -e 'smtpd_milters = $mairust_other_smtpd_milters $mairust_milter'",
    ),
  ];
}

function checkReach(milter: MilterSetting, chrooted: boolean): readonly SiteFinding[] {
  if (!chrooted || !/^(?:unix|local):\//u.test(milter.socket)) return [];
  return [
    finding(
      "error",
      "milter_outside_chroot",
      `smtpd is chrooted and cannot see ${milter.socket}`,
      "a path that begins with / is looked up below the queue directory by a chrooted smtpd: every connection fails",
      "let milter.listen name a socket below the queue directory and Postfix the relative path: unix:mairust/milter.sock",
    ),
  ];
}

function checkOrder(
  ours: { readonly isLast: boolean },
  facts: PostfixFacts,
  config: Config,
): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  if (!ours.isLast)
    found.push(
      finding(
        "warning",
        "milter_not_last",
        `the sidecar is not the last milter of smtpd_milters: ${globalMilters(facts)}`,
        "milters that come after it see mail that it judged before they changed it, and it does not see what they add",
        "put it at the end: smtpd_milters = … $mairust_milter",
      ),
    );
  const other = facts.effective.get("non_smtpd_milters") ?? "";
  if (oursIn(other, facts, config, false) === undefined)
    found.push(
      finding(
        "warning",
        "milter_not_for_sendmail",
        "non_smtpd_milters does not name the sidecar",
        "mail that programs of this host submit by sendmail(1) meets no hook",
        "postconf -e 'non_smtpd_milters = $mairust_other_non_smtpd_milters $mairust_milter'",
      ),
    );
  return found;
}

function checkAction(milter: MilterSetting, facts: PostfixFacts): readonly SiteFinding[] {
  const action = milter.options.get("default_action") ?? facts.effective.get("milter_default_action") ?? "";
  if (action === "reject")
    return [
      finding(
        "error",
        "milter_action_reject",
        "default_action is reject",
        "while the sidecar is away every sender gets a permanent refusal: mail is lost",
        "set default_action=tempfail (accept in stage observe) in mairust_milter",
      ),
    ];
  const routed = routesOf(facts.files.table ?? "").length > 0;
  if (routed && action !== "tempfail")
    return [
      finding(
        "warning",
        "milter_action_accept",
        `default_action is ${action} while domains are beyond stage observe`,
        "while the sidecar is away, or its connection is cut, mail passes without hooks, or with a part of their edits",
        "set default_action=tempfail in mairust_milter",
      ),
    ];
  if (!routed && action !== "accept" && scopesOf(facts.files.table ?? "").length > 0)
    return [
      finding(
        "advice",
        "milter_action_tempfail",
        `default_action is ${action} while every domain is in stage observe`,
        "while the sidecar is away no mail comes in, although it decides nothing yet",
        "set default_action=accept in mairust_milter",
      ),
    ];
  return [];
}

function checkTimeout(milter: MilterSetting, facts: PostfixFacts, config: Config): readonly SiteFinding[] {
  const content = secondsOf(
    milter.options.get("content_timeout") ?? facts.effective.get("milter_content_timeout"),
    CONTENT_TIMEOUT_S,
  );
  if (content * 1000 > config.milter.chain_timeout_ms) return [];
  return [
    finding(
      "error",
      "milter_timeout",
      `Postfix waits ${content} s at the end of a message, the sidecar takes up to ${config.milter.chain_timeout_ms} ms`,
      "Postfix gives up before the sidecar has decided: default_action is taken although nothing failed",
      `set content_timeout above milter.chain_timeout_ms, e.g. content_timeout=${Math.ceil(config.milter.chain_timeout_ms / 1000) + 30}s`,
    ),
  ];
}

function checkSubmission(facts: PostfixFacts, config: Config): readonly SiteFinding[] {
  return smtpdServices(facts)
    .filter(service => isSubmission(service.settings))
    .flatMap(service => {
      const own = service.settings.get("smtpd_milters");
      const value = expand(own ?? globalMilters(facts), facts);
      const ours = oursIn(value, facts, config, isChrooted(service.chroot, facts));
      if (ours?.isFirst) return [];
      const missing = ours === undefined;
      return [
        finding(
          "warning",
          missing ? "submission_without_milter" : "submission_after_signer",
          missing
            ? `the service ${service.name} does not ask the sidecar's milter`
            : `on the service ${service.name} the sidecar stands behind another milter`,
          missing
            ? "pre_send hooks do not see what your users submit there"
            : "a DKIM signer before it signs what the sidecar changes afterwards: the signature breaks",
          `in master.cf, ${service.name}: -o smtpd_milters=$mairust_milter,${own ?? "$mairust_other_smtpd_milters"}`,
        ),
      ];
    });
}

/** `$name` once: what master.cf sets is not in the effective values. */
function expand(value: string, facts: PostfixFacts): string {
  return value.replace(/\$[({]?(\w+)[)}]?/gu, (_, name: string) => facts.effective.get(name) ?? "");
}
