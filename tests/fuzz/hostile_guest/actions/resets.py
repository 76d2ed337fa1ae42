"""Resets: of an engine, of all, of the function; asked for properly, badly, in between."""

from __future__ import annotations

from tests.fuzz.hostile_guest.attacker_guest import AttackerGuest
from tests.fuzz.hostile_guest.chance import Chance
from tests.gpu_driver import ENGINE_BASES
from tests.gpu_driver.driver import FAULT, GDRST, HWS_PGA, MI_MODE, RESET_BITS, RESET_CTL


def _ask(guest: AttackerGuest, chance: Chance, engines: list[str]) -> None:
    """As a driver does before, with a step or an answer left out now and then."""
    driver = guest.driver
    for engine in engines:
        if chance.randrange(6):
            driver.engine_write(engine, MI_MODE, 1 << 24 | 1 << 8)
        if chance.randrange(3):
            driver.engine_read(engine, MI_MODE)
        if chance.randrange(6):
            driver.engine_write(engine, RESET_CTL, 1 << 16 | 1)
        if chance.randrange(3):
            driver.engine_read(engine, RESET_CTL)


def _again(guest: AttackerGuest, chance: Chance, engines: list[str]) -> None:
    """Status pages and execution lists as a driver sets them up."""
    driver = guest.driver
    driver.write32(FAULT, 0)
    for engine in engines:
        driver.engine_write(engine, RESET_CTL, 1 << 16)
        page = driver.engine_read(engine, HWS_PGA)
        driver.start_engine(engine, page)
        if guest.contexts and chance.once_in(2):
            driver.submit(chance.choice(guest.contexts))


def of_an_engine(guest: AttackerGuest, chance: Chance) -> None:
    """As after a hang; its work is lost or comes again."""
    engine = chance.choice([*ENGINE_BASES])
    _ask(guest, chance, [engine])
    guest.driver.write32(GDRST, RESET_BITS[engine])
    if chance.randrange(4):
        guest.driver.read32(GDRST)
        _again(guest, chance, [engine])


def of_some_engines(guest: AttackerGuest, chance: Chance) -> None:
    """Several bits at once, or any value."""
    engines = chance.sample([*ENGINE_BASES], chance.randrange(1, 5))
    _ask(guest, chance, engines)
    bits = sum(RESET_BITS[engine] for engine in engines)
    guest.driver.write32(GDRST, chance.choice((bits, bits | 1, 1, 0xFFFF_FFFF, chance.edge())))
    if chance.once_in(2):
        _again(guest, chance, [*ENGINE_BASES])


def of_the_function(guest: AttackerGuest, chance: Chance) -> None:
    """DEVICE_RESET, once or twice; then perhaps a submission to what is cold."""
    for _ in range(chance.choice((1, 1, 2))):
        guest.client.reset()
    if chance.once_in(2):
        guest.reboot()
    elif guest.contexts:
        guest.driver.submit(chance.choice(guest.contexts))


def asked_for_and_forgotten(guest: AttackerGuest, chance: Chance) -> None:
    """The engine is to be ready for a reset that does not come, or is told to go on."""
    engine = chance.choice([*ENGINE_BASES])
    guest.driver.engine_write(engine, RESET_CTL, 1 << 16 | 1)
    if guest.contexts:
        guest.driver.submit(chance.choice(guest.contexts))
    if chance.once_in(2):
        guest.driver.engine_write(engine, RESET_CTL, 1 << 16)


def in_a_row(guest: AttackerGuest, chance: Chance) -> None:
    """A reset after each submission."""
    for _ in range(chance.randrange(2, 10)):
        if guest.contexts:
            guest.driver.submit(chance.choice(guest.contexts))
        engine = chance.choice([*ENGINE_BASES])
        guest.driver.write32(GDRST, chance.choice((1, RESET_BITS[engine])))
        _again(guest, chance, [engine])


def of_hung_engines(guest: AttackerGuest, chance: Chance) -> None:
    """What reports an error is made good, so that the next steps reach further than the port.

    Now and then all are: a page fault is told of one engine only.
    """
    everything = chance.once_in(3)
    for engine in ENGINE_BASES:
        if everything or guest.driver.error(engine):
            guest.refresh(engine)
