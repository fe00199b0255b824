# A plugin that tries what it must not: one attack per function, named by `settings.do`; its answer says what came of it.
import ctypes, errno, json, mmap, os, platform, signal, socket, sys, time

libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"


def syscall(x86, arm, *args):
    if libc.syscall(x86 if X86 else arm, *args) != -1:
        return "done"
    return errno.errorcode.get(ctypes.get_errno(), "?")


def attempt(what):
    try:
        return what() or "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, "?")
    except MemoryError:
        return "MemoryError"


def all_of(**attempts):
    return {name: attempt(one) for name, one in attempts.items()}


def close_folder(_):
    closed = os.path.join(os.environ["HOME"], "closed")
    os.makedirs(os.path.join(closed, "below"))
    folder = os.open(closed, os.O_RDONLY)
    os.fchmod(folder, 0)
    return "done"


def spin(_):
    while True:
        pass


def spin_children(_):
    for _ in range(3):
        if os.fork() == 0:
            while True:
                pass
    time.sleep(600)


def grow(settings):
    def take():
        held = bytearray(settings["mib"] << 20)
        return str(len(held) >> 20)
    return attempt(take)


def grow_shared(settings):
    held = mmap.mmap(-1, settings["mib"] << 20)
    for at in range(0, len(held), 4096):
        held[at] = 1
    time.sleep(5)
    return "held"


def grow_many(settings):
    for _ in range(6):
        if os.fork() == 0:
            held = bytearray(settings["mib"] << 20)
            time.sleep(600)
            os._exit(len(held) & 1)
    time.sleep(5)
    return "held"


def fork_bomb(settings):
    children = []
    while len(children) < 2000:
        try:
            child = os.fork()
        except OSError as error:
            return f"{len(children)} {errno.errorcode[error.errno]}"
        if child == 0:
            # Of its own group and session: nothing but the tree holds it.
            os.setsid()
            os.execv("/bin/sleep", ["sleep", settings["seconds"]])
        children.append(child)
    return str(len(children))


def fill_file(settings):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = os.path.join(os.environ[settings["where"]] if settings["where"].isupper() else settings["where"], "fill")
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < 200 << 20:
                written += file.write(b"x" * (1 << 20))
        how = "done"
    except OSError as error:
        how = errno.errorcode[error.errno]
    if os.path.exists(path):
        os.unlink(path)
    return f"{written >> 20} {how}"


def fill_many(_):
    written = 0
    for i in range(60):
        try:
            with open(os.path.join(os.environ["HOME"], f"fill{i}"), "wb", buffering=0) as file:
                for _ in range(8):
                    written += file.write(b"x" * (1 << 20))
        except OSError as error:
            return f"{written >> 20} {errno.errorcode[error.errno]}"
    return f"{written >> 20} done"


def fill_empty(_):
    folder = os.environ["HOME"]
    for i in range(400_000):
        open(os.path.join(folder, f"e{i}"), "w").close()
    return "done"


def read_files(settings):
    def read(path):
        return lambda: str(len(open(path, "rb").read(1)))
    link = os.path.join(os.environ["HOME"], "link")
    os.symlink("/etc/passwd", link)
    try:
        return {path: attempt(read(path)) for path in [*settings["paths"], link]}
    finally:
        os.unlink(link)


def write_files(settings):
    def write(folder):
        return lambda: open(os.path.join(folder, "written"), "w").close()
    return {folder: attempt(write(folder)) for folder in [*settings["paths"], "."]}


def touch_files(settings):
    path = settings["path"].encode()
    none = ctypes.c_void_p(None)
    return {
        "chmod": attempt(lambda: os.chmod(path, 0o777)),
        "chmod2": syscall(452, 452, -100, path, 0o777, 0),
        "chown": attempt(lambda: os.chown(path, os.getuid(), os.getgid())),
        "utime": attempt(lambda: os.utime(path, (1, 1))),
        "xattr": attempt(lambda: os.setxattr(path, "user.x", b"1")),
        "lxattr": attempt(lambda: os.setxattr(path, "user.x", b"1", follow_symlinks=False)),
        "no_xattr": attempt(lambda: os.removexattr(path, "user.x")),
        "xattr_at": syscall(463, 463, -100, path, 0, b"user.x", (ctypes.c_uint64 * 2)(), 16),
        "file_attr": syscall(469, 469, -100, path, none, 0, 0),
    }


def network(settings):
    def connect(family, kind, address):
        return lambda: socket.socket(family, kind).connect(address)
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
    port = settings["port"]
    return all_of(
        tcp=connect(socket.AF_INET, tcp, ("127.0.0.1", port)),
        tcp6=connect(socket.AF_INET6, tcp, ("::1", port)),
        udp=lambda: str(socket.socket(socket.AF_INET, udp).sendto(b"x", ("127.0.0.1", port))),
        unix=connect(socket.AF_UNIX, tcp, settings["unix"]),
        abstract=connect(socket.AF_UNIX, tcp, b"\0" + settings["abstract"].encode()),
        listen=lambda: socket.socket(socket.AF_INET, tcp).listen(),
        netlink=lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0)),
        packet=lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) and None,
        vsock=lambda: socket.socket(40, tcp) and None,
    )


def kernel(settings):
    core = settings["core"]
    none = ctypes.c_void_p(None)
    return {
        "kill": attempt(lambda: os.kill(core, 0)),
        "kill_group": attempt(lambda: os.killpg(core, 0)),
        "ptrace": syscall(101, 117, 16, core, none, none),
        "process_vm_readv": syscall(310, 270, core, none, 0, none, 0, 0),
        "mount": syscall(165, 40, b"none", os.environ["HOME"].encode(), b"tmpfs", 0, none),
        "umount": syscall(166, 39, b"/proc", 2),
        "chroot": syscall(161, 51, b"/"),
        "unshare_user": syscall(272, 97, 0x10000000),
        "unshare_net": syscall(272, 97, 0x40000000),
        "clone_user": syscall(56, 220, 0x10000000 | 17, none, none, none, none),
        "clone3": syscall(435, 435, none, 0),
        "setns": syscall(308, 268, 0, 0),
        "bpf": syscall(321, 280, 0, none, 0),
        "keyctl": syscall(250, 219, 0, -3, 1),
        "add_key": syscall(248, 217, b"user", b"x", b"y", 1, -3),
        "io_uring": syscall(425, 425, 1, none),
        "perf": syscall(298, 241, none, 0, -1, -1, 0),
        "userfaultfd": syscall(323, 282, 0),
        "sysv_shm": syscall(29, 194, 0, 4096, 0o1600),
        "tiocsti": syscall(16, 29, 0, 0x5412, b"x"),
        "prlimit": syscall(302, 261, core, 7, (ctypes.c_uint64 * 2)(1, 1), none),
        "renice": syscall(141, 140, 0, core, 19),
        "renice_all": syscall(141, 140, 2, os.getuid(), 19),
        "affinity": syscall(203, 122, core, 8, ctypes.byref(ctypes.c_uint64(1))),
        "scheduler": syscall(144, 119, core, 3, ctypes.byref(ctypes.c_int(0))),
        "sched_attr": syscall(314, 274, core, (ctypes.c_uint32 * 14)(56, 3), 0),
        "ioprio": syscall(251, 30, 1, core, 3 << 13),
        "setuid": attempt(lambda: os.setuid(0) if os.getuid() else os.setuid(1)),
    }


def spin_between(_):
    """Answers at once, and goes on."""
    if os.fork() == 0:
        os.closerange(0, 3)
        while True:
            pass
    return "spinning"


def spin_short(_):
    """Many processes one after the other, none of which anybody waits for: what they used is in no account of a process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        if os.fork() == 0:
            end = time.process_time() + 0.015
            while time.process_time() < end:
                pass
            os._exit(0)
        time.sleep(0.015)
    return "spun"


def escape(settings):
    """A grandchild that leaves its parent, its group and its session, and can be known by its name."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 64)
            os.execv("/bin/sleep", ["sleep", settings["seconds"]])
        os._exit(0)
    time.sleep(0.2)
    return str(os.getpid())


def escape_and_hang(settings):
    escape(settings)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def look(_):
    fds = []
    for fd in range(1024):
        try:
            os.fstat(fd)
            fds.append(fd)
        except OSError:
            pass
    return {"env": sorted(os.environ), "fds": fds, "uid": os.getuid(), "pid": os.getpid(), "cwd": os.getcwd(), "home": os.environ["HOME"]}


def keep(settings):
    path = os.path.join(os.environ["HOME"], "kept")
    before = open(path).read() if os.path.exists(path) else ""
    with open(path, "a") as file:
        file.write(settings["text"])
    return before


def fetch(settings):
    def get():
        with socket.create_connection(("127.0.0.1", settings["port"]), 5) as way:
            way.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := way.recv(4096):
                answer += chunk
            return answer.decode().rsplit("\r\n", 1)[-1]
    return attempt(get)


def good(_):
    return "good"


def main():
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("mairust"):
            answer = {"mairust": 1, "plugin": os.environ["MAIRUST_PLUGIN_ID"], "version": "1.0.0", "api": ["1"]}
        elif request.get("health"):
            answer = {"status": "ok"}
        else:
            said = globals()[request["settings"]["do"]](request["settings"])
            answer = {"call_id": request["call_id"], "explanation": said if isinstance(said, str) else json.dumps(said)}
        print(json.dumps(answer), flush=True)


main()
