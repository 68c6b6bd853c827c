"""How busy engines are under several schedules of generation: a simulation, no GPU, no model.

    python -m tests.benchmarks.scheduling [--problems 10000 50000] [--engines 1 8] [--seed 0]

Schedules of the sample stage (up to n responses to a problem, none after the first correct one):

waves    the present one: a wave's requests go out in chunks, each engine gets a share of a chunk, the chunk ends with
         its slowest engine; when the wave is drawn it is judged, and the next one opens
dealt    the same, but chunks hold a whole wave: one drain a wave
stream   an engine is refilled as responses finish; a problem's next response is asked for when the last one was judged
         wrong, while others are drawn; the end is the only drain

An engine's step takes STEP + EACH x (sequences in it) seconds, as a 7B on an H100 (the audit's constants, not measured
here). Lengths are lognormal, cut at the limit; RUNAWAY of the responses run to it. JUDGE and ROW are seconds of one
core a row (the audit's, measured). Reported: seconds, the share of the engines' time in
which they hold at least half of their slots, and the time against a bound that no schedule beats: all tokens at full
slots, and nothing else.
"""

import argparse
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

STEP, EACH, SLOTS = 6.6e-3, 38e-6, 1024  # seconds, seconds, sequences that an engine holds
MEDIAN, SPREAD, LIMIT, RUNAWAY = 380, 0.6, 2048, 0.04  # tokens
JUDGE, ROW, CORES, CHUNK = 0.79e-3, 0.38e-3, 16, 2048
N = 8  # responses a problem at most


@dataclass
class World:
    """What is drawn, the same under every schedule: `lengths` and `correct` by (problem, index)."""

    problems: int
    seed: int
    lengths: np.ndarray = field(init=False)
    correct: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        shape = (self.problems, N)
        lengths = np.minimum(rng.lognormal(np.log(MEDIAN), SPREAD, shape), LIMIT)
        self.lengths = np.where(rng.random(shape) < RUNAWAY, LIMIT, lengths).astype(int) + 1
        self.correct = (rng.random(shape) < rng.beta(0.5, 0.5, (self.problems, 1))) & (self.lengths < LIMIT)

    def wave(self, number: int) -> np.ndarray:
        """The problems that are still open at the response of this index."""
        return np.flatnonzero(~self.correct[:, :number].any(axis=1))

    def tokens(self) -> int:
        return sum(int(self.lengths[self.wave(number), number].sum()) for number in range(N))


class Sim:
    """One engine: sequences in slots, all advance by a token a step."""

    def __init__(self) -> None:
        self.now = self.busy = 0.0  # seconds; of them with at least half of the slots full
        self.step = 0
        self.running: list[tuple[int, int, int]] = []  # the step at which it ends, problem, index

    def add(self, length: int, problem: int, index: int) -> None:
        heapq.heappush(self.running, (self.step + length, problem, index))

    def free(self) -> int:
        return SLOTS - len(self.running)

    def advance(self, until: float = np.inf) -> list[tuple[int, int]]:
        """Go on to the next end, or the last step before `until`; who ended."""
        held = len(self.running)
        cost = STEP + EACH * held
        steps = self.running[0][0] - self.step
        if self.now + steps * cost > until:
            steps = max(1, int((until - self.now) / cost))
        self.step += steps
        self.now += steps * cost
        self.busy += steps * cost * (held >= SLOTS / 2)
        ended = []
        while self.running and self.running[0][0] <= self.step:
            ended.append(heapq.heappop(self.running)[1:])
        return ended


def in_waves(world: World, engines: int, chunk: int) -> tuple[float, float]:
    """Seconds, and seconds in which an engine was busy, on average."""
    seconds = busy = 0.0
    for number in range(N):
        todo = world.wave(number)
        for at in range(0, len(todo), chunk * engines):
            sims = [Sim() for _ in range(engines)]
            for place, sim in enumerate(sims):
                drain(sim, iter(todo[at : at + chunk * engines][place::engines]), world, number)
            seconds += max(sim.now for sim in sims) + ROW * len(todo[at : at + chunk * engines])
            busy += sum(sim.busy for sim in sims) / engines
        seconds += JUDGE * len(todo) / CORES
    return seconds, busy


def drain(sim: Sim, todo: Iterator[int], world: World, number: int) -> None:
    """Draw all of `todo`: slots are refilled until nothing is left, then the engine empties."""
    while True:
        for _ in range(sim.free()):
            if (problem := next(todo, None)) is None:
                break
            sim.add(int(world.lengths[problem, number]), problem, number)
        if not sim.running:
            return
        sim.advance()


def in_a_stream(world: World, engines: int) -> tuple[float, float]:
    """One queue: first responses in the problems' order; a wrong verdict puts the next response in front of them.

    The main process takes ROW a row, and CORES verifiers JUDGE: a verdict comes when both have had their turn.
    """
    sims = [Sim() for _ in range(engines)]
    first = iter(range(world.problems))
    again: list[tuple[float, int, int]] = []  # from when on, problem, index
    main = 0.0
    verifiers = [0.0] * CORES
    clock = [(0.0, place) for place in range(engines)]
    while clock:
        now, place = heapq.heappop(clock)
        sim = sims[place]
        sim.now = now
        while sim.free():
            if again and again[0][0] <= now:
                _, problem, index = heapq.heappop(again)
            elif (fresh := next(first, None)) is not None:
                problem, index = fresh, 0
            else:
                break
            sim.add(int(world.lengths[problem, index]), problem, index)
        if not sim.running:
            if again or any(other.running for other in sims):
                soon = [entry[0] for entry in again[:1]] + [other.now + STEP for other in sims if other.running]
                heapq.heappush(clock, (max(min(soon), now + STEP), place))
            continue
        for problem, index in sim.advance(now + 0.25):
            main = max(main, sim.now) + ROW
            ready = max(heapq.heappop(verifiers), main) + JUDGE
            heapq.heappush(verifiers, ready)
            if not world.correct[problem, index] and index + 1 < N:
                heapq.heappush(again, (ready, problem, index + 1))
        heapq.heappush(clock, (sim.now, place))
    return max(max(sim.now for sim in sims), main), sum(sim.busy for sim in sims) / engines


def bound(world: World, engines: int) -> float:
    """All tokens at full slots: no schedule is faster."""
    return world.tokens() / SLOTS * (STEP + EACH * SLOTS) / engines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--engines", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    print("| problems | engines | schedule | seconds | engines busy | bound / seconds |")
    print("| --: | --: | :-- | --: | --: | --: |")
    for problems in words.problems:
        world = World(problems, words.seed)
        for engines in words.engines:
            rows = {
                "waves": in_waves(world, engines, CHUNK),
                "dealt": in_waves(world, engines, problems),
                "stream": in_a_stream(world, engines),
            }
            for name, (seconds, busy) in rows.items():
                share = f"{busy / seconds:.0%} | {bound(world, engines) / seconds:.0%}"
                print(f"| {problems:,} | {engines} | {name} | {seconds:.0f} | {share} |")


if __name__ == "__main__":
    main()
