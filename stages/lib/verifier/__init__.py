"""Is the final answer of a response the reference answer?

Used by the stage verify on responses at rest, and by sample, resolve and evaluate on responses as they come.
Start with `verify.py`: one pair in, one verdict out. A pair passes

    extract, markers, behind      where is the answer in the response, and what belongs to it?
    normalize             one spelling for what LaTeX, Unicode and habit spell in many ways
    tokens, stream, parser, atoms, environments, words, terms, reading        text to tree (`tree`)
    shapes                two trees into comparable shape
    compare               do they have the same value? with sets, lists, equations, times, scalars
    values, exact, numeric, bounds, linear, matrices, units, quantities       what a value is; when two are equal
    question, asked, rounding     what the question's text changes

What this path cannot read goes to math-verify in worker processes (`pool`, `worker`). All before that runs in the
calling process, within the counts of `limits`.
"""
