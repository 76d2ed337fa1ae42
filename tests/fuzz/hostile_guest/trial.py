"""One trial: a daemon, its neighbour, the attack, and what is left when it is over.

The order: the neighbour beside an honest guest (its entitlement), alone, attacked, alone again;
then the attacker's vGPU serves an honest guest; then nobody is there; then the daemon ends.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.hostile_guest import verdict
from tests.fuzz.hostile_guest.chance import chance_of
from tests.fuzz.hostile_guest.child import Child
from tests.fuzz.hostile_guest.daemon import Daemon
from tests.fuzz.hostile_guest.newcomers import Newcomers, serve_one
from tests.fuzz.hostile_guest.process_figures import ProcessFigures
from tests.fuzz.hostile_guest.record import Record, SlowRound
from tests.fuzz.hostile_guest.secret import mark_word, secret_word
from tests.fuzz.hostile_guest.timeline import Phase, Span, Timeline

_PACKAGE = "tests.fuzz.hostile_guest"
_TICK_S = 0.1
_WRITE_S = 5.0
_PATIENCE_S = 60.0
_SETTLE_S = 20.0
_SLOW_S = 0.25
_SLOW_KEPT = 40
_STEPS_KEPT = 4000
ATTACKED, NEIGHBOUR, NEWCOMERS = range(3)
"""vGPUs by who has them."""
HONEST = {f"vgpu{NEIGHBOUR}", f"vgpu{NEWCOMERS}"}


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    address_space: str
    ggtt: str
    seed: int
    seconds: float
    calibration_s: float = 6.0
    """Of each phase in which nobody attacks."""
    bounds: verdict.Bounds | None = None
    episode: int = 0
    steps: int | None = None
    """Only the first so many of one episode; then the attacker stays away."""
    only: str = ""
    strict: bool = False
    """On a GPU as bad as hardware may be."""
    kernels: bool = False
    """The attacker attacks with kernels too, and honest guests compute."""
    fault: str = ""
    """One of `faulty_daemon`, that the daemon is to have."""
    json: Path | None = None


class Trial:
    """Run by `Trial.run`; `record` is filled while it runs."""

    def __init__(self, options: Options, say: Callable[[str], None] = print) -> None:
        self.options = options
        self.say = say
        self.record = Record(
            options.address_space,
            options.ggtt,
            options.seed,
            options.seconds,
            options.strict,
            options.kernels,
        )
        self.record.last_episode = options.episode - 1
        self.rounds, self.machine = Timeline(), Timeline()
        self.attack: Phase | None = None
        self.newcomers: Newcomers | None = None
        self.attacker: Child | None = None
        self._steps: deque[tuple[float, str]] = deque(maxlen=_STEPS_KEPT)
        self._written = 0.0
        self._cut = False
        self._children: list[Child] = []
        self._lock = threading.RLock()
        """Over what children tell on threads of their own."""
        self._neighbour_ready = self._attacker_spoke = False

    def run(self) -> Record:
        """The whole trial."""
        options = ["--address-space", self.options.address_space, "--ggtt", self.options.ggtt]
        if self.options.strict:
            options += ["--strict", str(self.options.seed)]
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
            self.daemon = Daemon.start(directory, 3, options, self.options.fault)
            stack.callback(self.daemon.kill)
            self._phases(stack)
        self.record.finished = True
        self._write()
        return self.record

    # -- phases ------------------------------------------------------------------------------------

    def _phases(self, stack: ExitStack) -> None:
        record, seed = self.record, self.options.seed
        for path in self.daemon.paths:
            if not self._serves(path):
                return
        record.holdings.empty = self._settled(None)
        stack.callback(self._end_children)
        self._child("load_control", [], self._on_machine)
        self.neighbour = self._honest(NEIGHBOUR, seed, self._on_neighbour)
        self._watch_until(lambda: self._neighbour_ready, _PATIENCE_S)
        self.newcomers = Newcomers(self.daemon.paths[NEWCOMERS], self.options.kernels)
        stack.callback(self.newcomers.stop)
        self._calibrate()
        if not record.violations:
            record.holdings.before = self._settled(None)
            self._attack()
            self._afterwards()
        self.newcomers.stop()
        self._collect("neighbour", self.neighbour)
        self._anything_wrong(ended=True)
        if self.daemon.running:
            self._leave_nobody()
        record.log_kinds = dict(self.daemon.kinds.most_common(40))

    def _calibrate(self) -> None:
        rates = self.record.rates
        rival_ready: list[bool] = []

        def on_rival(message: dict[str, Any]) -> None:
            rival_ready.append("spans" in message)

        rival = self._honest(ATTACKED, self.options.seed + 1, on_rival)
        try:
            self._watch_until(lambda: any(rival_ready), _PATIENCE_S)
            phase = self._quiet_phase()
        finally:
            self._collect("honest rival", rival)
        rates.entitled = self.rounds.rate(phase)
        rates.machine_entitled = self._taken(phase)
        rates.alone = self.rounds.rate(self._quiet_phase())

    def _quiet_phase(self) -> Phase:
        """Some time in which nothing is changed; what was told of it has arrived."""
        start = time.monotonic()
        self._watch_until(lambda: False, self.options.calibration_s)
        end = time.monotonic()
        self._watch_until(lambda: False, 0.5)
        return Phase(start, end)

    def _attack(self) -> None:
        options, record = self.options, self.record
        start = time.monotonic()
        self.attack = Phase(start, start + options.seconds)
        kills = chance_of(options.seed, "kills")
        kill_at = lifetime = 0.0
        done = False

        def tick() -> bool:
            nonlocal kill_at, lifetime, done
            if self.attacker is None and not done:
                self.attacker = self._attacker(record.last_episode + 1)
                self._attacker_spoke, lifetime = False, kills.uniform(2, 20)
                kill_at = math.inf
            if self._attacker_spoke and kill_at == math.inf:
                kill_at = time.monotonic() + lifetime
            if self.attacker is not None and not self.attacker.running:
                self._attacker_ended(self.attacker.ended(_PATIENCE_S))
                done = options.steps is not None
            if self.attacker is not None and options.steps is None and time.monotonic() > kill_at:
                self._attacker_ended(self.attacker.kill())
            with suppress(OSError):
                record.holdings.take_most(self.daemon.figures())
            return done

        self._watch_until(lambda: tick() or self._attacker_spoke, _PATIENCE_S)
        if self.attacker is not None:  # the time that its start took is no part of the attack
            start = time.monotonic()
            self.attack = Phase(start, start + options.seconds)
        self._watch_until(tick, options.seconds)
        if options.steps is not None:
            self._watch_until(lambda: False, 3.0)
        if self.attacker is not None:
            self._attacker_ended(self.attacker.stop(_PATIENCE_S))
        end = time.monotonic()
        self.attack = Phase(start, end)
        self._watch_until(lambda: False, 0.5)
        self._measure(self.attack)

    def _attacker(self, episode: int) -> Child:
        options = self.options
        arguments = [self.daemon.paths[ATTACKED], "--seed", str(options.seed)]
        arguments += ["--episode", str(episode), "--only", options.only]
        arguments += ["--secret", str(secret_word(options.seed))]
        arguments += ["--mark", str(mark_word(options.seed))]
        if options.steps is not None:
            arguments += ["--steps", str(options.steps)]
        if options.kernels:
            arguments.append("--kernels")
        return self._child("attacker", arguments, self._on_attacker)

    def _attacker_ended(self, status: int) -> None:
        assert self.attacker is not None
        if status < 0:
            self.record.killed += 1
        elif status and not any(v.startswith("attacker") for v in self.record.violations):
            errors = "".join(self.attacker.errors)[-2000:]
            self._violation(f"attacker: ended with {status}: {errors}")
        self.attacker = None

    def _afterwards(self) -> None:
        record = self.record
        before = record.holdings.before
        if not self.daemon.running or not self.neighbour.running or before is None:
            return
        record.rates.afterwards = self.rounds.rate(self._quiet_phase())
        record.holdings.after = self._settled(before)
        for text in verdict.leftovers("after the attack", before, record.holdings.after):
            self._violation(text)
        self._serves(self.daemon.paths[ATTACKED])

    def _leave_nobody(self) -> None:
        held = self.record.holdings
        assert held.empty is not None
        held.left = self._settled(held.empty)
        for text in verdict.leftovers("when all have left", held.empty, held.left):
            self._violation(text)
        start = self.daemon.figures().cpu_s
        time.sleep(2.0)
        held.idle_cpu_s = self.daemon.figures().cpu_s - start
        for text in verdict.idleness(self.record):
            self._violation(text)
        status = self.daemon.stop(_PATIENCE_S)
        if status != 0:
            how = "does not end on SIGTERM" if status is None else f"ended with {status}"
            self._violation(f"the daemon {how}")
        for text in verdict.summaries(self.daemon.served, HONEST):
            self._violation(text)

    # -- children ----------------------------------------------------------------------------------

    def _honest(self, number: int, seed: int, on_line: Callable[[dict[str, Any]], None]) -> Child:
        arguments = [self.daemon.paths[number], str(seed & 0xFFFF), "0"]
        arguments.append(str(int(self.options.kernels)))
        return self._child("neighbour", arguments, on_line)

    def _child(
        self, module: str, arguments: list[str], on_line: Callable[[dict[str, Any]], None]
    ) -> Child:
        def locked(message: dict[str, Any]) -> None:
            with self._lock:
                on_line(message)

        made = Child(f"{_PACKAGE}.{module}", arguments, locked)
        self._children.append(made)
        return made

    def _end_children(self) -> None:
        for child in self._children:
            if child.running:
                child.kill()

    def _collect(self, who: str, child: Child) -> None:
        """It ends, and what it found wrong is held against the daemon."""
        status = child.stop(_PATIENCE_S) if child.running else child.ended(_PATIENCE_S)
        if status:
            self._violation(f"{who}: ended with {status}: {''.join(child.errors)[-1500:]}")

    def _on_machine(self, message: dict[str, Any]) -> None:
        for start, seconds in message["spans"]:
            self.machine.add(start, seconds)

    def _on_neighbour(self, message: dict[str, Any]) -> None:
        self._neighbour_ready |= "ready" in message
        for start, seconds in message.get("spans", ()):
            self.rounds.add(start, seconds)
            if self.attack is not None and seconds > _SLOW_S:
                self._note_slow(Span(start, seconds))

    def _note_slow(self, span: Span) -> None:
        """Keep it, with the attacker's steps of that time, the last before it included."""
        steps = [*self._steps]
        before = [name for at, name in steps if at < span.start][-3:]
        within = [name for at, name in steps if span.start <= at <= span.end]
        slow = [*self.record.slow_rounds, SlowRound(span, before + within[-6:])]
        self.record.slow_rounds = sorted(slow, key=lambda one: -one.span.seconds)[:_SLOW_KEPT]

    def _on_attacker(self, message: dict[str, Any]) -> None:
        record = self.record
        self._attacker_spoke = True
        if "violation" in message:
            self._violation(f"attacker: {message['violation']}")
        elif "refused" in message:
            record.refused += 1
        else:
            record.last_episode, record.last_step = message["episode"], message["step"]
            record.episodes += message["step"] < 0
            action = message["action"] or "boot"
            record.steps[action] = record.steps.get(action, 0) + 1
            if self._steps:
                before, name = self._steps[-1]
                name = name.partition(" ")[2]
                taken = record.step_seconds.get(name, 0.0) + message["at"] - before
                record.step_seconds[name] = taken
            self._steps.append((message["at"], f"{message['episode']}.{message['step']} {action}"))

    def _serves(self, path: str) -> bool:
        """Whether an honest guest is served; if not it is told."""
        try:
            serve_one(path, 99, kernels=self.options.kernels)
        except (AssertionError, OSError) as error:
            log = "\n".join(self.daemon.complaints[:80])
            name = Path(path).name
            self._violation(f"{name} serves nobody: {type(error).__name__}: {error}\n{log}")
            return False
        return True

    def cut_short(self) -> None:
        """Go on to the next phase at once, from another thread or a signal's handler."""
        self._cut = True

    # -- watching ----------------------------------------------------------------------------------

    def _watch_until(self, done: Callable[[], bool], seconds: float) -> None:
        """Until ``done`` or for ``seconds``; ends early when something is wrong."""
        ends = time.monotonic() + seconds
        while not (done() or self._cut or time.monotonic() > ends or self._anything_wrong()):
            time.sleep(_TICK_S)
            if time.monotonic() > self._written + _WRITE_S:
                self._written = time.monotonic()
                if self.attack is not None:
                    self._measure(Phase(self.attack.start, self._written))
                self._write()

    def _anything_wrong(self, *, ended: bool = False) -> bool:
        """Looks at all that can go wrong meanwhile; ``ended``: the neighbour is to have ended."""
        record = self.record
        if not self.daemon.running:
            self._violation(f"the daemon is gone, with {self.daemon.process.returncode}")
        if self.daemon.complaints:
            time.sleep(0.3)  # the rest of a traceback
            self._violation("the daemon's log: " + "\n".join(self.daemon.complaints[:80]))
        if not ended and not self.neighbour.running:
            self._collect("neighbour", self.neighbour)
        for name in HONEST:
            if self.daemon.blame.get(name):
                steps = ", ".join(name for _, name in [*self._steps][-8:])
                told = "\n".join(self.daemon.blame[name])
                self._violation(f"{name} is honest and blamed: {told}\nthe attacker was at {steps}")
        if self.newcomers is not None and self.newcomers.failure:
            self._violation(self.newcomers.failure)
        return bool(record.violations)

    def _violation(self, text: str) -> None:
        kind = text.split(":")[0]
        with self._lock:
            if not any(known.startswith(kind) for known in self.record.violations):
                self.record.violations.append(text)
                self.say(f"FAILED: {text}")

    def _settled(self, level: ProcessFigures | None) -> ProcessFigures:
        """The daemon's figures when they have come down to ``level``, or after some time.

        Without a level: when nobody comes or goes for a moment.
        """
        ends, before = time.monotonic() + _SETTLE_S, self.daemon.figures()
        while time.monotonic() < ends:
            time.sleep(5 * _TICK_S)
            now, reference = self.daemon.figures(), level or before
            if not any(verdict.leftovers("", reference, now)) and (
                level is not None or now.descriptors == before.descriptors
            ):
                return now
            before = now
        return before

    def _taken(self, phase: Phase) -> float:
        """The part of a phase that the machine took."""
        return self.machine.overlap(Span(phase.start, phase.seconds)) / phase.seconds

    def _measure(self, phase: Phase) -> None:
        with self._lock:
            self._measure_locked(phase)

    def _measure_locked(self, phase: Phase) -> None:
        record, rates = self.record, self.record.rates
        record.attacked_s = phase.seconds
        record.rounds = len(self.rounds.within(phase))
        rates.attacked, rates.lowest = self.rounds.rate(phase), self.rounds.lowest_rate(phase)
        rates.machine_attacked = self._taken(phase)
        record.worst_round_s = self.rounds.longest(phase).seconds
        for slow in record.slow_rounds:
            slow.machine_s = self.machine.overlap(slow.span)
        own = [slow.span.seconds - slow.machine_s for slow in record.slow_rounds]
        record.worst_own_s = max(own, default=record.worst_round_s)
        record.newcomers = self.newcomers.served if self.newcomers else 0

    def judge_times(self) -> None:
        """What the neighbour felt, against the bounds asked for; and that it was attacked."""
        if not sum(self.record.steps.values()):
            self._violation("nothing was attacked: no step of the attacker was counted")
        for text in verdict.timing(self.record, self.options.bounds):
            self._violation(text)

    def _write(self) -> None:
        if self.options.json is not None:
            with self._lock:
                self.record.write(self.options.json)
