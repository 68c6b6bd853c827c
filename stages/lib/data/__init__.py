"""Problems in, in one schema: from the testbed's generator, from files, or from the hub.

Used by the stage prepare.
Start with `sources.py`: it reads one source into `Problem` rows. `readers.py` opens the files, `testbed.py` generates
the embedded problems, `near_duplicates.py` compares training problems with benchmark problems.
"""
