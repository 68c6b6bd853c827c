"""Log-probabilities of given responses under a policy.

Used by the stage score; the reports read its tables.
Start with `likelihood.py`: prompts and responses in, log-probability and entropy per token out. `token_scores.py`
is the parquet table that keeps them.
"""
