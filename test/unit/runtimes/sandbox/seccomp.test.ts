import assert from "node:assert/strict";
import { test } from "node:test";
import { seccompProgram } from "../../../../src/runtimes/sandbox/seccomp.ts";
import { type Architecture, CLONE3, findArchitecture } from "../../../../src/runtimes/sandbox/syscalls.ts";

const ALLOW = 0x7fff0000;
const EPERM = 0x50001;
const ENOSYS = 0x50026;
const EAFNOSUPPORT = 0x50061;
const KILL = 0x80000000;

/** What the kernel would do: the four instructions that the program is made of. */
function run(program: Buffer, nr: number, args: readonly number[], audit: number): number {
  const data = (offset: number) =>
    offset === 0 ? nr : offset === 4 ? audit : (args[(offset - 16) / 8] ?? 0);
  let value = 0;
  for (let at = 0; at < program.length; at += 8) {
    const code = program.readUInt16LE(at);
    const k = program.readUInt32LE(at + 4);
    const jump = (holds: boolean) => {
      at += 8 * program.readUInt8(at + (holds ? 2 : 3));
    };
    if (code === 0x20) value = data(k);
    else if (code === 0x06) return k;
    else if (code === 0x15) jump(value === k);
    else if (code === 0x35) jump(value >= k);
    else if (code === 0x45) jump((value & k) !== 0);
    else assert.fail(`instruction ${code}`);
  }
  return assert.fail("it ran off its end");
}

for (const name of ["x64", "arm64"]) {
  const arch: Architecture = findArchitecture(name) ?? assert.fail(name);
  const closed = seccompProgram(arch, "none");
  const open = seccompProgram(arch, "any");
  const of = (program: Buffer, nr: number, ...args: readonly number[]) => run(program, nr, args, arch.audit);

  test(`${name}: every call that is named is refused, and so is the one after none of them`, () => {
    for (const [call, nr] of Object.entries(arch.refused)) assert.equal(of(closed, nr), EPERM, call);
    // 0 and 63: read on one, something harmless on the other.
    for (const nr of [0, 63]) assert.equal(of(closed, nr), ALLOW);
    assert.equal(of(closed, CLONE3), ENOSYS);
  });
  test(`${name}: calls of another architecture end the process`, () => {
    assert.equal(run(closed, 0, [], 0x40000003), KILL);
  });
  test(`${name}: processes and threads may be made, namespaces not`, () => {
    assert.equal(of(closed, arch.clone, 0x3d0f00), ALLOW);
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
      assert.equal(of(closed, arch.clone, flag | 17), EPERM, flag.toString(16));
  });
  test(`${name}: without a network no socket, with one those of UNIX and IP; pairs are of UNIX`, () => {
    assert.equal(of(closed, arch.socket, 1), EPERM);
    for (const family of [1, 2, 10]) assert.equal(of(open, arch.socket, family), ALLOW);
    for (const family of [16, 17, 38, 40]) assert.equal(of(open, arch.socket, family), EAFNOSUPPORT);
    assert.equal(of(closed, arch.socketpair, 1), ALLOW);
    assert.equal(of(closed, arch.socketpair, 2), EAFNOSUPPORT);
  });
  test(`${name}: limits and priority are one's own to change, and nobody else's`, () => {
    for (const [call, [nr, place]] of Object.entries(arch.onlySelf)) {
      const args = call === "ioprio_set" ? [1, 0] : [0, 0];
      assert.equal(of(closed, nr, ...args), ALLOW, call);
      assert.equal(of(closed, nr, ...args.map((arg, i) => (i === place ? 4711 : arg))), EPERM, call);
    }
    const [setpriority, ioprio] = [arch.onlySelf.setpriority?.[0] ?? -1, arch.onlySelf.ioprio_set?.[0] ?? -1];
    assert.deepEqual([of(closed, setpriority, 2, 0), of(closed, ioprio, 3, 0)], [EPERM, EPERM], "of a user");
  });
  test(`${name}: files are changed by their path unless the filter is for who has the service's user`, () => {
    const own = seccompProgram(arch, "none", "none");
    for (const [call, nr] of Object.entries(arch.byPath))
      assert.deepEqual([of(closed, nr), of(own, nr)], [ALLOW, EPERM], call);
  });
  test(`${name}: nobody types into a terminal`, () => {
    assert.equal(of(closed, arch.ioctl, 0, 0x5412), EPERM);
    assert.equal(of(closed, arch.ioctl, 0, 0x541c), EPERM);
    assert.equal(of(closed, arch.ioctl, 0, 0x5401), ALLOW);
  });
}

test("x64: the other ABI of the same machine is not there", () => {
  const arch = findArchitecture("x64") ?? assert.fail();
  assert.equal(run(seccompProgram(arch, "none"), 0x40000000 + 41, [], arch.audit), ENOSYS);
});

test("an architecture without numbers has no sandbox", () => {
  assert.equal(findArchitecture("riscv64"), undefined);
});
