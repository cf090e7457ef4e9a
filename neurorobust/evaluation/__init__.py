"""The only place that projects, re-runs, scores and records.

A record directory holds `record.json` (schema: `neurorobust.records.Record`), `settings.json` and
`samples.npz` (no pickles). In its names `<key>` is `eps=<typed>` or `flips=<typed>`, `<attack>`
an attack's name; build them, never split them. First axis: samples, in the set's own order (N).

    label                        int64 [N]
    predicted/clean              int64 [N]
    predicted/<key>/<attack>     int64 [N]; the clean prediction where the attack failed
    adversarial/<key>/<attack>   float32 images [N, C, H, W] or uint8 input spikes [N, C, H, W, T]
    failed/<key>/<attack>        bool [N]; not finite, not binary or of the wrong shape
    projected/<key>/<attack>     bool [N]; the proposal lay outside the budget
    zero_gradient/<attack>       bool [N]; the whole gradient is zero at the clean point

for random encoders also the baseline, and the spikes drawn for the scored queries, so that others
can replay them:

    predicted/redraw             int64 [N]; of a second clean draw: what chance alone changes
    drawn_shape                  int64 [4]; C, H, W, T
    drawn/clean                  uint8 [N, bytes]; `np.packbits` of each sample's spikes
    drawn/<key>/<attack>         likewise; for eps keys (of flips keys the adversarial is the input)

and, for `<group>` eps or flips where anything was broken, up to six examples (first axis: E):

    example/<group>/index, budget, attack, label
    example/<group>/predicted/clean, predicted/adversarial
    example/<group>/image/clean, image/adversarial     float32 [E, C, H, W]; the latter: eps only
    example/<group>/input/clean, input/adversarial     uint8 [E, C, H, W, T]; into the first synapse
    example/<group>/output/clean, output/adversarial   uint8 [E, neurons, T]; of the last layer
    example/<group>/membrane/clean, membrane/adversarial   int32 [E, neurons]; v after the last step
"""

from neurorobust.evaluation.evaluate import evaluate
from neurorobust.evaluation.fit import check_fit
from neurorobust.evaluation.store import REPORT_FILE, load_samples, read_record, write_record
from neurorobust.evaluation.strongest import held_out
from neurorobust.evaluation.work import Progress

__all__ = [
    "REPORT_FILE",
    "Progress",
    "check_fit",
    "evaluate",
    "held_out",
    "load_samples",
    "read_record",
    "write_record",
]
