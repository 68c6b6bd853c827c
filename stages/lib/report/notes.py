"""What stands under the tables: what they hold, and what their intervals cover."""

from stages.lib.run.params import Evaluate, Report


def accuracy_note(evaluate: Evaluate, report: Report, seeds: int) -> str:
    """What the results table holds, and what its intervals cover."""
    first = evaluate.temperatures[0]
    over = f"mean over {seeds} order {'seed' if seeds == 1 else 'seeds'}"
    return (
        f"avg@{evaluate.decoding(first).n} in % at temperature {first:g}, {over}; in brackets "
        f"{100 * report.confidence:g} % intervals over problems and order seeds (the base's over problems). An order "
        "seed shuffles the rows that a cell trains on and draws its responses: intervals do not cover another draw of "
        "the training data, another base or other benchmarks."
    )


def effects_note(evaluate: Evaluate, report: Report) -> str:
    """What the tables of effects hold."""
    first = evaluate.temperatures[0]
    return (
        f"Percentage points of avg@{evaluate.decoding(first).n} at temperature {first:g}, average over benchmarks of "
        f"one weight each. {100 * report.confidence:g} % intervals and p over problems and order seeds; p (Holm) "
        "adjusted for all rows of a family (factors, against the base, pairs); Wilcoxon's p, d_z and the rank-biserial "
        "correlation over problems at these seeds. Arms that repeat another row for row count once. Every benchmark is "
        "in effects.csv, every temperature in decoding_effects.csv."
    )


COMPOSITION_NOTE = (
    "Shares in %. Tokens are means per response, the end token included; the expert's are those of the same problems. "
    "Right and cut off are shares of the first responses to each problem (their number stands in the column), which "
    "were drawn whatever they say; adaptive sampling draws further ones only where these are wrong. A problem counts "
    "as solved when at least one of all responses to it is right. Flawed steps: a wrong step, other terms than the "
    "problem's, or steps that cannot be read, behind a right answer."
)


def gap_note(report: Report) -> str:
    return (
        f"The same problems on both sides; {100 * report.confidence:g} % intervals from a bootstrap over problems. "
        "b = 1: the unknown density of the author is taken as 1 for every response, so that w = p, as DFT does. "
        "b known: divided by the density the policy wrote its own response with. Those responses were selected by the "
        "verifier, so that the mean of r is not 1, and no KL or chi² of the policies follows from them. "
        f"Clipped: weights clipped to [{report.clip_low:g}, {report.clip_high:g}], beside the "
        "unclipped. Length-normalised: the mean log-weight of a response's tokens in place of their sum. Var(w) is not "
        "monotone in the gap: it is small for weights near 0 as for weights near 1."
    )


DECODING_NOTE = (
    "Averages over benchmarks of one weight each, at every temperature; greedy decoding gives one response a problem. "
    "An effect that is there when responses are sampled and gone when they are greedy is one of the sharpness of the "
    "policy's distribution, not of what it can do."
)
WAYS_NOTE = (
    "Per cent of all responses, average over benchmarks, at the first temperature. Own way: the chain from left to "
    "right, as the policy was pre-trained; the expert's: gains, losses, net. Flawed: a wrong step, other terms, or "
    "steps that cannot be read, behind a right answer."
)
