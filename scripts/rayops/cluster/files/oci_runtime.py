"""OCI runtime that asks runc only for the capabilities that this host holds, then is runc.

containerd's shim calls it as it would call runc. `create` reads BUNDLE/config.json, `exec` the file of --process.
"""

import json
import os
import shutil
import sys

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def available() -> set[str]:
    """Names of the capabilities in the bounding set."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        bounding = next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd"))
    return {f"CAP_{name}" for bit, name in enumerate(NAMES) if bounding >> bit & 1}


def restrict(path: str, keys: list[str]) -> None:
    """Drop from the process description what the host does not hold."""
    with open(path) as file:  # noqa: PTH123
        document = json.load(file)
    process = document
    for key in keys:
        process = process[key]
    held, capabilities = available(), process.get("capabilities") or {}
    for kind, names in capabilities.items():
        capabilities[kind] = [name for name in names if name in held]
    with open(path, "w") as file:  # noqa: PTH123
        json.dump(document, file)


def after(arguments: list[str], *options: str) -> str:
    """The value of the first of these options, in either form."""
    for position, argument in enumerate(arguments):
        for option in options:
            if argument == option:
                return arguments[position + 1]
            if argument.startswith(option + "="):
                return argument.partition("=")[2]
    return "."


def main() -> None:
    """Edit what runc will read, then become runc."""
    arguments = sys.argv[1:]
    if "create" in arguments or "run" in arguments:
        restrict(os.path.join(after(arguments, "--bundle", "-b"), "config.json"), ["process"])  # noqa: PTH118
    elif "exec" in arguments and after(arguments, "--process", "-p") != ".":
        restrict(after(arguments, "--process", "-p"), [])
    runc = shutil.which("runc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") or "runc"
    os.execv(runc, [runc, *arguments])  # noqa: S606


if __name__ == "__main__":
    main()
