/**
 * The filter of system calls that a confined plugin runs under: a classic BPF program, made here so that no compiled part is needed.
 * What it refuses fails with EPERM, as if the plugin had no right to it, and the plugin goes on; calls of another architecture end the
 * process. Sources: Linux Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/{filter,seccomp}.h.
 */
import { type Architecture, CLONE3 } from "./syscalls.ts";

/** `any`: sockets of UNIX and IP, inside a network namespace with nothing in it but a door. */
export type Sockets = "none" | "any";

const LD_W_ABS = 0x20;
const JEQ = 0x15;
const JGE = 0x35;
const JSET = 0x45;
const RET = 0x06;

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const ERRNO = 0x00050000;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** Offsets in `struct seccomp_data`; arguments are 64 bit, of which the low half stands first on both architectures. */
const NR = 0;
const ARCH = 4;
const argument = (n: number) => 16 + 8 * n;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h; CLONE_NEWTIME is not one of clone's. */
const NEW_NAMESPACES = 0x7e020000;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
/** Put characters into a terminal's input: asm-generic/ioctls.h, linux/tiocl.h. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

/** First argument of those that could also name a group or a user, of which 0 is one's own: PRIO_PROCESS, IOPRIO_WHO_PROCESS. */
const ONE_OF = { setpriority: 0, ioprio_set: 1 } as const;

interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const load = (k: number): Instruction => ({ code: LD_W_ABS, jt: 0, jf: 0, k });
const ret = (k: number): Instruction => ({ code: RET, jt: 0, jf: 0, k });
/** @param jt  instructions to skip when it holds; else `jf` */
const jump = (code: number, k: number, jt: number, jf: number): Instruction => ({ code, jt, jf, k });

/**
 * @param paths  `none`: nothing of a file is changed by its path, but for its content
 * @returns the program as the kernel takes it: 8 bytes each, little endian
 */
export function seccompProgram(arch: Architecture, sockets: Sockets, paths: "none" | "any" = "any"): Buffer {
  return encode([
    load(ARCH),
    jump(JEQ, arch.audit, 1, 0),
    ret(KILL_PROCESS),
    load(NR),
    ...(arch.foreignFrom === undefined ? [] : [jump(JGE, arch.foreignFrom, 0, 1), ret(ERRNO | ENOSYS)]),
    ...Object.values(arch.refused).flatMap(nr => refuse(nr, EPERM)),
    ...(paths === "none" ? Object.values(arch.byPath).flatMap(nr => refuse(nr, EPERM)) : []),
    // Where no namespace hides the service: who has its user could lower its limits and its priority.
    ...Object.entries(arch.onlySelf).flatMap(([name, [nr, place]]) =>
      when(nr, [
        load(argument(place)),
        jump(JEQ, 0, 1, 0),
        ret(ERRNO | EPERM),
        ...(name in ONE_OF
          ? [load(argument(0)), jump(JEQ, ONE_OF[name as keyof typeof ONE_OF], 1, 0), ret(ERRNO | EPERM)]
          : []),
      ]),
    ),
    // Its flags lie in memory, where no filter sees them: libraries fall back to clone().
    ...refuse(CLONE3, ENOSYS),
    ...when(arch.clone, [load(argument(0)), jump(JSET, NEW_NAMESPACES, 0, 1), ret(ERRNO | EPERM)]),
    ...when(arch.ioctl, [
      load(argument(1)),
      jump(JEQ, TIOCSTI, 1, 0),
      jump(JEQ, TIOCLINUX, 0, 1),
      ret(ERRNO | EPERM),
    ]),
    ...when(arch.socketpair, onlyFamilies([AF_UNIX])),
    ...(sockets === "none"
      ? refuse(arch.socket, EPERM)
      : when(arch.socket, onlyFamilies([AF_UNIX, AF_INET, AF_INET6]))),
    ret(ALLOW),
  ]);
}

function refuse(nr: number, errno: number): readonly Instruction[] {
  return [jump(JEQ, nr, 0, 1), ret(ERRNO | errno)];
}

/** `checks` may return; what falls through them is allowed. The number is not needed any more then. */
function when(nr: number, checks: readonly Instruction[]): readonly Instruction[] {
  return [jump(JEQ, nr, 0, checks.length + 1), ...checks, ret(ALLOW)];
}

function onlyFamilies(families: readonly number[]): readonly Instruction[] {
  return [
    load(argument(0)),
    ...families.map((family, i) => jump(JEQ, family, families.length - i, 0)),
    ret(ERRNO | EAFNOSUPPORT),
  ];
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [i, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, i * 8);
    bytes.writeUInt8(jt, i * 8 + 2);
    bytes.writeUInt8(jf, i * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, i * 8 + 4);
  }
  return bytes;
}
