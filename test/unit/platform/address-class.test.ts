import assert from "node:assert/strict";
import { test } from "node:test";
import { type AddressClass, addressClass } from "../../../src/platform/address-class.ts";

const CASES: Readonly<Record<AddressClass, readonly string[]>> = {
  public: [
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
  ],
  loopback: ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:0:0:1"],
  private: [
    "10.0.0.0",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
  ],
  "link-local": [
    "169.254.0.1",
    "169.254.255.255",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "::ffff:169.254.0.1",
  ],
  metadata: [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
  ],
  multicast: ["224.0.0.1", "239.255.255.255", "ff02::1", "ff00::"],
  unspecified: ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"],
  reserved: [
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "198.18.0.1",
    "192.88.99.1",
    "240.0.0.1",
    "255.255.255.255",
    // Translated and tunnelled ways to what is not public.
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "4000::1",
    "100::1",
    "localhost",
    "",
    "1.2.3",
    "0x7f.1",
  ],
};

for (const [name, addresses] of Object.entries(CASES)) {
  test(`addressClass() knows ${name} addresses`, () => {
    for (const address of addresses) assert.equal(addressClass(address), name, address);
  });
}

test("whichever way a URL writes this host, it is loopback or not public", () => {
  for (const host of [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "[::ffff:127.0.0.1]",
    "[::1]",
    "0",
    "[::]",
  ]) {
    const { hostname } = new URL(`http://${host}/`);
    assert.ok(
      ["loopback", "unspecified"].includes(addressClass(hostname.replace(/^\[|\]$/gu, ""))),
      hostname,
    );
  }
});
