/** A seccomp filter that lets a program make sockets of the families UNIX and INET and no others, as sandboxes with a proxy have it. */

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN = 0x06; // BPF_RET | BPF_K
const NUMBER_AT = 0;
const FIRST_ARGUMENT_AT = 16;
const ALLOW = 0x7fff_0000;
const NOT_PERMITTED = 0x0005_0001; // SECCOMP_RET_ERRNO with EPERM
/** Of socket(2). */
const SOCKET: Readonly<Record<string, number>> = { x64: 41, arm64: 198 };
const AF_UNIX = 1;
const AF_INET = 2;

export function socketFilter(arch: string = process.arch): Buffer {
  const program: ReadonlyArray<readonly [number, number, number, number]> = [
    [LOAD, 0, 0, NUMBER_AT],
    [JUMP_EQUAL, 0, 4, SOCKET[arch] ?? -1],
    [LOAD, 0, 0, FIRST_ARGUMENT_AT],
    [JUMP_EQUAL, 2, 0, AF_UNIX],
    [JUMP_EQUAL, 1, 0, AF_INET],
    [RETURN, 0, 0, NOT_PERMITTED],
    [RETURN, 0, 0, ALLOW],
  ];
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, yes, no, value], i) => {
    bytes.writeUInt16LE(code, i * 8);
    bytes.writeUInt8(yes, i * 8 + 2);
    bytes.writeUInt8(no, i * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, i * 8 + 4);
  });
  return bytes;
}
