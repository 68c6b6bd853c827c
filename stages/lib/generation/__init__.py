"""Prompts in, responses out: through transformers or vLLM, with one engine or several.

Used by the stages sample, resolve and evaluate.
Start with `engine.py`: it says what an engine is. `rollouts.py` opens one and fills a journal, `adaptive.py` stops at
a problem's first correct response. `hf.py` and `vllm.py` are engines, `processes.py` and `ray.py` run several.
"""
