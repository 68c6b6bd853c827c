"""The embedded policy (policy/) and the pipeline that makes it: corpus, pre-training, card."""

import sys

from stages.lib.run import same_bytes

if sys.argv[0] == "-m":  # python -m models.micro.pretrain: before torch is imported
    same_bytes.begin(deterministic=True)
