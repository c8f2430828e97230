"""A Linux with some programs in the emulator Bochs: what tools/amx_emulated needs of it.

The guest is Debian's kernel with an initial file system and nothing else: the programs and files
given, at the paths that they have here, the shared libraries that they need, and a static busybox
whose shell runs the commands and prints on the serial line, which Bochs writes to a file.
"""

import gzip
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PACKAGES = {
    "xorriso": "xorriso",
    "/bin/busybox": "busybox-static",
    "/usr/lib/ISOLINUX/isolinux.bin": "isolinux",
    "/usr/lib/syslinux/modules/bios/ldlinux.c32": "syslinux-common",
}
# Of these features one or more make the kernel fail in Bochs, once it has patched itself for them:
# it executes zeros. Which it is has not been looked for.
HIDDEN = "erms,fsrm,smap,smep,serialize,movdir64b,movdiri,waitpkg,invpcid,pcid,umip"
KERNEL_OPTIONS = (
    "console=ttyS0,115200 quiet loglevel=4 panic=-1 nokaslr mitigations=off no5lvl "
    f"clearcpuid={HIDDEN}"
)
MEMORY_MIB = 1024
# What the emulated clock takes for a second: a process's turn is some 40,000 of them, so that many
# turns end within a product, of whose instructions each takes long here.
INSTRUCTIONS_PER_SECOND = 10_000_000
END = "@@ end of the guest"


class Outcome(NamedTuple):
    status: int
    lines: list[str]  # stdout and stderr
    seconds: float  # on this machine


class GuestError(Exception):
    """Says what is missing or what went wrong, and what to do."""


def missing_packages() -> list[str]:
    return [
        package
        for what, package in PACKAGES.items()
        if not (Path(what).exists() if what.startswith("/") else shutil.which(what))
    ]


def kernel(cache: Path) -> Path:
    """Debian's kernel out of its package, which is downloaded once."""
    if found := sorted(cache.glob("vmlinuz-*")):
        return found[-1]
    cache.mkdir(parents=True, exist_ok=True)
    shown = subprocess.run(
        ["apt-cache", "depends", "linux-image-amd64"], stdout=subprocess.PIPE, text=True, check=True
    )
    package = re.search(r"Depends: (linux-image-\S+)", shown.stdout)
    if not package:
        raise GuestError("apt knows no linux-image-amd64; `apt-get update` may help")
    subprocess.run(
        ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=", package[1]],
        cwd=cache,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    archive = next(cache.glob(f"{package[1]}_*.deb"))
    files = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
    subprocess.run(
        ["tar", "-x", "--strip-components=2", "--wildcards", "./boot/vmlinuz-*"],
        cwd=cache,
        stdin=files.stdout,
        check=True,
    )
    files.communicate()
    archive.unlink()
    return next(cache.glob("vmlinuz-*"))


def libraries(program: Path) -> Iterator[Path]:
    """The shared libraries that a program needs, its loader included."""
    run = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True)
    for path in re.findall(r"(?:^|\s)(/\S+) \(0x", run.stdout):
        yield Path(path)


def archive(files: Mapping[str, bytes | Path]) -> bytes:
    """The files in the form in which Linux takes its first file system (cpio's "newc"). All of them
    are executable, and so are the folders above them, which are added."""
    parts: list[bytes] = []

    def add(name: str, mode: int, content: bytes) -> None:
        fields = [len(parts) + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        for part in (head, content):
            parts.append(part + b"\0" * (-len(part) % 4))

    folders: set[str] = set()
    for name, content in sorted(files.items()):
        for folder in reversed([str(p) for p in Path(name).parents][:-1]):
            if folder not in folders:
                folders.add(folder)
                add(folder.lstrip("/"), stat.S_IFDIR | 0o755, b"")
        data = content if isinstance(content, bytes) else content.read_bytes()
        add(name.lstrip("/"), stat.S_IFREG | 0o755, data)
    add("TRAILER!!!", 0, b"")
    return b"".join(parts)


def init_script(commands: Mapping[str, str]) -> str:
    lines = [
        "#!/bin/busybox sh",
        "set -o pipefail",  # the cat tells programs that this is no terminal
        "/bin/busybox mkdir -p /proc /sys /dev /tmp /root",
        "/bin/busybox mount -t proc proc /proc",
        "/bin/busybox mount -t sysfs sys /sys",
        "/bin/busybox mount -t devtmpfs dev /dev",
        "/bin/busybox mount -t tmpfs tmp /tmp",
        "/bin/busybox --install -s /bin",
        "export PATH=/bin HOME=/root TERM=dumb",
    ]
    for name, command in commands.items():
        lines += [f"echo '@@ begin {name}'", f"({command}) 2>&1 | cat", f'echo "@@ end {name} $?"']
    return "\n".join([*lines, f"echo '{END}'", "sleep 5", "poweroff -f", ""])


def write_image(image: Path, kernel_file: Path, file_system: bytes, options: str) -> None:
    """A CD that boots."""
    disc = image.parent / "disc"
    disc.mkdir()
    for path in list(PACKAGES)[2:]:
        shutil.copy(path, disc)
    shutil.copy(kernel_file, disc / "vmlinuz")
    (disc / "initrd").write_bytes(file_system)
    menu = f"DEFAULT tern\nLABEL tern\n KERNEL /vmlinuz\n INITRD /initrd\n APPEND {options}\n"
    (disc / "isolinux.cfg").write_text(menu, encoding="utf-8")
    words = ["-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4"]
    subprocess.run(
        ["xorriso", "-as", "mkisofs", "-quiet", "-o", image, *words, "-boot-info-table", disc],
        check=True,
    )


def settings(bochs: Path, image: Path, console: Path, model: str) -> str:
    cpu = f"model={model}, count=1, ips={INSTRUCTIONS_PER_SECOND}, cpuid_freq=ips"
    return "\n".join([
        "display_library: nogui",
        f"romimage: file={bochs}/bios/BIOS-bochs-latest, options=fastboot",
        f"vgaromimage: file={bochs}/bios/VGABIOS-lgpl/VGABIOS-lgpl-latest.bin",
        f"cpu: {cpu}, reset_on_triple_fault=0",
        f"memory: guest={MEMORY_MIB}, host={MEMORY_MIB}",
        "clock: sync=none, time0=utc",
        "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
        f"ata0-master: type=cdrom, path={image}, status=inserted",
        "boot: cdrom",
        f"com1: enabled=1, mode=file, dev={console}",
        "speaker: enabled=0",
        f"log: {image.parent}/bochs.log",
        "panic: action=fatal",
        "error: action=ignore",
        "info: action=ignore",
        "debug: action=ignore",
        "",
    ])  # fmt: skip


def follow(console: Path, running: subprocess.Popen[bytes], seconds: float) -> Iterator[str]:
    """Each line of the console as it comes; ends with the emulator or when the time is up."""
    until = time.monotonic() + seconds
    rest = b""
    with console.open("rb") as stream:
        while True:
            ended = running.poll() is not None or time.monotonic() > until
            *lines, rest = (rest + stream.read()).split(b"\n")
            yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
            if ended:
                return
            time.sleep(0.2)


def outcomes(lines: Iterator[str]) -> Iterator[tuple[str, Outcome]]:
    """The commands and what came of them; a GuestError when the lines end before the guest."""
    name, found, since, tail = "", [], 0.0, []
    for line in lines:
        tail = [*tail[-9:], line]
        if begin := re.fullmatch(r"@@ begin (\S+)", line):
            name, found, since = begin[1], [], time.monotonic()
        elif end := re.fullmatch(rf"@@ end {name} (\d+)", line):
            yield name, Outcome(int(end[1]), found, time.monotonic() - since)
        elif line == END:
            return
        else:
            found.append(line)
    raise GuestError("the guest did not reach its end; its last lines:\n" + "\n".join(tail))


def run(
    folder: Path,
    bochs: Path,
    kernel_file: Path,
    files: Mapping[str, bytes | Path],
    commands: Mapping[str, str],
    *,
    model: str,
    options: str = "",
    seconds: float,
) -> Iterator[tuple[str, Outcome]]:
    """Boots the guest, with all that is written in `folder`; gives the outcomes as they come."""
    own = {"/bin/busybox": Path("/bin/busybox"), "/init": init_script(commands).encode()}
    file_system = gzip.compress(archive({**files, **own}))
    image, console = folder / "image.iso", folder / "console.txt"
    write_image(image, kernel_file, file_system, f"{KERNEL_OPTIONS} {options}")
    console.touch()
    (folder / "bochsrc").write_text(settings(bochs, image, console, model), encoding="utf-8")
    with (folder / "bochs.out").open("wb") as output:
        running = subprocess.Popen(
            [bochs / "bochs", "-q", "-f", folder / "bochsrc"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield from outcomes(follow(console, running, seconds))
    finally:
        running.kill()
        running.wait()
