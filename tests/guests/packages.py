"""Facts: the Debian suites and packages that guests are made of (data only).

A `World` is a set of suites that one dependency resolution may see. Mixing suites of different
releases in one resolution would mix their C libraries, so each release has a world of its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """Suites that are resolved together; packages of suite `prefer` win."""

    name: str
    suites: tuple[str, ...]
    prefer: str | None = None


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Packages to resolve in `world`; with `only`, just the names that match it are fetched."""

    name: str
    world: World
    packages: tuple[str, ...]
    only: str | None = None


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """One guest kernel: the version the user asks for and where Debian keeps it."""

    version: str
    packages: PackageSet


TRIXIE = World("trixie", ("trixie",))
BACKPORTS = World("backports", ("trixie", "trixie-backports"), prefer="trixie-backports")
BOOKWORM = World("bookworm", ("bookworm",))
FORKY = World("forky", ("forky",))

QEMU = PackageSet("qemu", BACKPORTS, ("qemu-system-x86",))
QEMU_MINIMUM = (10, 1)

MKE2FS = PackageSet("mke2fs", TRIXIE, ("e2fsprogs",))
PIP_WHEEL = PackageSet("pip", TRIXIE, ("python3-pip-whl",), only=r"python3-pip-whl")
PROMETHEUS = PackageSet("prometheus", TRIXIE, ("prometheus",), only=r"prometheus|promtool|libc6")
TMUX = PackageSet("tmux", TRIXIE, ("tmux", "ncurses-base"))
# Of Debian 12 whatever the machine has: its C library comes with it, so its programs run on any.
LIBVIRT = PackageSet(
    "libvirt",
    BOOKWORM,
    (
        "libvirt-daemon",
        "libvirt-daemon-driver-qemu",
        "libvirt-clients",
        "libvirt-dev",
        "pkgconf-bin",
    ),
)
# Intel's OpenCL compiler for Gen9 and the assembler of its execution units; they need no GPU.
EU_COMPILER = PackageSet(
    "eu-compiler",
    BOOKWORM,
    ("intel-opencl-icd", "libigc-tools", "libstdc++6"),
)
DRM_HEADERS = PackageSet("drm-headers", TRIXIE, ("linux-libc-dev",), only=r"linux-libc-dev")
# What the small compute programs are built with: public headers, and shaders to SPIR-V.
COMPUTE_KIT = PackageSet(
    "compute-kit", TRIXIE, ("glslang-tools", "libvulkan-dev", "opencl-c-headers")
)
BUSYBOX = PackageSet("busybox", TRIXIE, ("busybox-static",), only=r"busybox-static")

KERNEL_IMAGE = r"linux-image-[0-9][^_]*-amd64"
KERNELS = {
    "6.12": KernelFacts(
        "6.12", PackageSet("linux-6.12", TRIXIE, ("linux-image-amd64",), only=KERNEL_IMAGE)
    ),
    "6.1": KernelFacts(
        "6.1", PackageSet("linux-6.1", BOOKWORM, ("linux-image-amd64",), only=KERNEL_IMAGE)
    ),
}
DEFAULT_KERNEL = "6.12"

# Loaded by the initramfs, in dependency order, before the root file system is there.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4", "overlay")
# Copied into the guest's /lib/modules with what they depend on; loaded on request.
GUEST_MODULES = ("i915", "vgem", "vfio", "vfio_iommu_type1", "vfio_pci")
# Wanted when the kernel has them as modules; built in or absent elsewhere.
OPTIONAL_MODULES = ("crc32c_generic", "crc32c_intel", "virtio_rng", "snd_hda_core")

ROOT_FILE_SYSTEM = PackageSet(
    "rootfs",
    FORKY,
    (
        "bash",
        "busybox-static",
        "clinfo",
        "coreutils",
        "grep",
        "igt-gpu-tools-tests",
        "kmod",
        "libc-bin",
        "mesa-opencl-icd",
        "mesa-vulkan-drivers",
        "mount",
        "pciutils",
        "procps",
        "sed",
        "util-linux",
        "vulkan-tools",
    ),
)

# What programs that compute need, in every userland below.
_COMPUTE = (
    "bash",
    "busybox-static",
    "clinfo",
    "clpeak",
    "coreutils",
    "kmod",
    "libc-bin",
    "mount",
    "pciutils",
    "procps",
    "python3-pyopencl",
    "python3-pytest",
    "sed",
    "util-linux",
)
_MESA = ("mesa-opencl-icd", "mesa-vulkan-drivers", "vulkan-tools")
USERLANDS = {
    "bookworm": PackageSet("bookworm", BOOKWORM, (*_COMPUTE, "intel-opencl-icd")),
    "trixie": PackageSet("trixie", TRIXIE, (*_COMPUTE, *_MESA)),
    "forky": PackageSet("forky", FORKY, (*_COMPUTE, *_MESA)),
    "pocl": PackageSet("pocl", TRIXIE, (*_COMPUTE, "pocl-opencl-icd")),
}
"""User space that computes: NEO, two versions of Mesa, and OpenCL on the host's processor."""

# Its programs load a library of OpenGL's, which they do not use.
_PIGLIT = r"piglit|libegl1|libglvnd0"
PIGLITS = {
    world.name: PackageSet(f"piglit-{world.name}", world, ("piglit",), only=_PIGLIT)
    for world in (BOOKWORM, TRIXIE, FORKY)
}
"""Piglit, by user space; its OpenCL tests alone are kept."""
PIGLIT_LIBRARIES = ("libEGL.so.1*", "libGLdispatch.so.0*")

# Removed from the root file system: nothing a guest program opens.
TRIMMED = (
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/fonts",
    "usr/share/i18n",
    "usr/share/icons",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/x86_64-linux-gnu/gconv",
    "var/lib/apt",
    "var/cache",
)

# What the C extension is built with; needs root to install.
EXTENSION_PACKAGES = ("gcc", "libc6-dev", "python3-dev")
