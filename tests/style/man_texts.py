"""What the manual pages say that no code says, in the markup of `roff.py`.

A section is a title and text: paragraphs; examples, which are indented; and terms, each a line with
`@ ` before it and the text about it below.
"""

from __future__ import annotations

from collections.abc import Sequence

Sections = Sequence[tuple[str, str]]

STATUSES = {
    "OK": "Done.",
    "NOT_FOUND": "There is no such vGPU.",
    "NO_CAPACITY": "A GPU is short of something; the message says of what, and who has it.",
    "PERMISSION": "The control socket is not for this user.",
}
"""Of those of `ExitCode` that have no docstring."""

VGPUD_HEAD: Sections = (
    ("NAME", "vgpud - user-space vGPU mediator for stock QEMU"),
    (
        "SYNOPSIS",
        """
`vgpud` [`-v`] `run` [`--config` _FILE_] [`--runtime-dir` _DIR_] [`--state-dir` _DIR_]

`vgpud` [`-v`] `serve` `--socket` _PATH_ [_options_]

`vgpud` [`-v`] `serve` `--vgpus` _N_ `--socket-dir` _DIR_ [_options_]
""",
    ),
    (
        "DESCRIPTION",
        """
`vgpud` gives virtual machines an Intel Gen9 GPU from user space. Each vGPU is a PCI device that a
stock QEMU (10.1 or newer) reaches over a Unix socket with its device `vfio-user-pci`; the guest
binds its own, unmodified i915 driver to it. The host needs no kernel module.

The GPU is a software Gen9 GPU. Nothing has run on real hardware, and no figure that `vgpud` prints
is a GPU's speed.

`vgpud run` is the service. It needs no configuration: without any it has one software GPU, `gpu0`.
vgpuctl(1) creates, watches and steers vGPUs through its control socket, and Prometheus can scrape
its metrics. `vgpud serve` serves one GPU in the foreground, without control, for a quick look and
for tests.
""",
    ),
)

VGPUD_TAIL: Sections = (
    (
        "STATES",
        """
A vGPU is in one of three states. Beside that its definition is kept on disk, or it is transient:
gone once it is stopped.

@ `defined`
It is kept on disk and has neither a part of a GPU nor a socket.

@ `active`
It has its part of a GPU, and a socket on which it waits for a client or serves one.

@ `error`
It should be active and cannot be: its GPU has vanished, or it could not be started when `vgpud`
was. `vgpuctl show` says why. `vgpuctl start` tries again, `vgpuctl stop` gives up.

When `vgpud` starts, it starts what was active when it ended, also after a crash, and what has
autostart. Transient vGPUs are among the former. After a reboot the runtime directory is empty: only
what has autostart is started.

A machine that was attached when `vgpud` ended does not find its GPU again: QEMU does not reconnect.
It has to be started anew.
""",
    ),
    (
        "SIGNALS",
        """
@ `SIGTERM`, `SIGINT`
Requests of guests that are queued come to their end, within `daemon.drain_seconds`; then all
clients are cut off and `vgpud` ends. A second one does not wait.

@ `SIGHUP`
The configuration is read again. A wrong one is logged and changes nothing. A GPU that has vGPUs
stays as it is until they are stopped and the configuration is read once more; `control` and
`metrics` stay until `vgpud` is started again.

This is of `vgpud run`. `vgpud serve` ends at once.
""",
    ),
    (
        "ENVIRONMENT",
        """
@ `XDG_CONFIG_HOME`, `XDG_RUNTIME_DIR`, `XDG_STATE_HOME`
See FILES; not used by root.

@ `CONFIGURATION_DIRECTORY`, `RUNTIME_DIRECTORY`, `STATE_DIRECTORY`
Set by systemd: the directories themselves. They come before all others.

@ `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `LISTEN_FDS`
The protocols of systemd: sd_notify(3), its watchdog, and socket activation with the names `control`
and `metrics`.

@ `JOURNAL_STREAM`
The log goes to the journal: lines begin with their priority.

@ `NO_COLOR`
No colours in the log on a terminal.
""",
    ),
    (
        "FILES",
        """
Root's come first, then those of another user. A user without `XDG_RUNTIME_DIR` has
`/tmp/vgpud-`_UID_`/vgpud` in place of the runtime directory.

@ `/etc/vgpud/vgpud.toml`, `$XDG_CONFIG_HOME/vgpud/vgpud.toml`
The configuration, vgpud.toml(5). It need not exist.

@ `/run/vgpud/`, `$XDG_RUNTIME_DIR/vgpud/`
The runtime directory: `control.sock`, the control socket; `vgpus/`_NAME_`.sock`, the socket of each
active vGPU; `active/`, what is active; `lock`.

@ `/var/lib/vgpud/`, `$XDG_STATE_HOME/vgpud/`
The state directory: `vgpus/`_UUID_`.json`, the definition of each vGPU; `lock`. A file that is no
definition is renamed to `.json.damaged`, and the log says so.
""",
    ),
    (
        "EXIT STATUS",
        """
@ `0`
Ended by a signal.

@ `1`
It cannot start: the message says why and what to do.

@ `2`
A wrong option, or something wrong in the configuration.
""",
    ),
    (
        "SECURITY",
        """
Who can connect to the control socket has all vGPUs, and who can connect to the socket of a vGPU has
that vGPU. Both have mode 0600 unless the configuration says otherwise, and are never writable by
everybody. The kernel tells `vgpud` who a client of the control socket is; besides root and the
daemon's own user only members of the socket's group are served.

The metrics have no password. By default they are served on 127.0.0.1 only.
""",
    ),
    (
        "EXAMPLES",
        """
A service without configuration, in the foreground:

    vgpud run

As root, from systemd units:

    systemctl enable --now vgpud.socket vgpud.service

One GPU for four guests, without control:

    vgpud serve --vgpus 4 --socket-dir /run/user/1000
""",
    ),
    ("SEE ALSO", "vgpuctl(1), vgpud.toml(5), systemd.socket(5)"),
)

VGPUCTL_HEAD: Sections = (
    ("NAME", "vgpuctl - create, watch and steer vGPUs"),
    ("SYNOPSIS", "`vgpuctl` [`--socket` _PATH_] _COMMAND_ [_options_] [_arguments_]"),
    (
        "DESCRIPTION",
        """
`vgpuctl` talks to vgpud(8) on its control socket. A vGPU is named by its name or by its UUID. A
command that takes several goes on after one failed, and ends with the status of the first failure.

Results go to standard output, messages to standard error: `error:` with what is wrong and, where
something can be done, `hint:` with what.
""",
    ),
)

VGPUCTL_MIDDLE: Sections = (
    (
        "OUTPUT",
        """
@ `table`, `wide`
For people, and may change. `wide` has more columns. Colours are used on a terminal only.

@ `json`, `yaml`
For programs. Names of fields are stable: they are those of the control API. Times are seconds,
sizes bytes, parts of a whole 0 to 1.

@ `csv`
The same fields; one that is no plain value is JSON.

@ `name`
A name a line.
""",
    ),
    (
        "STATES",
        """
A vGPU is `defined`, `active` or `error`, and its definition is kept or it is transient. vgpud(8)
says what that means. `create` is `define` and `start`; `destroy` is `stop` and `undefine`.
""",
    ),
    (
        "DECLARATION",
        """
The file of `apply`, `assert` and `export` is YAML or JSON:

    version: v1
    vgpus:
      - {name: web, type: V9_4, weight: 200, autostart: true}
      - {name: batch, type: V9_4, cap: 0.5}
      - {name: spare, type: V9_8, active: false}

`name` and `type` have to be there; `uuid`, `gpu`, `weight`, `cap`, `autostart` and `active` may be.
What is left out stays as it is, or is the type's choice; `active` is true. A vGPU is found by its
UUID where the file has one, else by its name. vGPUs that are not in the file are destroyed, without
`--keep`; one that has a client only with `--force`.
""",
    ),
)

VGPUCTL_TAIL: Sections = (
    (
        "ENVIRONMENT",
        """
@ `VGPUD_SOCKET`
The control socket. Without it and without `--socket` it is that of the user's own `vgpud`, or,
where there is none, `/run/vgpud/control.sock`.

@ `XDG_CONFIG_HOME`, `XDG_RUNTIME_DIR`, `XDG_STATE_HOME`
See FILES; not used by root.

@ `CONFIGURATION_DIRECTORY`, `RUNTIME_DIRECTORY`, `STATE_DIRECTORY`
Set by systemd: the directories themselves. They come before all others.

@ `NO_COLOR`
No colours, whatever its value.
""",
    ),
    (
        "FILES",
        """
@ `/run/vgpud/control.sock`, `$XDG_RUNTIME_DIR/vgpud/control.sock`
Control sockets.
""",
    ),
    (
        "EXAMPLES",
        """
A vGPU with twice the weight of another, which never gets more than half of the GPU's time:

    vgpuctl create web --type V9_4 --weight 8
    vgpuctl create batch --type V9_4 --weight 4 --cap 0.5

A machine on it:

    qemu-system-x86_64 -machine q35 $(vgpuctl qemu-args web --memory 4G) ...

Wait until the machine is off, one minute at most, then destroy its vGPU:

    vgpuctl destroy web --wait=60

All hangs and refusals, as JSON, a line each:

    vgpuctl events --kind hang --kind rejection -o json
""",
    ),
    ("SEE ALSO", "vgpud(8), vgpud.toml(5)"),
)

TOML_HEAD: Sections = (
    ("NAME", "vgpud.toml - configuration of vgpud"),
    ("SYNOPSIS", "`/etc/vgpud/vgpud.toml`, `$XDG_CONFIG_HOME/vgpud/vgpud.toml`"),
    (
        "DESCRIPTION",
        """
The configuration of vgpud(8) is a TOML file. No setting is needed, and neither is the file. An
unknown key, or a value that is not allowed, is an error that names the line and the key; `vgpud`
does not start then, and when it reads the file again it keeps what it had.
""",
    ),
)

TOML_TAIL: Sections = (
    (
        "TYPES",
        """
A type that the file defines stands beside those that are built in, or in place of the one of its
name. Built in are `V9_1`, `V9_2`, `V9_4`, `V9_8` and `V9_16`, named by how many of them fit on a
GPU, `private` and `passthrough`. `vgpuctl types` lists all.
""",
    ),
    (
        "EXAMPLES",
        """
Two software GPUs, the second with private GGTTs; sockets for libvirt's QEMU:

    [control]
    group = "vgpud"

    [sockets]
    owner = "libvirt-qemu"
    group = "kvm"
    mode = "0660"

    [[gpu]]
    name = "gpu0"

    [[gpu]]
    name = "gpu1"
    ggtt = "private"
    slice_ms = 8

    [types.small]
    kind = "ballooned"
    low_mib = 64
    high_mib = 192
    fences = 8
    weight = 2
""",
    ),
    ("SEE ALSO", "vgpud(8), vgpuctl(1)"),
)
