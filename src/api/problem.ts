/**
 * Errors to problem documents (RFC 9457). The one table from error codes to HTTP: a new code does not compile without its line.
 * A 5xx shows its title and what is public, never internals; those go to the log with the same `trace_id`.
 */
import {
  type ErrorCode,
  MairustError,
  NotFound,
  PreconditionFailed,
  StaleVersion,
  toMairustError,
} from "../core/errors.ts";
import { ConfigError, originText } from "../platform/config/problem.ts";
import type { ApiErrorCode } from "../wire/api/codes.ts";
import type { Problem } from "../wire/api/common.ts";

interface HttpMeaning {
  readonly status: number;
  readonly en: string;
  readonly ja: string;
}

const say = (status: number, en: string, ja: string): HttpMeaning => ({ status, en, ja });

const HTTP = {
  address_syntax: say(400, "This is no mail address", "メールアドレスの形式が正しくありません"),
  already_exists: say(409, "It exists already", "すでに存在します"),
  auth_failed: say(401, "Not logged in", "認証されていません"),
  blob_damaged: say(500, "The stored message is damaged", "保存されたメッセージが壊れています"),
  blob_missing: say(500, "The stored message is missing", "保存されたメッセージが見つかりません"),
  config_invalid: say(422, "The configuration has errors", "設定に誤りがあります"),
  data_invalid: say(422, "The data cannot be used", "データを使用できません"),
  deadline: say(504, "It took too long", "時間内に完了しませんでした"),
  disk_full: say(507, "The disk is full", "ディスクの空き容量がありません"),
  draining: say(503, "The service is stopping", "サービスは停止中です"),
  internal: say(500, "Internal error", "内部エラー"),
  invalid_argument: say(400, "The request is wrong", "リクエストに誤りがあります"),
  invalid_state: say(409, "It changed meanwhile", "その間に状態が変わりました"),
  mail_loop: say(422, "The message goes round in circles", "メールがループしています"),
  message_too_large: say(413, "The message is too large", "メッセージが大きすぎます"),
  not_built: say(501, "Not built in this version", "このバージョンではまだ実装されていません"),
  not_found: say(404, "There is none", "見つかりません"),
  not_permitted: say(403, "Not allowed", "許可されていません"),
  over_quota: say(507, "The mailbox is full", "メールボックスの容量を超えています"),
  plugin_dependency: say(
    422,
    "The plugin needs something that is missing",
    "プラグインの依存関係が満たされていません",
  ),
  plugin_failed: say(502, "The plugin failed", "プラグインが失敗しました"),
  plugin_load: say(422, "The plugin cannot be loaded", "プラグインを読み込めません"),
  plugin_security: say(403, "The plugin is refused", "プラグインは拒否されました"),
  plugin_validation: say(422, "The plugin is not valid", "プラグインが正しくありません"),
  stop_failed: say(500, "Not everything stopped", "停止できなかった部分があります"),
  store_unavailable: say(503, "The database is away", "データベースに接続できません"),
  too_many: say(429, "Too many", "多すぎます"),
  unknown_account: say(404, "No such account", "アカウントがありません"),
  unknown_domain: say(404, "No such domain", "ドメインがありません"),
} as const satisfies Record<ErrorCode, HttpMeaning>;

/** Compiles only while the wire's list of codes and the core's are the same. */
type SameCodes = [ErrorCode, ApiErrorCode] extends [ApiErrorCode, ErrorCode] ? true : never;
const sameCodes: SameCodes = true;

/** What fastify adds to errors of its own and of validation. */
interface HttpError {
  readonly statusCode: number;
  readonly message: string;
  readonly validation?: readonly { readonly instancePath: string; readonly message?: string }[];
  readonly validationContext?: string;
}

function isHttpError(error: unknown): error is HttpError {
  return (
    sameCodes &&
    error instanceof Error &&
    !(error instanceof MairustError) &&
    "statusCode" in error &&
    typeof error.statusCode === "number" &&
    error.statusCode >= 400 &&
    error.statusCode < 500
  );
}

/** The error, as ours: what fastify refuses is the client's doing. */
export function asMairustError(error: unknown): MairustError {
  if (!isHttpError(error)) return toMairustError(error, "answer a request");
  const code = error.statusCode === 413 ? "message_too_large" : "invalid_argument";
  return new MairustError(code, `Cannot take a request: ${error.message}`, { publicText: error.message });
}

/** @param acceptLanguage  the field as received: `ja` first gives Japanese titles */
export function problemOf(error: unknown, traceId: string, acceptLanguage: string | undefined): Problem {
  const known = asMairustError(error);
  const meaning = HTTP[known.code];
  const errors = details(error);
  const text = known instanceof NotFound ? known.namedText : known.publicText;
  return {
    type: `urn:mairust:error:${known.code}`,
    title: prefersJapanese(acceptLanguage) ? meaning.ja : meaning.en,
    status: statusOf(error, meaning),
    ...(text === "" ? {} : { detail: text }),
    code: known.code,
    trace_id: traceId,
    ...(errors.length === 0 ? {} : { errors }),
  };
}

function statusOf(error: unknown, meaning: HttpMeaning): number {
  // Only who sent an If-Match can be told this: RFC 9110 §15.5.13.
  if (error instanceof StaleVersion) return 412;
  return isHttpError(error) ? error.statusCode : meaning.status;
}

function details(error: unknown): NonNullable<Problem["errors"]> {
  if (error instanceof ConfigError) {
    return error.problems.map(p => ({ pointer: p.key, detail: `${originText(p.origin)}: ${p.text}` }));
  }
  if (error instanceof MairustError && error.code === "config_invalid") return reasons(error);
  if (error instanceof PreconditionFailed)
    return error.failures.map(({ code, text: detail }) => ({ pointer: code, detail }));
  if (!isHttpError(error) || error.validation === undefined) return [];
  const context = error.validationContext ?? "body";
  return error.validation.map(v => ({
    pointer: `/${context}${v.instancePath}`,
    detail: v.message ?? "is not valid",
  }));
}

/** Whether hooks and plugins fit each other shows only when they are put together: `compileHooks` gives what does not as texts. */
function reasons({ context }: MairustError): NonNullable<Problem["errors"]> {
  const texts: readonly unknown[] = Array.isArray(context.problems) ? context.problems : [];
  return texts.filter(text => typeof text === "string").map(detail => ({ pointer: "hooks", detail }));
}

export function languageOf(acceptLanguage: string | undefined): "en" | "ja" {
  return prefersJapanese(acceptLanguage) ? "ja" : "en";
}

/** RFC 9110 §12.5.4, for two languages: the one named first with a quality above 0. */
function prefersJapanese(acceptLanguage: string | undefined): boolean {
  const ranges = (acceptLanguage ?? "")
    .slice(0, 200)
    .split(",")
    .map(range => {
      const [tag = "", ...parameters] = range
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/u);
      const q = parameters.find(p => p.startsWith("q="));
      return { language: tag.split("-")[0], quality: q === undefined ? 1 : Number(q.slice(2)) };
    });
  const known = ranges.filter(r => (r.language === "ja" || r.language === "en") && r.quality > 0);
  return known.sort((a, b) => b.quality - a.quality)[0]?.language === "ja";
}
