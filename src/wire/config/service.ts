/** Configuration of the service itself: directories, database, blobs, log, metrics, the HTTP API. Part of `schema.ts`. */
import { Type } from "typebox";
import { oneOf, plainText, text, texts, whole, yesNo } from "./leaf.ts";

const closed = { additionalProperties: false } as const;

export const databaseSection = Type.Object(
  {
    url: Type.Optional(
      plainText("PostgreSQL to use; absent: an embedded one under data_dir", {
        format: "postgres_url",
        secret: true,
        examples: ["postgres://mairust@/mairust?host=/run/postgresql"],
      }),
    ),
    pool: whole(10, 1, 200, "connections of this process to PostgreSQL"),
    auto_migrate: yesNo(true, "bring the schema up to date at start; false: refuse to start with an old one"),
  },
  { ...closed, description: "the database" },
);

export const blobsSection = Type.Object(
  {
    driver: oneOf(["fs", "s3"], "fs", "where message bytes are kept: files, or an S3 bucket"),
    path: text("/var/lib/mairust/blobs", "folder of the fs driver; moves with data_dir", {
      format: "absolute_path",
    }),
    compression: oneOf(["brotli", "none"], "brotli", "codec of new blobs; each blob records its own"),
    client_side_key_file: text("", "file with the key for AES-256-GCM on our side; empty: none", {
      format: "absolute_path",
    }),
    s3: Type.Object(
      {
        endpoint: text("", "URL of the S3 service", { format: "http_url" }),
        region: text("", "region of the bucket"),
        bucket: text("", "name of the bucket"),
        access_key_id: text("", "access key"),
        secret_access_key_file: text("", "file with the secret key", { format: "absolute_path" }),
        server_side_encryption: text(
          "",
          "value of x-amz-server-side-encryption; empty: the bucket's own rule",
        ),
      },
      { ...closed, description: "the S3 driver" },
    ),
  },
  { ...closed, description: "message bytes" },
);

export const apiSection = Type.Object(
  {
    listen: texts(
      ["inet:127.0.0.1:8025", "unix:/run/mairust/api.sock"],
      "where the HTTP API answers; the UNIX socket is admin by file mode 0600 and moves with runtime_dir",
      { format: "listener" },
    ),
    public_url: text("http://127.0.0.1:8025", "address under which browsers reach the API", {
      format: "http_url",
    }),
    trust_proxy: yesNo(
      false,
      "a proxy in front ends TLS: believe its X-Forwarded-* fields, allow plain HTTP off loopback",
    ),
  },
  { ...closed, description: "HTTP API and web interface" },
);

export const tlsSection = Type.Object(
  {
    cert_file: text("", "certificate chain, PEM", { format: "absolute_path" }),
    key_file: text("", "private key, PEM", { format: "absolute_path" }),
  },
  { ...closed, description: "for imap.client_listen; the files are read again on change" },
);

export const limitsSection = Type.Object(
  {
    message_bytes: whole(52_428_800, 1024, 2_147_483_647, "largest message that is accepted"),
    received_headers: whole(50, 1, 1000, "more Received fields than this is a mail loop"),
    min_free_disk_mb: whole(512, 0, 1_048_576, "with less free disk new mail is deferred; 0: not checked"),
    milter_packet_bytes: whole(1_048_576, 65_536, 16_777_216, "largest milter packet"),
    mime_depth: whole(300, 1, 1000, "deeper MIME parts are opaque leaves, never an error"),
    mime_parts: whole(3000, 1, 100_000, "MIME parts looked at in one message"),
    payload_bytes_in_flight: whole(
      67_108_864,
      1_048_576,
      4_294_967_296,
      "bytes of all plugin calls together; who gets no room in time follows on_timeout",
    ),
  },
  { ...closed, description: "limits of what is taken in" },
);

export const logSection = Type.Object(
  {
    level: oneOf(["debug", "info", "warn", "error"], "info", "least severity that is written"),
    format: oneOf(["json", "text"], "json", "one JSON object, or one syslog-like text, per line"),
    hash_addresses: yesNo(false, "write a keyed hash in place of every mail address"),
  },
  { ...closed, description: "the log" },
);

export const metricsSection = Type.Object(
  {
    listen: texts([], "listeners of their own for /metrics; empty: on the API's", { format: "listener" }),
  },
  { ...closed, description: "Prometheus metrics" },
);

export const otelSection = Type.Object(
  { enabled: yesNo(false, "export traces; the standard OTEL_* variables say where") },
  { ...closed, description: "OpenTelemetry" },
);

export const alertsSection = Type.Object(
  { mail_to: texts([], "addresses that get the administrator's alerts", { format: "mail_address" }) },
  { ...closed, description: "alerts" },
);

export const retentionSection = Type.Object(
  { events_days: whole(90, 1, 36_500, "how long the timeline of a message is kept") },
  { ...closed, description: "what is deleted when" },
);

export const lossProofSection = Type.Object(
  {
    allow_kill: yesNo(
      false,
      "the administrator may have the process end itself (SIGKILL) in the middle of a delivery: for verify-no-loss",
    ),
  },
  { ...closed, description: "the proof that nothing is lost" },
);

export const queueSection = Type.Object(
  {
    driver: oneOf(["postgres", "nats"], "postgres", "where jobs wait"),
    nats_url: text("", "NATS server", { secret: true }),
  },
  { ...closed, description: "the job queue" },
);
