/**
 * What a review says, in the languages of those who read it. Whole sentences, none put together from parts: languages put them
 * together in their own order. Every table is total, so that a right without a sentence does not compile.
 */
import type { NetworkMode } from "../core/plugin-terms.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import type { SignatureState } from "../core/ports/plugin-packages.ts";
import type { ReviewLanguage, WarningName } from "../core/ports/plugin-review.ts";
import type { Enforcement, LimitName } from "../core/ports/sandbox.ts";
import type { Decision, ReadAttachments, ReadBody } from "../wire/permissions.ts";

/** Rights that are only yes or no. */
export type SwitchName =
  | "write_tags"
  | "write_flags"
  | "move_message"
  | "write_metadata"
  | "write_headers"
  | "append_text"
  | "add_recipients"
  | "send_mail";

export interface ReviewTexts {
  readonly headings: Readonly<
    Record<
      | "plugin"
      | "signature"
      | "rating"
      | "rights"
      | "warnings"
      | "limits"
      | "more"
      | "less"
      | "same"
      | "first"
      | "note",
      string
    >
  >;
  readonly nothing: string;
  readonly allHeaders: string;
  headers(names: string): string;
  readonly body: Readonly<Record<Exclude<ReadBody, "none">, string>>;
  readonly attachments: Readonly<Record<Exclude<ReadAttachments, "none">, string>>;
  readonly decide: Readonly<Record<Decision, string>>;
  readonly switches: Readonly<Record<SwitchName, string>>;
  readonly points: Readonly<Record<HookPoint, string>>;
  /** Which mail it sees there, by its manifest. */
  recipients(point: string, pattern: string): string;
  senders(point: string, pattern: string): string;
  together(point: string): string;
  readonly anyMail: string;
  readonly network: Readonly<Record<NetworkMode, (targets: string) => string>>;
  readonly script: string;
  remote(place: string): string;
  readonly programs: string;
  limits(cpuMs: number, memoryMb: number): string;
  wallTime(ms: number): string;
  readonly persistentDir: string;
  cap(name: string, value: number): string;
  policy(point: string, when: "on_timeout" | "on_error", policy: string): string;
  readonly warnings: Readonly<Record<WarningName, string>>;
  readonly signature: Readonly<Record<SignatureState, string>>;
  readonly rating: readonly [string, string, string, string, string, string];
  readonly limitNames: Readonly<Record<LimitName, string>>;
  readonly enforcement: Readonly<Record<Enforcement, string>>;
  changed(what: string, from: string, to: string): string;
  readonly labels: Readonly<
    Record<
      "cpu_ms" | "memory_mb" | "wall_time_ms" | "transport" | "programs" | "remote" | "signer" | "network",
      string
    >
  >;
  readonly none: string;
  readonly unbounded: string;
}

/** What becomes of mail when a plugin fails. */
const FAILED_EN: Readonly<Record<string, string>> = {
  allow: "let mail through unchecked",
  tempfail: "put mail off",
  reject: "refuse mail",
  hold: "hold mail",
};
const FAILED_JA: Readonly<Record<string, string>> = {
  allow: "検査していないメールをそのまま通します",
  tempfail: "メールの受け取りを後回しにします",
  reject: "メールを拒否します",
  hold: "メールを保留します",
};

const en: ReviewTexts = {
  headings: {
    plugin: "Plugin",
    signature: "Signature",
    rating: "Risk",
    rights: "It wants to",
    warnings: "Mind",
    limits: "Limits on this host",
    more: "More than was approved",
    less: "Less than was approved",
    same: "It asks for nothing beyond what was approved.",
    first: "Nothing was approved yet.",
    note: "The author says",
  },
  nothing: "see that mail comes, and its size; nothing else",
  allHeaders: "read all header fields, sender, recipients and the address of the sending server",
  headers: names => `read these header fields: ${names}; also sender, recipients and the sending server`,
  body: {
    preview: "read the first 4096 bytes of a message's text",
    full: "read the whole text of every message",
  },
  attachments: {
    metadata: "see names, types and sizes of attachments",
    preview: "read the first 4096 bytes of each attachment, and its digest",
    full: "read whole attachments",
  },
  decide: {
    reject: "refuse mail: the sender is told, and the recipient never sees it",
    tempfail: "defer mail: the sending server tries again later",
    hold: "hold mail until somebody releases it",
  },
  switches: {
    write_tags: "add and remove tags",
    write_flags: "mark messages as read, flagged or answered",
    move_message: "choose the folder of a message",
    write_metadata: "attach data of its own to messages",
    write_headers: "add X- header fields",
    append_text: "add text to mail that is sent",
    add_recipients: "send blind copies of outgoing mail to addresses that you name",
    send_mail: "send mail of its own to addresses that you name",
  },
  points: {
    pre_receive: "be asked while a message arrives, before it is accepted",
    pre_delivery: "be asked before a message is stored for its recipient",
    post_receive: "be told of messages that were stored",
    pre_send: "be asked before mail of your users is sent",
  },
  recipients: (point, pattern) =>
    `see at ${point} only mail to recipients that match ${pattern}, unless its hook is set otherwise`,
  senders: (point, pattern) =>
    `see at ${point} only mail from senders that match ${pattern}, unless its hook is set otherwise`,
  together: point => `be told at ${point} of all recipients of a message together, not of each alone`,
  anyMail: "all mail",
  network: {
    none: () => "do without the network",
    "local-only": targets => `connect to these services of this host alone: ${targets}`,
    "outbound-limited": targets => `connect to these hosts of the internet alone: ${targets}`,
    unlimited: () => "connect to every host of the internet",
  },
  script: "run as processes of this host",
  remote: place => `be called at ${place}: what it reads goes there`,
  programs: "run a program of its own on this host, to ask for its health",
  limits: (cpuMs, memoryMb) => `use up to ${cpuMs} ms of processor time a call, and ${memoryMb} MB of memory`,
  wallTime: ms => `take up to ${ms} ms for a call`,
  persistentDir: "keep a folder of its own on this host, over upgrades too",
  cap: (name, value) => `stay within ${name} = ${value}`,
  policy: (point, when, policy) =>
    `${FAILED_EN[policy] ?? policy} at ${point} when it ${when === "on_error" ? "fails" : "is too slow"}`,
  warnings: {
    read_body: "It reads the whole text of mail.",
    read_attachments: "It reads whole attachments.",
    reject: "It can refuse mail. A mistake of it loses mail of your users.",
    add_recipients: "It can send copies of outgoing mail to others.",
    send_mail: "It can send mail in your name.",
    network: "It can reach the network: what it reads can leave this host.",
    remote: "It runs outside of this service: nobody here limits what it does with what it is sent.",
    not_enforced: "This host cannot enforce all limits of it; see below.",
  },
  signature: {
    signed: "signed by a marketplace that you trust",
    private: "signed with a key that you trust",
    unsigned: "not signed: nobody vouches for where it comes from",
    modified: "changed after it was signed: it does not run",
    revoked: "revoked: nobody can install or enable it",
  },
  rating: ["very low", "low", "moderate", "considerable", "high", "very high"],
  limitNames: {
    cpu: "processor time",
    memory: "memory",
    wall_time: "time of a call",
    processes: "number of processes",
    files: "files of this host",
    disk: "disk space",
    network: "network",
    secrets: "secrets of this service",
    process_tree: "end of all its processes",
  },
  enforcement: {
    enforced: "enforced",
    best_effort: "best effort",
    not_enforced: "NOT enforced",
    not_applicable: "not applicable",
  },
  changed: (what, from, to) => `${what}: ${from} → ${to}`,
  labels: {
    cpu_ms: "processor time of a call (ms)",
    memory_mb: "memory (MB)",
    wall_time_ms: "time of a call (ms)",
    transport: "how it is called",
    programs: "programs on this host",
    remote: "where it is called",
    signer: "key of the author",
    network: "network",
  },
  none: "none",
  unbounded: "no limit",
};

const ja: ReviewTexts = {
  headings: {
    plugin: "プラグイン",
    signature: "署名",
    rating: "リスク",
    rights: "要求している内容",
    warnings: "ご注意ください",
    limits: "このホストでの制限",
    more: "承認済みの内容を超える要求",
    less: "承認済みの内容より減った要求",
    same: "承認済みの内容を超える要求はありません。",
    first: "まだ何も承認されていません。",
    note: "作者の説明",
  },
  nothing: "メールが届いたこととそのサイズだけを知ります。それ以外は何も見ません",
  allHeaders: "すべてのヘッダー、差出人、宛先、送信元サーバーのアドレスを読みます",
  headers: names => `次のヘッダーを読みます: ${names}。差出人、宛先、送信元サーバーのアドレスも読みます`,
  body: {
    preview: "メール本文の先頭 4096 バイトを読みます",
    full: "すべてのメールの本文全体を読みます",
  },
  attachments: {
    metadata: "添付ファイルの名前、種類、サイズを見ます",
    preview: "各添付ファイルの先頭 4096 バイトとダイジェストを読みます",
    full: "添付ファイル全体を読みます",
  },
  decide: {
    reject: "メールを拒否できます。差出人には通知されますが、受信者には届きません",
    tempfail: "メールの受信を一時的に延期できます。送信元サーバーは後で再送します",
    hold: "担当者が解放するまでメールを保留できます",
  },
  switches: {
    write_tags: "タグを付けたり外したりできます",
    write_flags: "メールに既読、フラグ、返信済みの印を付けられます",
    move_message: "メールを入れるフォルダーを選べます",
    write_metadata: "メールに独自のデータを付けられます",
    write_headers: "X- で始まるヘッダーを追加できます",
    append_text: "送信するメールに文章を追加できます",
    add_recipients: "送信するメールの写しを、管理者が指定したアドレスに Bcc で送れます",
    send_mail: "管理者が指定したアドレスに、独自のメールを送れます",
  },
  points: {
    pre_receive: "メールの到着中、受け入れる前に判断を求められます",
    pre_delivery: "メールを受信者のメールボックスに保存する前に判断を求められます",
    post_receive: "保存されたメールについて通知を受けます",
    pre_send: "利用者のメールを送信する前に判断を求められます",
  },
  recipients: (point, pattern) =>
    `${point} では、宛先が ${pattern} に一致するメールだけを見ます (フックの設定で変更できます)`,
  senders: (point, pattern) =>
    `${point} では、差出人が ${pattern} に一致するメールだけを見ます (フックの設定で変更できます)`,
  together: point => `${point} では、1 通のメールの宛先を 1 件ずつではなく、まとめて知らされます`,
  anyMail: "すべてのメール",
  network: {
    none: () => "ネットワークは使いません",
    "local-only": targets => `このホストの次のサービスにだけ接続します: ${targets}`,
    "outbound-limited": targets => `インターネット上の次のホストにだけ接続します: ${targets}`,
    unlimited: () => "インターネット上のすべてのホストに接続できます",
  },
  script: "このホストのプロセスとして動作します",
  remote: place => `${place} で呼び出されます。読み取った内容はそこへ送られます`,
  programs: "状態の確認のために、独自のプログラムをこのホストで実行します",
  limits: (cpuMs, memoryMb) =>
    `1 回の呼び出しにつき CPU 時間を最大 ${cpuMs} ミリ秒、メモリーを最大 ${memoryMb} MB 使います`,
  wallTime: ms => `1 回の呼び出しに最大 ${ms} ミリ秒かかります`,
  persistentDir: "更新後も残る独自のフォルダーをこのホストに持ちます",
  cap: (name, value) => `上限 ${name} = ${value} を守ります`,
  policy: (point, when, policy) =>
    `${point} で${when === "on_error" ? "失敗した" : "時間切れになった"}場合、${FAILED_JA[policy] ?? policy}`,
  warnings: {
    read_body: "メールの本文全体を読みます。",
    read_attachments: "添付ファイル全体を読みます。",
    reject: "メールを拒否できます。誤った判断をすると、利用者のメールが失われます。",
    add_recipients: "送信するメールの写しを第三者に送れます。",
    send_mail: "管理者の名義でメールを送れます。",
    network: "ネットワークに接続できます。読み取った内容がこのホストの外に出る可能性があります。",
    remote: "このサービスの外で動作します。送られた内容をどう扱うかを、こちらでは制限できません。",
    not_enforced: "このホストでは強制できない制限があります。下の一覧をご確認ください。",
  },
  signature: {
    signed: "信頼しているマーケットプレイスの署名があります",
    private: "信頼している鍵の署名があります",
    unsigned: "署名がありません。出所を保証する人はいません",
    modified: "署名の後に変更されています。実行されません",
    revoked: "失効しています。インストールも有効化もできません",
  },
  rating: ["非常に低い", "低い", "やや低い", "やや高い", "高い", "非常に高い"],
  limitNames: {
    cpu: "CPU 時間",
    memory: "メモリー",
    wall_time: "呼び出しの時間",
    processes: "プロセス数",
    files: "このホストのファイル",
    disk: "ディスク容量",
    network: "ネットワーク",
    secrets: "このサービスの秘密情報",
    process_tree: "全プロセスの終了",
  },
  enforcement: {
    enforced: "強制されます",
    best_effort: "可能な範囲で制限されます",
    not_enforced: "強制されません",
    not_applicable: "対象外です",
  },
  changed: (what, from, to) => `${what}: ${from} → ${to}`,
  labels: {
    cpu_ms: "1 回の呼び出しの CPU 時間 (ミリ秒)",
    memory_mb: "メモリー (MB)",
    wall_time_ms: "1 回の呼び出しの時間 (ミリ秒)",
    transport: "呼び出し方法",
    programs: "このホストで動くプログラム",
    remote: "呼び出し先",
    signer: "作者の鍵",
    network: "ネットワーク",
  },
  none: "なし",
  unbounded: "制限なし",
};

export const REVIEW_TEXTS: Readonly<Record<ReviewLanguage, ReviewTexts>> = { en, ja };
