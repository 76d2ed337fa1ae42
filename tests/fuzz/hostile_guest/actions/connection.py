"""The connection: rubbish, halves of messages, answers nobody reads, every manner of leaving."""

from __future__ import annotations

import array
import os
import signal
import socket
import time
from contextlib import suppress

from mmio_trap.vfio_user.protocol import HEADER, HEADER_SIZE, NO_REPLY, REGION_ACCESS, pack_message
from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest, Gone, descriptor
from tests.fuzz.hostile_guest.chance import Chance


def look_for_loot(guest: AttackerGuest, _: Chance) -> None:
    """The attacker goes through its memory."""
    guest.look_for_loot()


def pause(_: AttackerGuest, chance: Chance) -> None:
    """Let the GPU work."""
    time.sleep(chance.choice((0.0, 0.001, 0.004, 0.02)))


def misused_messages(guest: AttackerGuest, chance: Chance) -> None:
    """Well framed, and refused: any command with any payload."""
    for _ in range(chance.randrange(1, 12)):
        command = chance.choice((*range(20), chance.getrandbits(16)))
        if command == 13:  # a function-level reset has its own place
            continue
        payload = chance.garbage(chance.choice((0, 4, 16, 32, 40, 4096)))
        with suppress(Exception):
            guest.client.request(command, payload)
    guest.may_be_cut_off = True
    guest.reboot()


def leave(guest: AttackerGuest, _: Chance) -> None:
    """Without a word, whatever runs."""
    guest.leave()


def leave_in_a_message(guest: AttackerGuest, chance: Chance) -> None:
    """Half a header, half a payload, or most of a MiB."""
    whole = pack_message(7, chance.randrange(1, 17), chance.garbage(chance.choice((16, 4096))))
    guest.leave(whole[: chance.randrange(1, len(whole))])


def wait_in_a_message(guest: AttackerGuest, chance: Chance) -> None:
    """A message is begun and not finished for a while, then it is, or the guest leaves."""
    request = REGION_ACCESS.pack(0x44200, 0, 4) + bytes(4)
    whole = pack_message(7, 10, request, NO_REPLY)
    cut = chance.randrange(1, len(whole))
    guest.send_bytes(whole[:cut])
    time.sleep(chance.choice((0.01, 0.2)))
    if chance.once_in(2):
        guest.leave()
    guest.send_bytes(whole[cut:])


def rubbish(guest: AttackerGuest, chance: Chance) -> None:
    """What is no message ends the connection."""
    match chance.randrange(4):
        case 0:
            data = chance.garbage(chance.choice((16, 100, 5000)))
        case 1:
            data = HEADER.pack(1, 9, chance.edge(), chance.edge(), 0)
        case 2:
            data = HEADER.pack(1, 9, HEADER_SIZE, 1, 0)  # an answer to nothing
        case _:
            data = HEADER.pack(1, 10, 0xFFFF_FFFF, 0, 0) + bytes(1 << 20)
    guest.leave(data)


def answers_nobody_reads(guest: AttackerGuest, chance: Chance) -> None:
    """Many reads of a MiB; the answers stay in the socket until the guest leaves."""
    sock = guest.client._connection._sock
    guest.may_be_cut_off = True
    sock.settimeout(0.05)
    size = chance.choice((4, 4096, 1 << 20))
    with suppress(OSError):
        for _ in range(chance.choice((20, 2000))):
            sock.sendall(pack_message(1, 9, REGION_ACCESS.pack(0, 0, size)))
    time.sleep(chance.choice((0.0, 0.1)))
    guest.leave()


def descriptors_nobody_asked_for(guest: AttackerGuest, chance: Chance) -> None:
    """With messages that take none, too many with one that takes one, halves of messages with."""
    fds = [
        descriptor(guest, os.eventfd(0, os.EFD_CLOEXEC)) for _ in range(chance.choice((1, 9, 60)))
    ]
    message = pack_message(3, chance.choice((2, 8, 9, 4)), bytes(chance.choice((0, 16, 32))))
    data = message[: chance.choice((1, HEADER_SIZE, len(message)))]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    guest.may_be_cut_off = True
    with suppress(OSError):
        guest.client._connection._sock.sendmsg([data], rights)
    guest.leave()


def second_client(guest: AttackerGuest, chance: Chance) -> None:
    """Others come to the same vGPU: they are turned away, and the first one works on."""
    for _ in range(chance.choice((1, 10))):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.settimeout(30)
            with suppress(OSError):
                other.connect(guest.path)
                other.sendall(chance.garbage(chance.choice((1, 16, 100))))
    guest.driver.read32(0x44200)


def die(_: AttackerGuest, __: Chance) -> None:
    """The process is killed, in the middle of whatever it has begun."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise Gone
