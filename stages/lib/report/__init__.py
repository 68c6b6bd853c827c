"""Presentation: the numbers of analysis/ as tables, sentences, figures and one page.

Used by the stages tabulate and plot-variance.
Start with `page.py`, which fills `page.html`. `tables.py` turns frames into Markdown and LaTeX, `sentences.py` words
every outcome before it is known, `figures.py` draws, `formatting.py` rounds and writes.
"""
