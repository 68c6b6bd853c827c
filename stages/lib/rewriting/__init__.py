"""The method: what the policy is shown, what of its answers is kept, which training sets follow.

Used by the stages resolve, verify, fallback-merge and score.
Start with `guides.py`: it builds the guided prompt. `copies.py` recognises responses that copy the guide, `verdicts.py`
joins that check with the verifier's, `training_sets.py` names the data variants of the grid.
"""
