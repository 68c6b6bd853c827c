"""Is the final answer of a response the reference answer?

Used by the stage verify on responses at rest, and by sample, resolve and evaluate on responses as they come.
Start with `verify.py`: one pair in, one verdict out. A response passes `extract.py` (where is the answer?), `parser.py`
(text to tree) and `compare.py` (do two trees have the same value?); what these cannot read goes to math-verify.
"""
