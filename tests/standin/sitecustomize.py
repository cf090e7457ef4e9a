"""With this folder on PYTHONPATH and LOIHI2_STANDIN set, Python starts with the stand-in."""

import os

if "LOIHI2_STANDIN" in os.environ:
    import loihi2_standin

    loihi2_standin.install()
