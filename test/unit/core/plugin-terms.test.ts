import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  DEFAULT_CPU_MS,
  DEFAULT_MEMORY_MB,
  grantedTerms,
  type NetworkMode,
  type PluginTerms,
  termsOf,
  type Widening,
  widenings,
} from "../../../src/core/plugin-terms.ts";
import { FAILURE_POLICIES, HOOK_POINTS } from "../../../src/wire/config/hooks.ts";
import { type Manifest, NETWORKS } from "../../../src/wire/manifest.ts";
import {
  DECISIONS,
  type PermissionsInput,
  READ_ATTACHMENTS,
  READ_BODY,
} from "../../../src/wire/permissions.ts";

const MANIFEST: Manifest = {
  id: "com.example.one",
  name: "One",
  version: "1.0.0",
  entry: { type: "hook", protocol: "script", command: ["./run"] },
  hooks: { on: ["pre_delivery"] },
};
const CONTEXT = { signer: undefined, endpoint: undefined };
const TERMS = termsOf(MANIFEST, CONTEXT);

const flag = fc.boolean();
const permissions: fc.Arbitrary<PermissionsInput> = fc.record(
  {
    read_headers: fc.oneof(
      flag,
      fc.uniqueArray(fc.constantFrom("From", "from", "Subject", "X-A"), { minLength: 1 }),
    ),
    read_body: fc.constantFrom(...READ_BODY),
    read_attachments: fc.constantFrom(...READ_ATTACHMENTS),
    decide: fc.uniqueArray(fc.constantFrom(...DECISIONS)),
    ...{ write_tags: flag, write_flags: flag, move_message: flag, write_metadata: flag },
    ...{ write_headers: flag, append_text: flag, add_recipients: flag, send_mail: flag },
  },
  { requiredKeys: [] },
);
const policy = fc.constantFrom(...FAILURE_POLICIES);
const pattern = fc.constantFrom("", ".*@a[.]example", ".*@b[.]example");
const scope = fc.record({ recipients: pattern, senders: pattern, apart: flag });
const target = fc.constantFrom(
  ...["a.example:443", "b.example:443", "a.example:80", "A.Example:443"],
  ...["*.example:443", "*.b.example:443", "c.b.example:443", "example:443", "127.0.0.1:11434"],
);
/** Few values each, so that terms that stand above each other are found often. */
const terms: fc.Arbitrary<PluginTerms> = fc.record({
  permissions,
  points: fc.uniqueArray(fc.constantFrom(...HOOK_POINTS)),
  policies: fc.record(
    Object.fromEntries(HOOK_POINTS.map(point => [point, fc.record({ onTimeout: policy, onError: policy })])),
  ),
  scopes: fc.record(Object.fromEntries(HOOK_POINTS.map(point => [point, scope])), { requiredKeys: [] }),
  network: fc.record({ mode: fc.constantFrom<NetworkMode>(...NETWORKS), allow: fc.uniqueArray(target) }),
  limits: fc.record({
    cpuMs: fc.integer({ min: 1, max: 3 }),
    memoryMb: fc.integer({ min: 1, max: 3 }),
    wallTimeMs: fc.constantFrom(undefined, 1, 2),
    persistentDir: flag,
  }),
  caps: fc.dictionary(fc.constantFrom("reject_per_hour", "tokens_per_day"), fc.integer({ min: 0, max: 2 }), {
    noNullPrototype: true,
  }),
  protocol: fc.constantFrom("script", "http"),
  runsPrograms: flag,
  remote: fc.constantFrom(undefined, "a.example:443", "b.example:443"),
  signer: fc.constantFrom(undefined, "key1", "key2"),
});

function narrowedScopes({ scopes }: PluginTerms, coin: () => boolean): NonNullable<PluginTerms["scopes"]> {
  const fewer = (one: string) => (one === "" && coin() ? ".*@b[.]example" : one);
  return Object.fromEntries(
    HOOK_POINTS.map(point => {
      const { recipients = "", senders = "", apart = true } = scopes?.[point] ?? {};
      return [point, { recipients: fewer(recipients), senders: fewer(senders), apart: apart || coin() }];
    }),
  );
}

/** Asks for less than `from`, or for the same: each part by a coin. */
function narrowed(from: PluginTerms, coin: () => boolean): PluginTerms {
  const { read_headers: headers, read_body: body = "none", decide = [], ...rest } = from.permissions;
  const fewer = Array.isArray(headers) ? headers.slice(0, 1) : headers === true ? ["Subject"] : headers;
  return {
    ...from,
    permissions: {
      ...(coin() ? {} : rest),
      ...(headers === undefined || coin() ? {} : { read_headers: coin() && fewer ? fewer : headers }),
      read_body: coin() ? (READ_BODY[Math.max(0, READ_BODY.indexOf(body) - 1)] ?? "none") : body,
      decide: coin() ? decide.slice(1) : decide,
    },
    points: coin() ? from.points.slice(1) : from.points,
    policies: coin() ? {} : from.policies,
    scopes: narrowedScopes(from, coin),
    network: coin()
      ? { mode: "none", allow: [] }
      : { ...from.network, allow: from.network.allow.slice(coin() ? 1 : 0) },
    limits: {
      cpuMs: coin() ? 1 : from.limits.cpuMs,
      memoryMb: coin() ? 1 : from.limits.memoryMb,
      wallTimeMs: coin() ? 1 : from.limits.wallTimeMs,
      persistentDir: coin() ? false : from.limits.persistentDir,
    },
    caps: coin() ? { ...from.caps, reject_per_hour: 0, hold_per_hour: 5 } : from.caps,
    runsPrograms: coin() ? false : from.runsPrograms,
    remote: coin() ? undefined : from.remote,
  };
}

describe("terms of a plugin", () => {
  it("are those of the manifest, with defaults filled in", () => {
    assert.deepEqual(TERMS, {
      permissions: {},
      points: ["pre_delivery"],
      policies: { pre_delivery: { onTimeout: "tempfail", onError: "tempfail" } },
      scopes: { pre_delivery: { recipients: "", senders: "", apart: true } },
      network: { mode: "none", allow: [] },
      limits: {
        cpuMs: DEFAULT_CPU_MS,
        memoryMb: DEFAULT_MEMORY_MB,
        wallTimeMs: undefined,
        persistentDir: false,
      },
      caps: {},
      protocol: "script",
      runsPrograms: true,
      remote: undefined,
      signer: undefined,
    });
  });

  it("take policies of a point before those of all points, caps and budget together", () => {
    const terms = termsOf(
      {
        ...MANIFEST,
        hooks: { on: ["pre_send", "pre_receive"], on_error: "allow", pre_send: { on_timeout: "reject" } },
        caps: { reject_per_hour: 3 },
        budget: { calls_per_day: 10, over_budget: "skip" },
      },
      CONTEXT,
    );
    assert.deepEqual(terms.policies, {
      pre_send: { onTimeout: "reject", onError: "allow" },
      pre_receive: { onTimeout: "tempfail", onError: "allow" },
    });
    assert.deepEqual(terms.caps, { reject_per_hour: 3, calls_per_day: 10 });
  });

  it("take the filters of a point before those of all points", () => {
    const hooks: Manifest["hooks"] = {
      on: ["pre_send", "pre_receive"],
      filter_recipient_matches: ".*@a[.]example",
      pre_send: { filter_recipient_matches: ".*@b[.]example", per_recipient: false },
    };
    assert.deepEqual(termsOf({ ...MANIFEST, hooks }, CONTEXT).scopes, {
      pre_send: { recipients: ".*@b[.]example", senders: "", apart: false },
      pre_receive: { recipients: ".*@a[.]example", senders: "", apart: true },
    });
  });

  it("name where the manifest wants to be called, and not where the administrator lets it be called", () => {
    const remote = (endpoint: string, own?: string) =>
      termsOf(
        { ...MANIFEST, entry: { type: "hook", protocol: "http", endpoint } },
        { signer: undefined, endpoint: own },
      ).remote;
    assert.equal(remote("https://Hooks.example.com/a"), "hooks.example.com:443");
    assert.equal(remote("http://127.0.0.1:8081/hook"), "127.0.0.1:8081");
    assert.equal(remote("http://localhost/hook"), "localhost:80");
    assert.equal(remote("unix:///run/p.sock:/hook"), "unix:/run/p.sock");
    assert.equal(remote("https://hooks.example.com/a", "http://10.0.0.1/"), undefined);
  });
});

describe("granted terms", () => {
  const asked: PluginTerms = {
    ...TERMS,
    permissions: { read_headers: true, read_body: "preview", write_tags: true, move_message: true },
  };

  it("hold the rights that were granted and nothing else", () => {
    const granted = grantedTerms(asked, { read_headers: ["Subject"], write_tags: true });
    assert.deepEqual(granted, {
      ...asked,
      permissions: { read_headers: ["Subject"], write_tags: true },
    });
  });

  it("refuse a right that was not asked for", () => {
    assert.throws(() => grantedTerms(asked, { read_headers: true, send_mail: true }), {
      code: "plugin_security",
      publicText: "send_mail: the plugin does not ask for that",
    });
  });

  it("refuse rights whose prerequisites are not granted with them, by the codes of the manifest", () => {
    assert.throws(() => grantedTerms(asked, { write_tags: true }), { message: /PERM_DEP_TAGS/ });
    assert.throws(() => grantedTerms(asked, { read_headers: true, move_message: true }), {
      code: "plugin_validation",
      message: /PERM_DEP_MOVE/,
    });
  });
});

describe("asking for more", () => {
  it("is never said of the same terms", () => {
    fc.assert(fc.property(terms, one => assert.deepEqual(widenings(one, one), [])));
  });

  it("is never said of narrower terms", () => {
    fc.assert(
      fc.property(terms, fc.infiniteStream(flag), (one, coins) => {
        const coin = () => coins.next().value === true;
        assert.deepEqual(widenings(narrowed(one, coin), one), []);
      }),
    );
  });

  it("is transitive: what asks for nothing beyond terms asks for nothing beyond wider ones", () => {
    fc.assert(
      fc.property(terms, fc.infiniteStream(flag), terms, (wide, coins, other) => {
        const coin = () => coins.next().value === true;
        const middle = narrowed(wide, coin);
        const low = narrowed(middle, coin);
        assert.deepEqual(widenings(low, wide), []);
        // And of terms that have nothing to do with each other.
        if (widenings(wide, other).length === 0) assert.deepEqual(widenings(low, other), []);
      }),
      { numRuns: 500 },
    );
  });

  const one = <T extends Partial<PluginTerms>>(change: T) => ({ ...TERMS, ...change });
  const limited = (...allow: string[]) => one({ network: { mode: "outbound-limited", allow } });
  const local = (...allow: string[]) => one({ network: { mode: "local-only", allow } });
  const may = (input: PermissionsInput) => one({ permissions: input });
  const policies = (onTimeout: string, onError: string) =>
    one({ policies: { pre_delivery: { onTimeout, onError } } });
  const limits = (change: Partial<PluginTerms["limits"]>) => one({ limits: { ...TERMS.limits, ...change } });
  const sees = (recipients: string, senders = "", apart = true) =>
    one({ scopes: { pre_delivery: { recipients, senders, apart } } });
  const unlimited = one({ network: { mode: "unlimited", allow: [] } });

  type Step = readonly [
    what: string,
    from: PluginTerms,
    to: PluginTerms,
    kind: Widening["kind"],
    name: string,
  ];
  const ladders: readonly Step[] = [
    ...READ_BODY.slice(1).map(
      (to, i): Step => [
        `read_body ${to}`,
        may({ read_body: READ_BODY[i] ?? "none" }),
        may({ read_body: to }),
        "permission",
        "read_body",
      ],
    ),
    ...READ_ATTACHMENTS.slice(1).map(
      (to, i): Step => [
        `read_attachments ${to}`,
        may({ read_attachments: READ_ATTACHMENTS[i] ?? "none" }),
        may({ read_attachments: to }),
        "permission",
        "read_attachments",
      ],
    ),
    ...(
      [
        ...["write_tags", "write_flags", "move_message", "write_metadata"],
        ...["write_headers", "append_text", "add_recipients", "send_mail"],
      ] as const
    ).map((name): Step => [name, may({}), may({ [name]: true }), "permission", name]),
    ...DECISIONS.map(
      (what): Step => [`decide ${what}`, may({}), may({ decide: [what] }), "permission", "decide"],
    ),
    ...HOOK_POINTS.filter(point => point !== "pre_delivery").map(
      (point): Step => [point, TERMS, one({ points: ["pre_delivery", point] }), "point", point],
    ),
    ...["allow", "reject", "hold"].flatMap((to): Step[] => [
      [`on_timeout ${to}`, TERMS, policies(to, "tempfail"), "policy", "pre_delivery.on_timeout"],
      [`on_error ${to}`, TERMS, policies("tempfail", to), "policy", "pre_delivery.on_error"],
    ]),
  ];
  const steps: readonly Step[] = [
    ...ladders,
    ["header names", may({}), may({ read_headers: ["A"] }), "permission", "read_headers"],
    [
      "another header name",
      may({ read_headers: ["A"] }),
      may({ read_headers: ["a", "B"] }),
      "permission",
      "read_headers",
    ],
    ["all headers", may({ read_headers: ["A"] }), may({ read_headers: true }), "permission", "read_headers"],
    [
      "another policy",
      policies("allow", "tempfail"),
      policies("reject", "tempfail"),
      "policy",
      "pre_delivery.on_timeout",
    ],
    ["all recipients", sees("a@b"), sees(""), "scope", "pre_delivery.filter_recipient_matches"],
    ["other recipients", sees("a@b"), sees("c@d"), "scope", "pre_delivery.filter_recipient_matches"],
    ["all senders", sees("", "a@b"), TERMS, "scope", "pre_delivery.filter_sender_matches"],
    ["all recipients together", TERMS, sees("", "", false), "scope", "pre_delivery.per_recipient"],
    ["any network", TERMS, limited(), "network", ""],
    ["a local network", TERMS, local("127.0.0.1:1"), "network", ""],
    ["another host", limited("a.example:443"), limited("a.example:443", "b.example:443"), "network", ""],
    ["another port", limited("a.example:443"), limited("a.example:80"), "network", ""],
    ["another local port", local("127.0.0.1:1"), local("127.0.0.1:2"), "network", ""],
    ["a wider suffix", limited("*.a.example:443"), limited("*.example:443"), "network", ""],
    ["the suffix itself", limited("*.a.example:443"), limited("a.example:443"), "network", ""],
    ["what only ends like the suffix", limited("*.a.example:443"), limited("ba.example:443"), "network", ""],
    ["local beside outbound", limited("127.0.0.1:1"), local("127.0.0.1:1"), "network", ""],
    ["outbound beside local", local("127.0.0.1:1"), limited("127.0.0.1:1"), "network", ""],
    ["unlimited after outbound", limited("a.example:443"), unlimited, "network", ""],
    ["unlimited after local", local("127.0.0.1:1"), unlimited, "network", ""],
    ["cpu", TERMS, limits({ cpuMs: DEFAULT_CPU_MS + 1 }), "limit", "cpu_ms"],
    ["memory", TERMS, limits({ memoryMb: DEFAULT_MEMORY_MB + 1 }), "limit", "memory_mb"],
    ["wall time", limits({ wallTimeMs: 1 }), limits({ wallTimeMs: 2 }), "limit", "wall_time_ms"],
    ["no bound on the wall time", limits({ wallTimeMs: 1 }), TERMS, "limit", "wall_time_ms"],
    ["a folder that stays", TERMS, limits({ persistentDir: true }), "limit", "persistent_dir"],
    [
      "a cap",
      one({ caps: { move_per_hour: 1 } }),
      one({ caps: { move_per_hour: 2 } }),
      "cap",
      "move_per_hour",
    ],
    ["no cap", one({ caps: { move_per_hour: 1 } }), TERMS, "cap", "move_per_hour"],
    ["another transport", TERMS, one({ protocol: "unix" }), "transport", ""],
    ["programs on this host", one({ runsPrograms: false }), TERMS, "transport", "programs"],
    ["a remote host", TERMS, one({ remote: "a.example:443" }), "remote", ""],
    ["another host to call", one({ remote: "a:1" }), one({ remote: "b:1" }), "remote", ""],
    ["another key", one({ signer: "k1" }), one({ signer: "k2" }), "signer", ""],
    ["no key any more", one({ signer: "k1" }), TERMS, "signer", ""],
  ];
  for (const [what, from, to, kind, name] of steps) {
    it(`is said of ${what} alone`, () => {
      assert.deepEqual(
        widenings(to, from).map(found => [found.kind, found.name]),
        [[kind, name]],
      );
    });
  }

  it("is said of every step, whatever else stands in the terms", () => {
    fc.assert(
      fc.property(terms, fc.constantFrom(...HOOK_POINTS), (base, point) => {
        const approved: PluginTerms = { ...base, points: base.points.filter(one => one !== point) };
        const found = widenings({ ...base, points: [...approved.points, point] }, approved);
        assert.deepEqual(found, [{ kind: "point", name: point, approved: undefined, asked: point }]);
      }),
    );
  });

  it("is not said of a filter where all mail was agreed to, by an approval from before filters were told of too", () => {
    const { scopes: _, ...before } = TERMS;
    for (const approved of [TERMS, before]) assert.deepEqual(widenings(sees("a@b", "c@d"), approved), []);
  });

  it("holds names below a suffix, in any case, to be within it", () => {
    const approved = limited("*.Example.com:443");
    for (const host of ["a.example.com:443", "a.b.EXAMPLE.com:443", "*.b.example.com:443"]) {
      assert.deepEqual(widenings(limited(host), approved), [], host);
    }
  });

  it("shows what was approved and what is asked for", () => {
    assert.deepEqual(widenings(limits({ memoryMb: 512 }), TERMS), [
      { kind: "limit", name: "memory_mb", approved: DEFAULT_MEMORY_MB, asked: 512 },
    ]);
    assert.deepEqual(widenings(TERMS, limits({ wallTimeMs: 5 })), [
      { kind: "limit", name: "wall_time_ms", approved: 5, asked: undefined },
    ]);
  });

  it("is not said of a first signature", () => {
    assert.deepEqual(widenings(one({ signer: "k1" }), TERMS), []);
  });
});
