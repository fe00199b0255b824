/**
 * Numbers of system calls on the two architectures that are supported: those that the launcher makes, and those that a plugin may not.
 * Sources: Linux arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h (aarch64). From 424 on both are the same.
 */

export interface Architecture {
  /** `AUDIT_ARCH_*` of linux/audit.h: what a filter sees in `seccomp_data.arch`. */
  readonly audit: number;
  /** Numbers from here on are of another ABI of the same machine (x32). */
  readonly foreignFrom: number | undefined;
  readonly launcher: Readonly<Record<LauncherCall, number>>;
  readonly socket: number;
  readonly socketpair: number;
  readonly clone: number;
  readonly ioctl: number;
  /** What is done to a process or thread that the argument at this place names: 0 is oneself. */
  readonly onlySelf: Readonly<Record<string, readonly [nr: number, argument: number]>>;
  /** Changes of a file by its path, which Landlock does not see: refused to who has the user of the service. */
  readonly byPath: Readonly<Record<string, number>>;
  /** Refused, whatever their arguments: what reaches beyond the process, the kernel's rarely used parts, and System V IPC. */
  readonly refused: Readonly<Record<string, number>>;
}

export type LauncherCall =
  | "prctl"
  | "prlimit64"
  | "seccomp"
  | "unshare"
  | "mount"
  | "setgroups"
  | "setresgid"
  | "setresuid"
  | "dup3";

/** The same everywhere, as close_range (436) and those of Landlock (444 to 446), which stand in the launcher. */
export const CLONE3 = 435;

const SAME = {
  pidfd_getfd: 438,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  mount_setattr: 442,
  quotactl_fd: 443,
  memfd_secret: 447,
} as const;

/** From 424 on. */
const SAME_BY_PATH = { fchmodat2: 452, setxattrat: 463, removexattrat: 466, file_setattr: 469 } as const;

const X86_64: Architecture = {
  audit: 0xc000003e,
  foreignFrom: 0x40000000,
  launcher: {
    prctl: 157,
    prlimit64: 302,
    seccomp: 317,
    unshare: 272,
    mount: 165,
    setgroups: 116,
    setresgid: 119,
    setresuid: 117,
    dup3: 292,
  },
  socket: 41,
  socketpair: 53,
  clone: 56,
  ioctl: 16,
  onlySelf: {
    sched_setparam: [142, 0],
    sched_setscheduler: [144, 0],
    sched_setaffinity: [203, 0],
    sched_setattr: [314, 0],
    setpriority: [141, 1],
    ioprio_set: [251, 1],
    prlimit64: [302, 0],
  },
  byPath: {
    ...SAME_BY_PATH,
    chmod: 90,
    chown: 92,
    lchown: 94,
    utime: 132,
    setxattr: 188,
    lsetxattr: 189,
    removexattr: 197,
    lremovexattr: 198,
    utimes: 235,
    fchownat: 260,
    futimesat: 261,
    fchmodat: 268,
    utimensat: 280,
  },
  refused: {
    ...SAME,
    shmget: 29,
    shmat: 30,
    shmctl: 31,
    semget: 64,
    semop: 65,
    semctl: 66,
    msgget: 68,
    msgsnd: 69,
    msgrcv: 70,
    msgctl: 71,
    ptrace: 101,
    syslog: 103,
    uselib: 134,
    personality: 135,
    vhangup: 153,
    modify_ldt: 154,
    pivot_root: 155,
    _sysctl: 156,
    adjtimex: 159,
    chroot: 161,
    acct: 163,
    settimeofday: 164,
    mount: 165,
    umount2: 166,
    swapon: 167,
    swapoff: 168,
    reboot: 169,
    sethostname: 170,
    setdomainname: 171,
    iopl: 172,
    ioperm: 173,
    init_module: 175,
    delete_module: 176,
    quotactl: 179,
    lookup_dcookie: 212,
    clock_settime: 227,
    mq_open: 240,
    kexec_load: 246,
    add_key: 248,
    request_key: 249,
    keyctl: 250,
    migrate_pages: 256,
    unshare: 272,
    move_pages: 279,
    perf_event_open: 298,
    fanotify_init: 300,
    name_to_handle_at: 303,
    open_by_handle_at: 304,
    clock_adjtime: 305,
    setns: 308,
    process_vm_readv: 310,
    process_vm_writev: 311,
    kcmp: 312,
    finit_module: 313,
    kexec_file_load: 320,
    bpf: 321,
    userfaultfd: 323,
  },
};

const AARCH64: Architecture = {
  audit: 0xc00000b7,
  foreignFrom: undefined,
  launcher: {
    prctl: 167,
    prlimit64: 261,
    seccomp: 277,
    unshare: 97,
    mount: 40,
    setgroups: 159,
    setresgid: 149,
    setresuid: 147,
    dup3: 24,
  },
  socket: 198,
  socketpair: 199,
  clone: 220,
  ioctl: 29,
  onlySelf: {
    sched_setparam: [118, 0],
    sched_setscheduler: [119, 0],
    sched_setaffinity: [122, 0],
    sched_setattr: [274, 0],
    setpriority: [140, 1],
    ioprio_set: [30, 1],
    prlimit64: [261, 0],
  },
  byPath: {
    ...SAME_BY_PATH,
    setxattr: 5,
    lsetxattr: 6,
    removexattr: 14,
    lremovexattr: 15,
    fchmodat: 53,
    fchownat: 54,
    utimensat: 88,
  },
  refused: {
    ...SAME,
    lookup_dcookie: 18,
    umount2: 39,
    mount: 40,
    pivot_root: 41,
    chroot: 51,
    vhangup: 58,
    quotactl: 60,
    acct: 89,
    personality: 92,
    unshare: 97,
    kexec_load: 104,
    init_module: 105,
    delete_module: 106,
    clock_settime: 112,
    syslog: 116,
    ptrace: 117,
    reboot: 142,
    sethostname: 161,
    setdomainname: 162,
    settimeofday: 170,
    adjtimex: 171,
    mq_open: 180,
    msgget: 186,
    msgctl: 187,
    msgrcv: 188,
    msgsnd: 189,
    semget: 190,
    semctl: 191,
    semop: 193,
    shmget: 194,
    shmctl: 195,
    shmat: 196,
    add_key: 217,
    request_key: 218,
    keyctl: 219,
    swapon: 224,
    swapoff: 225,
    migrate_pages: 238,
    move_pages: 239,
    perf_event_open: 241,
    fanotify_init: 262,
    name_to_handle_at: 264,
    open_by_handle_at: 265,
    clock_adjtime: 266,
    setns: 268,
    process_vm_readv: 270,
    process_vm_writev: 271,
    kcmp: 272,
    finit_module: 273,
    bpf: 280,
    userfaultfd: 282,
    kexec_file_load: 294,
  },
};

/** @param arch  as `process.arch` names it. @returns undefined: not one that we have numbers for */
export function findArchitecture(arch: string): Architecture | undefined {
  return ({ x64: X86_64, arm64: AARCH64 } as Readonly<Record<string, Architecture>>)[arch];
}
