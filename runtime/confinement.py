"""Confines the current process for good: Landlock for files, seccomp for system calls, namespaces and limits besides.

Runs inside the child process before untrusted code, with nothing but the standard library (so it also imports nothing
of ttsc). Each wall stands alone:

- Landlock allows reading the interpreter's standard library and the shared libraries it loads, and files directly in
  the working directory; no other file can be opened, whatever the user's rights. Newer kernels also refuse TCP, and
  signals to others.
- seccomp lets through a list of system calls that plain computing needs, and answers every other with "not permitted":
  no sockets but a process's pair with itself, no new processes, no exec, no ptrace, no kill, no changed file modes or
  limits.
- Where the kernel lets us, the network, user and IPC namespaces are empty ones.
- Limits bound CPU time, memory, the size of a file and open files. The process dies with the thread that started it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys

NAMES_X86_64 = """
read=0 write=1 close=3 fstat=5 newfstatat=262 stat=4 lstat=6 statx=332 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12
mremap=25 madvise=28 mincore=27 rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 rt_sigpending=127
rt_sigtimedwait=128 rt_sigsuspend=130 sigaltstack=131 pread64=17 pwrite64=18 readv=19 writev=20 preadv=295
pwritev=296 access=21 faccessat=269 faccessat2=439 pipe=22 pipe2=293 select=23 pselect6=270 poll=7 ppoll=271
sched_yield=24 sched_getaffinity=204 dup=32 dup2=33 dup3=292 nanosleep=35 clock_nanosleep=230 pause=34 getpid=39
gettid=186 getppid=110 getpgrp=111 getpgid=121 getsid=124 getuid=102 geteuid=107 getgid=104 getegid=108
getresuid=118 getresgid=120 getgroups=115 exit=60 exit_group=231 uname=63 fcntl=72 flock=73 fsync=74 fdatasync=75
ftruncate=77 getdents=78 getdents64=217 getcwd=79 chdir=80 fchdir=81 rename=82 renameat=264 renameat2=316
unlink=87 unlinkat=263 open=2 openat=257 readlink=89 readlinkat=267 umask=95 gettimeofday=96 clock_gettime=228
clock_getres=229 time=201 times=100 getrusage=98 sysinfo=99 getrlimit=97 futex=202 set_robust_list=273
get_robust_list=274 set_tid_address=218 arch_prctl=158 rseq=334 getrandom=318 restart_syscall=219 epoll_create=213
epoll_create1=291 epoll_ctl=233 epoll_wait=232 epoll_pwait=281 eventfd2=290 getitimer=36 setitimer=38 alarm=37
membarrier=324 copy_file_range=326 sendfile=40 getcpu=309 fadvise64=221 recvfrom=45 shutdown=48
"""
"""Allowed without condition on x86-64 (numbers of the kernel's `unistd_64.h`)."""

NAMES_AARCH64 = """
read=63 write=64 close=57 fstat=80 newfstatat=79 statx=291 lseek=62 mmap=222 mprotect=226 munmap=215 brk=214
mremap=216 madvise=233 mincore=232 rt_sigaction=134 rt_sigprocmask=135 rt_sigreturn=139 rt_sigpending=136
rt_sigtimedwait=137 rt_sigsuspend=133 sigaltstack=132 pread64=67 pwrite64=68 readv=65 writev=66 preadv=69 pwritev=70
faccessat=48 faccessat2=439 pipe2=59 pselect6=72 ppoll=73 sched_yield=124 sched_getaffinity=123 dup=23 dup3=24
nanosleep=101 clock_nanosleep=115 getpid=172 gettid=178 getppid=173 getpgid=155 getsid=156 getuid=174 geteuid=175
getgid=176 getegid=177 getresuid=148 getresgid=150 getgroups=158 exit=93 exit_group=94 uname=160 fcntl=25 flock=32
fsync=82 fdatasync=83 ftruncate=46 getdents64=61 getcwd=17 chdir=49 fchdir=50 renameat=38 renameat2=276 unlinkat=35
openat=56 readlinkat=78 umask=166 gettimeofday=169 clock_gettime=113 clock_getres=114 times=153 getrusage=165
sysinfo=179 getrlimit=163 futex=98 set_robust_list=99 get_robust_list=100 set_tid_address=96 rseq=293 getrandom=278
restart_syscall=128 epoll_create1=20 epoll_ctl=21 epoll_pwait=22 eventfd2=19 getitimer=102 setitimer=103
membarrier=283 copy_file_range=285 sendfile=71 getcpu=168 fadvise64=223 recvfrom=207 shutdown=210
"""
"""The same on 64-bit ARM (`asm-generic/unistd.h`)."""

CONDITIONAL_X86_64 = "clone=56 clone3=435 tgkill=234 prlimit64=302 ioctl=16 socketpair=53 sendto=44"
CONDITIONAL_AARCH64 = "clone=220 clone3=435 tgkill=131 prlimit64=261 ioctl=29 socketpair=199 sendto=206"

ARCHITECTURES = {
    "x86_64": (0xC000003E, NAMES_X86_64, CONDITIONAL_X86_64),
    "aarch64": (0xC00000B7, NAMES_AARCH64, CONDITIONAL_AARCH64),
}

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_FILE, _WRITE_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 2, 1 << 1, 1 << 3, 1 << 5, 1 << 8, 1 << 14
_ALL_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_NEWER = (1 << 16) - 1
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_SET_DUMPABLE, _PR_SET_PDEATHSIG = 38, 22, 4, 1
_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_ALLOW, _DENY, _NO_SUCH_CALL, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000
_HARMLESS_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Terminal attributes and size (to find that there is none), bytes to read, non-blocking mode, close-on-exec."""


class NotConfined(Exception):
    """The kernel lacks what is needed."""


def confine(stdlib: str, cwd: str, cpu_s: int, memory_bytes: int, file_bytes: int) -> None:
    """Confine this process and everything it may become. Raises `NotConfined` if a wall cannot be built."""
    libc = ctypes.CDLL(None, use_errno=True)
    libraries = loaded_libraries(stdlib)
    leave_namespaces(libc)
    set_limits(cpu_s, memory_bytes, file_bytes)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NotConfined("no_new_privs is refused")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    restrict_files(libc, stdlib, libraries, cwd)
    filter_calls(libc)


def set_limits(cpu_s: int, memory_bytes: int, file_bytes: int) -> None:
    """Limits that hold with or without the other walls."""
    for limit, value in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def loaded_libraries(stdlib: str) -> list[str]:
    """Folders of the shared libraries in use, for extension modules that load more; single files where a folder holds
    the standard library too.
    """
    found: dict[str, None] = {}
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")[2]
            path = "/" + path
            if ".so" not in os.path.basename(path) or not os.path.isfile(path):
                continue
            folder = os.path.dirname(os.path.realpath(path))
            inside = os.path.commonpath([folder, stdlib]) == stdlib
            above = os.path.commonpath([folder, stdlib]) == folder
            if not inside:
                found[os.path.realpath(path) if above else folder] = None
    return list(found)


def leave_namespaces(libc: ctypes.CDLL) -> None:
    """An empty network and IPC namespace, if we may."""
    for flags in (_NEW_USER | _NEW_NET | _NEW_IPC, _NEW_NET | _NEW_IPC):
        if libc.unshare(flags) == 0:
            return


def restrict_files(libc: ctypes.CDLL, stdlib: str, libraries: list[str], cwd: str) -> None:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        raise NotConfined("the kernel has no Landlock (Linux 5.13 or later, with the landlock module on)")
    handled = _ALL_FILE_RIGHTS.get(version, _ALL_NEWER)
    attributes = struct.pack("=Q", handled)
    if version >= 4:
        attributes += struct.pack("=Q", 3)
    if version >= 6:
        attributes += struct.pack("=Q", 3)
    ruleset = libc.syscall(
        _LANDLOCK_CREATE, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        raise NotConfined(f"Landlock: {os.strerror(ctypes.get_errno())}")

    def allow(path: str, rights: int) -> None:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        rule = struct.pack("=Qi", rights & handled, descriptor)
        done = libc.syscall(
            _LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.c_char_p(rule), ctypes.c_uint32(0)
        )
        os.close(descriptor)
        if done != 0:
            raise NotConfined(f"Landlock: {os.strerror(ctypes.get_errno())} for {path}")

    allow(stdlib, _READ_DIR)
    for entry in os.scandir(stdlib):
        if entry.name not in ("site-packages", "dist-packages"):
            allow(entry.path, _READ_FILE | _READ_DIR if entry.is_dir() else _READ_FILE)
    for library in libraries:
        allow(library, _READ_FILE)
    for device in ("/dev/urandom", "/etc/ld.so.cache"):
        allow(device, _READ_FILE)
    allow("/dev/null", _READ_FILE | _WRITE_FILE)
    allow(cwd, _READ_FILE | _READ_DIR | _WRITE_FILE | _MAKE_REG | _REMOVE_FILE | _TRUNCATE)
    if libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)) != 0:
        raise NotConfined(f"Landlock: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


# --- seccomp --------------------------------------------------------------------------------------------------------

_LOAD, _JUMP_EQUAL, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06


def _numbers(listed: str) -> dict[str, int]:
    return {name: int(number) for name, number in (item.split("=") for item in listed.split())}


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value & 0xFFFFFFFF)


def _argument(index: int, high: bool = False) -> bytes:
    return _instruction(_LOAD, 16 + 8 * index + (4 if high else 0))


def filter_program(machine: str, pid: int) -> bytes:
    """The filter in classic BPF. Every call that is not let through gets "not permitted"; another architecture's
    calls end the process.
    """
    audit, plain, conditional = ARCHITECTURES[machine]
    numbers = _numbers(conditional)
    allow = _instruction(_RETURN, _ALLOW)
    deny = _instruction(_RETURN, _DENY)
    checks: dict[str, list[bytes]] = {
        # New threads of this process, no new processes.
        "clone": [_argument(0), _instruction(_JUMP_SET, 0x00010000, 0, 1), allow, deny],
        # Its flags are behind a pointer; with this answer the C library uses clone.
        "clone3": [_instruction(_RETURN, _NO_SUCH_CALL)],
        # Signals to itself.
        "tgkill": [_argument(0), _instruction(_JUMP_EQUAL, pid, 0, 1), allow, deny],
        # Reading limits, not setting them.
        "prlimit64": [
            _argument(2),
            _instruction(_JUMP_EQUAL, 0, 0, 3),
            _argument(2, high=True),
            _instruction(_JUMP_EQUAL, 0, 0, 1),
            allow,
            deny,
        ],
        "ioctl": [
            _argument(1),
            *(part for each in _HARMLESS_IOCTLS for part in (_instruction(_JUMP_EQUAL, each, 0, 1), allow)),
            deny,
        ],
        # A Unix stream pair, which event loops wake themselves with.
        "socketpair": [
            _argument(0),
            _instruction(_JUMP_EQUAL, 1, 0, 4),
            _argument(1),
            _instruction(_AND, 0xF),
            _instruction(_JUMP_EQUAL, 1, 0, 1),
            allow,
            deny,
        ],
        # Without an address.
        "sendto": [
            _argument(4),
            _instruction(_JUMP_EQUAL, 0, 0, 3),
            _argument(4, high=True),
            _instruction(_JUMP_EQUAL, 0, 0, 1),
            allow,
            deny,
        ],
    }
    program = [
        _instruction(_LOAD, 4),
        _instruction(_JUMP_EQUAL, audit, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, 0),
    ]
    for number in _numbers(plain).values():
        program += [_instruction(_JUMP_EQUAL, number, 0, 1), allow]
    for name, body in checks.items():
        program += [_instruction(_JUMP_EQUAL, numbers[name], 0, len(body)), *body]
    return b"".join([*program, deny])


def filter_calls(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    if machine not in ARCHITECTURES or sys.byteorder != "little" or struct.calcsize("P") != 8:
        raise NotConfined(f"there is no system call filter for {machine}")
    program = filter_program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0) != 0:
        raise NotConfined(f"seccomp: {os.strerror(ctypes.get_errno())}")
