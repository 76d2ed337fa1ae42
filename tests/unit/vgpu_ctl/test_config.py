"""The configuration: defaults, what errors say and where, and that any text gives one of both."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vgpu_ctl
from mediator.dispatcher import WATCHDOG_NS
from mediator.vgpu.vgpu_type import TYPES
from scheduler.policies.timeslice import SLICE_NS
from vgpu_ctl.config import (
    LONGEST_FILE,
    Config,
    ConfigError,
    GpuConfig,
    TypeConfig,
    example,
    gid_of,
    load,
    parse,
    uid_of,
)
from vgpu_ctl.config_file import Document

PATH = Path("/etc/vgpud/vgpud.toml")
INSTALLED = Path(vgpu_ctl.__file__).parent / "share" / "config" / "vgpud.toml"


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, PATH)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{PATH}:")
    return message.removeprefix(f"{PATH}:")


def test_nothing_is_one_software_gpu() -> None:
    config = parse("", PATH)
    assert config == Config()
    assert config.gpus == (GpuConfig(name="gpu0", backend="softgpu"),)
    assert config.gpus[0].device_number == 0x5912
    assert config.gpus[0].watchdog_ms * 1_000_000 == WATCHDOG_NS  # as `vgpud serve`
    assert config.gpus[0].slice_ms * 1e6 == SLICE_NS
    assert config.control.mode_bits == 0o600
    assert config.metrics.addresses == (("127.0.0.1", 9446),)


def test_all_settings() -> None:
    text = """
        [daemon]
        drain_seconds = 0
        log_level = "debug"
        log_format = "json"
        [control]
        group = "games"
        connections = 1024
        [sockets]
        owner = "libvirt-qemu"
        group = "kvm"
        mode = "0660"
        directory = "/srv/gpu sockets"
        [metrics]
        listen = ["[::1]:9446", "0.0.0.0:9446", "localhost:80", "127.0.0.1:0", "127.0.0.1:0"]
        [limits]
        vgpus = 1
        [[gpu]]
        name = "left"
        types = ["mine"]
        slice_ms = 0.5
        pci = "0000:00:02.0"
        [[gpu]]
        name = "right"
        device_id = "1912"
        address_space = "direct"
        ggtt = "private"
        policy = "fifo"
        allow_unsealed = true
        [types.mine]
        kind = "ballooned"
        low_mib = 64
        high_mib = 384
        [types.wide]
        kind = "private"
        window_gib = 16
        weight = 1024
        [types.whole]
        kind = "passthrough"
    """
    config = parse(text, PATH)
    assert config.control.mode_bits == 0o660
    assert config.sockets.mode_bits == 0o660
    assert config.metrics.addresses == (
        ("::1", 9446),
        ("0.0.0.0", 9446),
        ("localhost", 80),
        ("127.0.0.1", 0),
        ("127.0.0.1", 0),
    )
    assert [gpu.name for gpu in config.gpus] == ["left", "right"]
    assert config.types["mine"] == TypeConfig(kind="ballooned", low_mib=64, high_mib=384)
    assert config.types["wide"].window_gib == 16
    assert parse("gpu = []\nmetrics.listen = []", PATH) == Config(
        gpus=(), metrics=msgspec.structs.replace(config.metrics, listen=())
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[gpu]]\n\nslice_ms = 0", "3: gpu[0].slice_ms: 0 is not allowed: 0.5 to 1000"),
        ("[[gpu]]\nslice_ms = nan", "2: gpu[0].slice_ms: nan is not allowed: 0.5 to 1000"),
        (
            "[[gpu]]\nslice_ms = '16'",
            '2: gpu[0].slice_ms: "16" is not allowed: a number, 0.5 to 1000',
        ),
        (
            "[[gpu]]\nwatchdog_ms = 10.5",
            "2: gpu[0].watchdog_ms: 10.5 is not allowed: a whole number, 10 to 10000",
        ),
        (
            "[[gpu]]\nallow_unsealed = 1",
            "2: gpu[0].allow_unsealed: 1 is not allowed: true or false",
        ),
        (
            "control.connections = 0x" + "f" * 6000,
            "1: control.connections: a number of 24000 bits is not allowed: 1 to 1024",
        ),
        ("gpu = 1", "1: gpu: 1 is not allowed: an array, at most 64 long"),
        ("daemon = []", "1: daemon: an array is not allowed: a table"),
        (
            "[daemon]\nlog_level = 'loud'",
            '2: daemon.log_level: "loud" is not allowed: "debug", "info", "warning" or "error"',
        ),
        (
            "[[gpu]]\nbackend = 'vfio'",
            '2: gpu[0].backend: "vfio" is not allowed: there is no code for real GPUs yet',
        ),
        ("[[gpu]]\nbackend = 'nvidia'", '2: gpu[0].backend: "nvidia" is not allowed: "softgpu"'),
        (
            "[[gpu]]\ndevice_id = '3e92'",
            '2: gpu[0].device_id: "3e92" is not allowed: "5912" or "1912"',
        ),
        (
            "[[gpu]]\npolicy = 'fifo'\nslice_ms = 4",
            '3: gpu[0].slice_ms: has no meaning with policy "fifo": leave it out',
        ),
        ("[[gpu]]\n[[gpu]]", '2: gpu[1].name: "gpu0" is the name of gpu[0] too'),
        (
            "[[gpu]]\npci = '0000:00:02.0'\n[[gpu]]\nname = 'b'\npci = '0000:00:02.0'",
            '5: gpu[1].pci: "0000:00:02.0" is gpu[0]\'s too',
        ),
        ("[[gpu]]\nslice = 4", "2: gpu[0].slice: unknown key: did you mean slice_ms?"),
        (
            "[limits]\nvgpu = 4\n'a\\u000a' = 5",
            '2: limits.vgpu: unknown key: did you mean vgpus? (unknown too: "a\\\\u000a")',
        ),
        (
            "[demon]\n",
            "1: demon: unknown key: did you mean daemon?",
        ),
        (
            "zzz = 1",
            "1: zzz: unknown key: there are daemon, control, sockets, metrics, limits, gpu, types",
        ),
        (
            "[types.mine]\nkind='private'\n[[gpu]]\ntypes = [\n'mine',\n'mime']",
            '4: gpu[0].types[1]: "mime" is no type of vGPU: did you mean mine?',
        ),
        (
            "[types.a]\nkind='private'\n[[gpu]]\ntypes = ['a', 'a']",
            '4: gpu[0].types[1]: "a" is there twice',
        ),
        (
            "[types.'../a']\nkind = 'private'",
            (
                '1: types."../a": this name is not allowed: 1 to 32 letters, digits, - _ and ., '
                "the first a letter or a digit"
            ),
        ),
        (
            "[types.a]\nweight = 1",
            '1: types.a.kind: is missing: "ballooned", "private" or "passthrough"',
        ),
        (
            "[types.a]\nkind = 'ballooned'\nlow_mib = 64",
            "1: types.a.high_mib: is missing: a ballooned type needs 16 to 1792",
        ),
        (
            "[types.a]\nkind = 'private'\nlow_mib = 64",
            '3: types.a.low_mib: goes with kind "ballooned" only',
        ),
        (
            "types.a = {kind = 'private', window_gib = 3}",
            "1: types.a.window_gib: 3 is not allowed: 16, 32, 64, 128 or 256",
        ),
        (
            "[control]\nmode = '0666'",
            (
                '2: control.mode: "0666" is not allowed: text such as "0660" or "0600": read and '
                "write for owner and group, nothing for others"
            ),
        ),
        (
            "[sockets]\ngroup = 'a b'",
            (
                '2: sockets.group: "a b" is not allowed: a name of letters, digits, - and _, or a '
                "number"
            ),
        ),
        (
            "[sockets]\ndirectory = 'sockets'",
            (
                '2: sockets.directory: "sockets" is not allowed: an absolute path; empty: the '
                "runtime directory"
            ),
        ),
        (
            "metrics = {listen = ['[::1]:80', '[0::1]:80']}",
            '1: metrics.listen[1]: "[0::1]:80" is there twice',
        ),
        ("[metrics\n", "1: not TOML: Expected ']' at the end of a table declaration, column 9"),
        ('\n[daemon]\na = "', "3: not TOML: Unterminated string, at the end"),
        ("a = " + "[" * 5000, " arrays or tables are nested too deeply"),
    ],
)
def test_errors_say_where_and_what_is_allowed(text: str, expected: str) -> None:
    assert problem(text) == expected


@pytest.mark.parametrize(
    "address",
    ["unix", "9446", ":9446", "::1:9446", "[::1]", "[1]:1", "a:65536", "a:-1", "1.2.3:4", "a b:1"],
)
def test_metrics_need_host_and_port(address: str) -> None:
    text = problem(f"[metrics]\nlisten = [{address!r}]")
    assert text.startswith(f'2: metrics.listen[0]: "{address}" is not allowed: HOST:PORT, such as ')


@pytest.mark.parametrize("mode", ["0606", "0661", "0200", "4600", "600\n", "", "0o600", "rw"])
def test_modes_leave_others_out(mode: str) -> None:
    assert "sockets.mode" in problem(f"[sockets]\nmode = {msgspec.json.encode(mode).decode()}")


def test_types_that_vgpud_has_are_known() -> None:
    name = next(iter(TYPES))
    assert parse(f"[[gpu]]\ntypes = ['{name}']", PATH).gpus[0].types == (name,)
    assert parse("[[gpu]]\ntypes = ['x']", PATH, builtin_types=["x"]).gpus[0].types == ("x",)


def test_the_place_of_keys() -> None:
    text = '''# [a]
a . "b.c" = """
x = 1
[[d]] " """"
[ e."f" ] # = 2
g = [ # ]
  "]", { h = 1 },
] # i = 1
j = 'k = "'
[[ l ]]
m.n = 1
[[l.o]]
[[l.o]]
p = { q = [ { r = 1 } ], s = "}" }
[l.t]
u = 1
[[l]]
[l.v]
w = 2'''
    document = Document(text, PATH)

    def line(*keys: str | int) -> int:
        return int(str(document.error(keys, "")).removeprefix(f"{PATH}:").split(":")[0])

    assert line("a", "b.c") == 2
    assert line("e", "f") == 5
    assert line("e", "f", "g", 1, "h") == 6
    assert line("e", "f", "j") == 9
    assert line("l", 0) == 10
    assert line("l", 0, "m", "n") == 11
    assert [line("l", 0, "o", index) for index in range(2)] == [12, 13]
    assert line("l", 0, "o", 1, "p", "q", 0, "r") == 14
    assert line("l", 0, "t", "u") == 16
    assert line("l", 1) == 17
    assert line("l", 1, "v", "w") == 19
    assert str(document.error(("x",), "no")) == f"{PATH}: x: no"


_LINES = st.sampled_from(
    [
        *("[daemon]", "[[gpu]]", "[types.a]", "[types.'b\"c']", "[metrics]", "[gpu.x]"),
        *("types.b.kind = 'private'", "gpu = [{name = 'a'}, 3]", "listen = ['a:1', 'a:1', '']"),
        *("kind = 'ballooned'", "low_mib = 64", "high_mib = 64", "window_gib = 2", "name = 'b'"),
        *("slice_ms = inf", "slice_ms = nan", "policy = 'fifo'", "slice_ms = 4", "types = ['q']"),
        *('"""', "'''", '"', "]", "}", "{", "#", "=", "a.b.c.d = 1979-05-27", "weight = 9e999"),
        *("pci = '0000:00:02.0'", "\\u0000", "control = {mode = '0600'}", "owner = '\\ud800'"),
    ]
)

_TEXTS = st.one_of(
    st.text(),
    st.lists(_LINES).map("\n".join),
    st.lists(_LINES | st.text(max_size=4)).map("".join),
)


@settings(max_examples=100, deadline=None)
@given(_TEXTS)
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    try:
        message = repr(parse(text, PATH))
    except ConfigError as error:
        message = str(error)
    assert message.isprintable()


_SCALARS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=8), st.datetimes(), st.none()
)
_KEYS = st.sampled_from([*Config.__struct_encode_fields__, *GpuConfig.__struct_encode_fields__])
_ITEMS = st.lists(_SCALARS, max_size=3) | _SCALARS
_TABLES = st.dictionaries(_KEYS | st.text(max_size=3), _ITEMS, max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_KEYS, _ITEMS | _TABLES | st.lists(_TABLES, max_size=2), max_size=3))
def test_a_value_that_does_not_fit_is_found(values: dict[str, object]) -> None:
    document = Document("", PATH)
    document.values = values
    try:
        message = f"{PATH}: all: {document.convert(Config)}"
    except ConfigError as error:
        message = str(error)
    assert re.match(rf"{PATH}: \S+: ", message)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vgpud.toml"
    assert load(path) == Config()
    path.write_bytes(b"[limits]\nvgpus = 7\n")
    assert load(path).limits.vgpus == 7
    path.write_bytes(b"[limits]\n# \xff\n")
    with pytest.raises(ConfigError, match=re.escape(f"{path}:2: byte 0xff is not UTF-8")):
        load(path)
    path.write_bytes(b"#" * (LONGEST_FILE + 1))
    with pytest.raises(ConfigError, match="too long: 1048576 bytes are allowed"):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load(path / "vgpud.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "vgpud.toml"
    path.touch(mode=0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(path)


def test_users_and_groups() -> None:
    assert uid_of("root") == gid_of("root") == 0
    assert uid_of("64055") == 64055
    for name in ("nobody-has-this", "4294967295", "9" * 5000, "a\0b", "\ud800", ""):
        with pytest.raises(ConfigError, match=r"user .* does not exist on this machine"):
            uid_of(name)
        with pytest.raises(ConfigError, match=r"group .* does not exist on this machine"):
            gid_of(name)


def test_the_example_is_the_defaults() -> None:
    assert parse(example(), PATH) == Config()
    every = parse(re.sub(r"(?m)^#(?=\S)", "", example()), PATH)
    assert msgspec.structs.replace(every, types={}) == Config()
    assert [kind.kind for kind in every.types.values()] == ["ballooned", "private"]
    assert max(map(len, example().splitlines())) <= 100


def test_the_installed_file_is_current() -> None:
    """`python -m tests.unit.vgpu_ctl.test_config` writes it."""
    assert INSTALLED.read_text() == example()


if __name__ == "__main__":
    INSTALLED.write_text(example())
