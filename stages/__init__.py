"""The verbs of the experiment, one script per DVC stage."""

import os

# Idle threads of torch's pool wait instead of spinning: on a machine that has other work to do, spinning makes two
# threads ten times slower than one. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
