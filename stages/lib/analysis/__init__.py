"""Numbers: accuracies, effects and gap figures with their intervals, as data frames.

Used by the stages tabulate and plot-variance.
Start with `evaluations.py` (which arms there are and what they answered), then `bootstrap.py` (intervals over problems
and seeds). `accuracy.py` makes the results table, `gap.py` the gap figures; nothing here formats or draws.
"""
