"""The only place that projects, re-runs, scores and records.

A record directory holds `record.json` (schema: `neurorobust.records.Record`), `settings.json` and
`samples.npz` (no pickles). In its names `<key>` is `eps=<typed>`, `flips=<typed>`,
`shifts=<typed>` or `patches=<typed>`, `<attack>` an attack's name, with `@<seed>` for all seeds but
the first; build them, never split them. First axis: samples, in the set's own order (N).

    label                        int64 [N]
    predicted/clean              int64 [N]
    predicted/<key>/<attack>     int64 [N]; the clean prediction where the attack failed
    adversarial/<key>/<attack>   float32 images [N, C, H, W] or uint8 input spikes [N, C, H, W, T]
    failed/<key>/<attack>        bool [N]; not finite, not binary or of the wrong shape
    projected/<key>/<attack>     bool [N]; the proposal lay outside the budget
    unconfirmed/<key>/<attack>   bool [N]; the attack claimed a success, the re-run does not show it
    unchanged/<key>/<attack>     bool [N]; the proposal was x itself
    zero_gradient/<attack>       bool [N]; the whole gradient is zero at the clean point

Of a recipe `<attack>` is each member for what is counted, with the samples it was given, and the
recipe's own name for what is stored: the last proposal for each sample (that which broke it, if
any).

    asked/<key>/<member>         bool [N]; still standing, so given to it; else `predicted` is clean
    carried/<key>/<recipe>       bool [N]; broken by what was found at a smaller budget
    predicted, adversarial, failed, drawn   /<key>/<recipe>, as above

Where it was asked for:

    minimum/<kind>               float64 [N]; smallest budget found that breaks it; 0: wrong when
                                 clean, infinity: nothing did
    target/class                 int64 [N]; the class that targeted attacks had to reach
    targeted/<key>/<attack>      bool [N]; it was reached

for random encoders `predicted/...` is of the first scoring draw (see `evaluation.draws`); beside it
stand the shares over all draws, and the spikes of that draw, so that others can replay it:

    selecting/clean              float64 [N]; share of the selecting draws that are right
    scoring/clean                float64 [N]; share of the scoring draws that are right
    selecting, scoring   /<key>/<attack>   likewise; for eps keys
    predicted/redraw             int64 [N]; of the first selecting draw: what chance alone changes
    drawn_shape                  int64 [4]; C, H, W, T
    drawn/clean                  uint8 [N, bytes]; `np.packbits` of each sample's spikes
    drawn/<key>/<attack>         likewise; for eps keys (of flips keys the adversarial is the input)

and, for each `<group>` (kind of budget) where anything was broken, up to six examples (first axis:
E):

    example/<group>/index, budget, attack, label
    example/<group>/predicted/clean, predicted/adversarial
    example/<group>/image/clean, image/adversarial     float32 [E, C, H, W]; the latter: eps only
    example/<group>/input/clean, input/adversarial     uint8 [E, C, H, W, T]; into the first synapse
    example/<group>/output/clean, output/adversarial   uint8 [E, neurons, T]; of the last layer
    example/<group>/membrane/clean, membrane/adversarial   int32 [E, neurons]; v after the last step
"""

from neurorobust.evaluation.compatibility import check_fit
from neurorobust.evaluation.draws import DRAWS
from neurorobust.evaluation.evaluate import evaluate
from neurorobust.evaluation.folder import REPORT_FILE
from neurorobust.evaluation.kept import Progress
from neurorobust.evaluation.mode_choice import held_out
from neurorobust.evaluation.request import Confirm, Request
from neurorobust.evaluation.store import load_samples, read_record, write_record

__all__ = [
    "DRAWS",
    "REPORT_FILE",
    "Confirm",
    "Progress",
    "Request",
    "check_fit",
    "evaluate",
    "held_out",
    "load_samples",
    "read_record",
    "write_record",
]
