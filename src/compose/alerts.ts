/** Tells administrators: an error in the log for each kind and plugin or hook, a count that monitoring can watch, and a mail. */
import type { AdminAlert, AdminAlerts } from "../core/ports/alerts.ts";
import type { Log } from "../core/ports/log.ts";
import type { Metrics } from "../platform/metrics.ts";

/** The same alert is logged again after this. */
const QUIET_MS = 60_000;
/** Seldom, and another text is other news: first vulnerable, then malicious. */
const EACH_TEXT: ReadonlySet<AdminAlert["kind"]> = new Set(["revocation", "verification"]);
/** Alerts that are remembered; past it the oldest may be logged twice. */
const MAX_REMEMBERED = 1000;

/** @param mail  takes each that is not a repetition */
export function createAlerts(
  log: Log,
  metrics: Pick<Metrics, "adminAlerts">,
  mail: (alert: AdminAlert) => void = () => undefined,
): AdminAlerts {
  const told = new Map<string, number>();
  return {
    tell(alert: AdminAlert) {
      const { kind, text, plugin = "", hook = "" } = alert;
      metrics.adminAlerts.inc({ kind });
      const key = [kind, plugin, hook, EACH_TEXT.has(kind) ? text : ""].join("\0");
      const last = told.get(key);
      const now = performance.now();
      if (last !== undefined && now - last < QUIET_MS) return;
      told.delete(key);
      told.set(key, now);
      for (const oldest of told.keys()) {
        if (told.size <= MAX_REMEMBERED) break;
        told.delete(oldest);
      }
      const named = { ...(plugin === "" ? {} : { plugin }), ...(hook === "" ? {} : { hook }) };
      log.error("admin_alert", { kind, text, ...named });
      mail(alert);
    },
  };
}
