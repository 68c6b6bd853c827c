"""The plumbing of every stage: params, command line, files, journals, errors.

Used by all stages. It changes no result, so dvc.yaml names it nowhere.
Start with `stage.py`: it runs a stage's main. `params.py` reads params.yaml, `journal.py` keeps finished rows over a
kill, `restart.py` keeps finished folders, `files.py` writes files that appear whole or not at all.
"""
