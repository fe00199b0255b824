/** Configuration of the mail path: milter, LMTP, IMAP, sender authentication, hold, outbound, domains. Part of `schema.ts`. */
import { Type } from "typebox";
import { oneOf, plainText, someOf, text, texts, whole, yesNo } from "./leaf.ts";

const closed = { additionalProperties: false } as const;
const MODE = "file mode of UNIX sockets, octal";
const GROUP = "group of UNIX sockets; empty: the process's own";

/** Stages of the migration, in their order. */
export const STAGES = ["observe", "hooks", "mirror", "store"] as const;
/** Which unknown addresses of a domain get an account. */
export const ACCOUNT_POLICIES = ["auto", "listed"] as const;

export const milterSection = Type.Object(
  {
    listen: texts(
      ["unix:/var/spool/postfix/mairust/milter.sock"],
      "where Postfix's smtpd reaches us; inside its chroot",
      { format: "listener" },
    ),
    socket_mode: text("0660", MODE, { format: "octal_mode" }),
    socket_group: text("postfix", GROUP, { format: "group" }),
    connections: whole(500, 1, 100_000, "connections at a time"),
    chain_timeout_ms: whole(
      15_000,
      100,
      300_000,
      "all hooks of one message together; keep it under Postfix's own",
    ),
    outbound_networks: texts([], "clients whose mail counts as submission, besides SASL and daemon name", {
      format: "cidr",
    }),
    outbound_daemons: texts(["ORIGINATING"], "values of {daemon_name} that count as submission"),
  },
  { ...closed, description: "the milter listener: hooks before Postfix accepts" },
);

export const lmtpSection = Type.Object(
  {
    listen: texts(
      ["unix:/var/spool/postfix/mairust/lmtp.sock", "inet:127.0.0.1:2424"],
      "where Postfix delivers to us",
      { format: "listener" },
    ),
    socket_mode: text("0660", MODE, { format: "octal_mode" }),
    socket_group: text("postfix", GROUP, { format: "group" }),
    connections: whole(500, 1, 100_000, "connections at a time"),
    xforward_from: texts(
      ["127.0.0.0/8", "::1/128"],
      "peers whose XFORWARD is believed; peers on a UNIX socket are, by its file mode",
      { format: "cidr" },
    ),
    redelivery_window_s: whole(
      604_800,
      0,
      31_536_000,
      "how long the same delivery is recognised and stored once",
    ),
    chain_timeout_ms: whole(
      30_000,
      100,
      600_000,
      "the whole transaction; keep it under lmtp_data_done_timeout",
    ),
    late_reject: oneOf(
      ["hold", "reject"],
      "hold",
      "what a pre_receive reject becomes when it is only found at LMTP",
    ),
    detail_folder: yesNo(false, "user+detail@ selects an existing folder"),
  },
  { ...closed, description: "the LMTP listener: delivery" },
);

export const imapSection = Type.Object(
  {
    listen: texts(["inet:127.0.0.1:1143"], "for Dovecot: no ESEARCH, no IMAP4rev2", { format: "listener" }),
    client_listen: texts(
      [],
      "for other clients: everything announced; inet: with STARTTLS where [tls] has a certificate, tls: with TLS from the start",
      { format: "listener", examples: [["tls:0.0.0.0:993", "inet:0.0.0.0:143"]] },
    ),
    connections: whole(2000, 1, 100_000, "connections at a time; client_listen has at most half of them"),
    connections_per_user: whole(50, 1, 10_000, "connections of one account at a time"),
    master_user: text("dovecot", "user that may open every account (Dovecot)", {
      minLength: 1,
      maxLength: 255,
    }),
    master_password_file: text("/etc/mairust/imap-master.secret", "file with the master user's password", {
      format: "absolute_path",
    }),
    writable: oneOf(["none", "flags"], "none", "what clients may change"),
  },
  { ...closed, description: "the IMAP listener: reading" },
);

export const senderAuthSection = Type.Object(
  {
    authserv_id: text("", "our name in Authentication-Results; empty: hostname", { format: "host_name" }),
    resolver: Type.Union([Type.Enum(["system"]), Type.Array(Type.String({ format: "address" }))], {
      default: "system",
      description: 'DNS: the system\'s, or a list such as ["127.0.0.1:53"]',
    }),
    checks: someOf(["spf", "dkim", "dmarc", "arc"], ["spf", "dkim", "dmarc", "arc"], "what is checked"),
  },
  { ...closed, description: "authentication of senders" },
);

export const holdSection = Type.Object(
  {
    expire_days: whole(30, 1, 3650, "held mail is deleted after this"),
    notify_owner: yesNo(true, "tell whose mail is held: the account, or the sender of outbound mail"),
    approvers: texts([], "addresses that are told what waits for a decision, but for what they sent", {
      format: "mail_address",
    }),
  },
  { ...closed, description: "held mail" },
);

export const editsSection = Type.Object(
  {
    signed_mail: oneOf(
      ["refuse", "local_only", "allow"],
      "refuse",
      "edits that would break a DKIM or ARC signature",
    ),
  },
  { ...closed, description: "edits by hooks" },
);

export const outboundSection = Type.Object(
  { smtp: text("inet:127.0.0.1:25", "Postfix, for mail that we send", { format: "next_hop" }) },
  { ...closed, description: "mail that we send" },
);

export const defaultsSection = Type.Object(
  {
    stage: oneOf(STAGES, "store", "stage of domains that name none"),
    accounts: oneOf(ACCOUNT_POLICIES, "listed", "account policy of domains that name none"),
    quota_mb: whole(0, 0, 1_073_741_824, "quota of each account of domains that name none; 0: none"),
  },
  { ...closed, description: "only fills keys that a domain leaves out; creates no domain" },
);

/** One `[domains."…"]`. `stage`, `accounts`, `quota_mb` left out come from `[defaults]`. */
export const domainSchema = Type.Object(
  {
    tenant: text("main", "tenant that the domain belongs to", { minLength: 1, maxLength: 64 }),
    stage: oneOf(STAGES, "store", "initial value only: stage of the migration"),
    accounts: oneOf(
      ACCOUNT_POLICIES,
      "listed",
      "auto: the first delivery or master login creates the account",
    ),
    quota_mb: whole(0, 0, 1_073_741_824, "quota of each account; 0: none"),
    relay: Type.Object(
      {
        lmtp: Type.Optional(
          plainText("next hop of the stages observe, hooks, mirror", {
            format: "next_hop",
            examples: ["unix:/run/dovecot/lmtp"],
          }),
        ),
      },
      { ...closed, description: "where mail goes on" },
    ),
  },
  { ...closed, description: "a domain; it exists if it stands here or was created, others get 550 5.1.2" },
);

export const domainsSection = Type.Record(Type.String(), domainSchema, {
  default: {},
  description: "our domains",
  propertyNames: { format: "domain" },
});
