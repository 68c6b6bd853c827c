"""The plumbing of every stage: params, command line, files, journals, errors.

Used by all stages. It changes no result, so dvc.yaml names it nowhere.
Start with `stage.py`: it runs a stage and hands it what it needs. `params.py` reads params.yaml, `fingerprint.py`
says what a stage's work depends on, `journal.py` keeps finished rows over a kill, `restart.py` finished folders.
`files.py` writes files that appear whole or not at all, `lock.py` lets one process at a time into a stage, `exits.py`
ends it in one line.
"""
