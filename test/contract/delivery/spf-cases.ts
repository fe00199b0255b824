/** SPF by case: records, a client, and what RFC 7208 says of it. `ours`: where we say something else, and why. */
import type { Zone } from "../../lib/dns-server.ts";

export interface SpfCase {
  readonly name: string;
  readonly ip: string;
  readonly from: string;
  readonly helo: string;
  readonly wanted: string;
  readonly ours?: { readonly result: string; readonly why: string };
}

const includes = (n: number) =>
  Object.fromEntries(
    Array.from({ length: n }, (_, i) => [
      `deep${i}.spf.example`,
      { TXT: [`v=spf1 ${i + 1 < n ? `include:deep${i + 1}.spf.example ` : ""}-all`] },
    ]),
  );

export const SPF_ZONE: Zone = {
  "all.spf.example": { TXT: ["v=spf1 -all"] },
  "soft.spf.example": { TXT: ["v=spf1 ~all"] },
  "neutral.spf.example": { TXT: ["v=spf1 ?all"] },
  "open.spf.example": { TXT: ["v=spf1 +all"] },
  "empty.spf.example": { TXT: ["v=spf1"] },
  "none.spf.example": { TXT: ["something else"] },
  "case.spf.example": { TXT: ["V=SPF1 IP4:192.0.2.1 -ALL"] },
  "two.spf.example": { TXT: ["v=spf1 -all", "v=spf1 +all"] },
  "other.spf.example": { TXT: ["some=thing", "v=spf1 ip4:192.0.2.1 -all"] },
  "almost.spf.example": { TXT: ["v=spf10 -all"] },
  "ip4.spf.example": { TXT: ["v=spf1 ip4:192.0.2.0/25 -all"] },
  "ip6.spf.example": { TXT: ["v=spf1 ip6:2001:db8::/32 -all"] },
  "a.spf.example": { TXT: ["v=spf1 a -all"], A: ["192.0.2.10"] },
  "acidr.spf.example": { TXT: ["v=spf1 a:a.spf.example/24 -all"] },
  "aaaa.spf.example": { TXT: ["v=spf1 a -all"], AAAA: ["2001:db8::10"] },
  "mx.spf.example": { TXT: ["v=spf1 mx -all"], MX: [[10, "a.spf.example"]] },
  "manymx.spf.example": {
    TXT: ["v=spf1 mx -all"],
    MX: Array.from({ length: 11 }, (_, i) => [i, `mx${i}.spf.example`] as const),
  },
  ...Object.fromEntries(
    Array.from({ length: 11 }, (_, i) => [`mx${i}.spf.example`, { A: [`198.51.100.${i}`] }]),
  ),
  "include.spf.example": { TXT: ["v=spf1 include:ip4.spf.example -all"] },
  "includenone.spf.example": { TXT: ["v=spf1 include:none.spf.example -all"] },
  "includeaway.spf.example": { TXT: ["v=spf1 include:away.spf.example -all"] },
  "redirect.spf.example": { TXT: ["v=spf1 redirect=ip4.spf.example"] },
  "redirectnone.spf.example": { TXT: ["v=spf1 redirect=none.spf.example"] },
  "exists.spf.example": { TXT: ["v=spf1 exists:%{i}.list.spf.example -all"] },
  "192.0.2.7.list.spf.example": { A: ["127.0.0.2"] },
  "macro.spf.example": { TXT: ["v=spf1 exists:%{l}.%{o}.user.spf.example -all"] },
  "taro.macro.spf.example.user.spf.example": { A: ["127.0.0.2"] },
  "ptr.spf.example": { TXT: ["v=spf1 ptr -all"] },
  "30.2.0.192.in-addr.arpa": { PTR: ["host.ptr.spf.example"] },
  "host.ptr.spf.example": { A: ["192.0.2.30"] },
  "31.2.0.192.in-addr.arpa": { PTR: ["host.ptr.spf.example"] },
  "bad.spf.example": { TXT: ["v=spf1 nonsense -all"] },
  "badip.spf.example": { TXT: ["v=spf1 ip4:192.0.2.300 -all"] },
  "badcidr.spf.example": { TXT: ["v=spf1 ip4:192.0.2.0/33 -all"] },
  "late.spf.example": { TXT: ["v=spf1 ip4:192.0.2.1 nonsense -all"] },
  "away.spf.example": { fails: "servfail" },
  "loop.spf.example": { TXT: ["v=spf1 include:loop.spf.example -all"] },
  "void.spf.example": { TXT: ["v=spf1 a:no1.invalid a:no2.invalid a:no3.invalid ip4:192.0.2.1 -all"] },
  ...includes(12),
};

const one = (
  name: string,
  domain: string,
  wanted: string,
  ip = "192.0.2.1",
  ours?: SpfCase["ours"],
): SpfCase => ({
  ...{ name, ip, from: `taro@${domain}.spf.example`, helo: "mail.far.example", wanted },
  ...(ours === undefined ? {} : { ours }),
});

export const SPF_CASES: readonly SpfCase[] = [
  one("nobody", "all", "fail"),
  one("nobody, softly", "soft", "softfail"),
  one("nobody says", "neutral", "neutral"),
  one("everybody", "open", "pass"),
  one("no mechanism", "empty", "neutral"),
  one("no record", "none", "none"),
  one("no such name", "absent", "none"),
  one("names in any case", "case", "pass"),
  one("two records", "two", "permerror"),
  one("beside other records", "other", "pass"),
  one("a record that only begins so", "almost", "none"),
  one("an address within a net", "ip4", "pass"),
  one("an address outside", "ip4", "fail", "192.0.2.200"),
  one("IPv6 within", "ip6", "pass", "2001:db8::1"),
  one("IPv6 outside", "ip6", "fail", "2001:db9::1"),
  one("the domain's address", "a", "pass", "192.0.2.10"),
  one("not the domain's address", "a", "fail", "192.0.2.11"),
  one("the net of an address", "acidr", "pass", "192.0.2.99"),
  one("the domain's IPv6 address", "aaaa", "pass", "2001:db8::10"),
  one("an exchange", "mx", "pass", "192.0.2.10"),
  one("no exchange", "mx", "fail"),
  one("more than ten exchanges", "manymx", "permerror"),
  one("included", "include", "pass"),
  one("not included", "include", "fail", "192.0.2.200"),
  one("includes what has no record", "includenone", "permerror"),
  one("includes what cannot be asked", "includeaway", "temperror"),
  one("redirected", "redirect", "pass"),
  one("redirected, not allowed", "redirect", "fail", "192.0.2.200"),
  one("redirected to nothing", "redirectnone", "permerror"),
  one("a list of addresses", "exists", "pass", "192.0.2.7"),
  one("not on the list", "exists", "fail"),
  one("a list of users", "macro", "pass"),
  one("the name of the address", "ptr", "pass", "192.0.2.30"),
  one("a name that is not confirmed", "ptr", "fail", "192.0.2.31"),
  one("an unknown mechanism", "bad", "permerror"),
  one("a malformed address", "badip", "permerror"),
  one("a malformed net", "badcidr", "permerror"),
  one("malformed behind a match", "late", "permerror"),
  one("a server that fails", "away", "temperror"),
  one("includes itself", "loop", "permerror"),
  one("more than ten lookups", "deep0", "permerror"),
  one("ten lookups and no more", "deep2", "fail"),
  one("three names that do not exist", "void", "permerror"),
  { name: "bounces: the name of HELO", ip: "192.0.2.1", from: "", helo: "ip4.spf.example", wanted: "pass" },
  { name: "bounces: another client", ip: "192.0.2.200", from: "", helo: "ip4.spf.example", wanted: "fail" },
];
