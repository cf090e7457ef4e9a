"""Every rule a network is checked against: code, name, severity, what happens without it, remedy.

    error    no backend computes it, or another network than the file says would run
    warning  Lava's simulation runs it exactly, but the chip may not, or the number is a known trap
    note     worth knowing before comparing results

Sources: lava-dl 0.6.0 and lava-nc 0.10.0 as docs/semantics.md and docs/netx_format.md cite them.
"""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")

DAMAGED, HOSTILE, LAYERS, UNKNOWN_FIELD, FORMAT = "NX001", "NX002", "NX003", "NX004", "NX005"
POINTER = "NX006"
LAYER_TYPE, NEURON_TYPE, WEIGHT_RANGE, FRACTION, ZEROS = (
    "NX010", "NX011", "NX012", "NX013", "NX014",
)  # fmt: skip
WEIGHTS_CHANGED, CONV_DELAY, RECURRENT_DELAY, DELAY_CHANGED, IGNORED = (
    "NX015", "NX016", "NX017", "NX018", "NX019",
)  # fmt: skip
BIAS_BITS, BIAS_WRAPS, THRESHOLD_BITS, STORAGE, RANGE = (
    "NX020", "NX021", "NX022", "NX023", "NX024",
)  # fmt: skip
GRADED, WEIGHT_EXPONENT, THRESHOLD_ZERO, COMPLEX = "NX025", "NX026", "NX027", "NX028"
SHAPES, LAVA_LOADS, ACCUMULATES = "NX030", "NX031", "NX032"
WRAPS, NEVER_SPIKES, BIAS_SPIKES = "NX040", "NX041", "NX042"
INPUT_EARLY, DELAYS_OUTLIVE, BIAS_EARLY, INTERVAL = "NX050", "NX051", "NX052", "NX053"
CARD_MISSING, CARD_MISFIT, DRIVE_RANGE, CUDA_TRAINED = "NX060", "NX061", "NX062", "NX063"
SILENT_LAYER, DEAD_NEURONS, ALWAYS_ON, NEAR_WRAP = "NX070", "NX071", "NX072", "NX073"
CORES, LAYER_SIZE = "NX080", "NX081"


@dataclass(frozen=True)
class Rule:
    """One rule."""

    code: str
    name: str
    severity: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """A rule that a network breaks.

    Attributes:
        code: of the rule.
        place: `layer 3 (dense)`, or "" for the file as a whole.
        message: value and limit.
    """

    code: str
    place: str
    message: str

    @property
    def rule(self) -> Rule:
        """The rule itself."""
        return RULES[self.code]


_TABLE = (
    # the file
    (DAMAGED, "damaged file", ERROR, "HDF5 cannot open or decode it", "export it again"),
    (HOSTILE, "data elsewhere", ERROR,
     "links, external or virtual data, filters and false sizes reach beyond the file",
     "write plain datasets: h5repack -f NONE, or export again"),
    (LAYERS, "layer numbers", ERROR, "layers are numbered 0, 1, ... without gaps", "export again"),
    (UNKNOWN_FIELD, "unknown field", ERROR, "neither SLAYER writes it nor NetX reads it",
     "remove it; what nobody knows may matter"),
    (FORMAT, "field format", ERROR, "missing, empty, not finite, or no plain number or text",
     "store what docs/netx_format.md says"),
    (POINTER, "Git LFS pointer", ERROR, "the network itself was not fetched", "git lfs pull"),
    # layers
    (LAYER_TYPE, "layer type", ERROR, "NetX cannot load it, or exports and imports disagree",
     "pooling: a strided or grouped conv with constant weights; KWTA: its dense layer"),
    (NEURON_TYPE, "neuron type", ERROR, "only CUBA leaky integrate-and-fire is computed here",
     "train with slayer.block.cuba"),
    (WEIGHT_RANGE, "weight range", ERROR,
     "Lava clips it, or shifts the whole matrix to 0 in silence",
     "clamp weights to [-256, 254] (to 255 where none is negative) before export"),
    (FRACTION, "not an integer", ERROR, "NetX truncates it in silence",
     "quantise before export: pre_hook_fx, then round"),
    (ZEROS, "all-zero weights", ERROR, "Lava divides by zero (OverflowError)",
     "prune the layer, or keep one weight"),
    (WEIGHTS_CHANGED, "weights change in Lava", WARNING,
     "a matrix of one sign, or with odd entries, loses bits when Lava packs it",
     "use even weights of both signs; the backends here compute what Lava makes of it"),
    (CONV_DELAY, "conv delay", ERROR, "NetX drops the delays of conv layers in silence",
     "train conv layers without delays"),
    (RECURRENT_DELAY, "recurrent delay", ERROR, "NetX loses the weights' exponent",
     "train recurrent layers without delays"),
    (DELAY_CHANGED, "delay changed", WARNING, "NetX floors delays and clamps them to 62",
     "clamp delays to whole numbers of at most 62 in training"),
    (IGNORED, "ignored parameter", WARNING, "Lava's simulation ignores it",
     "leave it at its default, or train without it"),
    # numbers
    (BIAS_BITS, "bias beyond 13 bits", WARNING, "bias_mant is documented as 13 bits on the chip",
     "lower the bias, or scale the layer"),
    (BIAS_WRAPS, "bias wraps", ERROR, "Lava casts bias_mant to int16: 40000 becomes -25536",
     "keep |bias| below 4096"),
    (THRESHOLD_BITS, "threshold beyond 17 bits", WARNING,
     "vThMant is 17 bits on the chip; the simulation does not check it",
     "lower threshold and weights by the same factor"),
    (STORAGE, "number type", ERROR, "Lava shifts the number in the type it is stored in",
     "store decays and thresholds as int32"),
    (RANGE, "parameter range", ERROR, "Lava would wrap, clamp or divide differently",
     "stay in the range named"),
    (GRADED, "graded spikes", ERROR, "Lava drops gradedSpike and message bits of CUBA neurons",
     "train with binary spikes (graded_spike=False)"),
    (WEIGHT_EXPONENT, "unfolded weight exponent", ERROR, "Lava ignores neuron/weight_exp",
     "fold it: vThMant <- round(vThMant * 2^clip(weight_exp, -3, 3)); `export` does"),
    (THRESHOLD_ZERO, "threshold 0", WARNING, "any positive voltage spikes",
     "a threshold of 1 or more"),
    (COMPLEX, "complex weights", ERROR, "complex synapses are not computed here",
     "train with real weights"),
    # how layers follow each other
    (SHAPES, "shapes do not follow", ERROR, "axes or sizes of two layers disagree",
     "SLAYER's order is C, H, W; put a flatten between conv and dense"),
    (LAVA_LOADS, "Lava cannot load it", WARNING,
     "it can mean one thing only and runs here, but Lava's own Network raises",
     "`neurorobust export` writes a file that Lava loads"),
    (ACCUMULATES, "no neurons in the last layer", NOTE,
     "it accumulates and never spikes", "readout membrane"),
    # bounds
    (WRAPS, "current may wrap", WARNING,
     "beyond ±2^23 the 24-bit current jumps to the other sign, in Lava and on the chip; "
     "SLAYER's does not",
     "smaller weights, faster current decay, or fewer inputs; search with `--attacks overflow`"),
    (NEVER_SPIKES, "neurons that cannot spike", WARNING,
     "no input whatsoever lifts the voltage above the threshold",
     "lower the threshold, or prune them"),
    (BIAS_SPIKES, "spikes without input", WARNING, "the bias alone lifts the voltage over it",
     "check the sign and size of the bias"),
    # time
    (INPUT_EARLY, "on-chip input layer", NOTE,
     "it spikes one step earlier than a network fed with spikes; Lava never applies its weight "
     "and bias to the picture",
     "set bias_mant to trunc(weight * x + bias), as every backend here does"),
    (DELAYS_OUTLIVE, "delays outlive a reset", NOTE,
     "resets do not clear synapse buffers: events cross into the next sample",
     "pad with blank steps and clear buffers, as the backends here do"),
    (BIAS_EARLY, "bias before data", NOTE,
     "behind other layers a bias is integrated before data arrive unless resets are aligned",
     "compare on the aligned clock, or on the global one with the same start"),
    (INTERVAL, "reset interval", NOTE, "reset intervals are powers of two on the board",
     "run the next power of two above steps + layers"),
    # the card
    (CARD_MISSING, "no card", NOTE, "nothing says how to feed and read the network",
     "`neurorobust card` writes one beside the file"),
    (CARD_MISFIT, "card does not fit", ERROR, "it describes another network",
     "correct the field named; `neurorobust card --overwrite` writes it anew"),
    (DRIVE_RANGE, "drive beyond 13 bits", WARNING,
     "a picture in [0, 1] drives bias_mant beyond the chip's 13 bits",
     "a smaller input weight, or normalise by another mean and std"),
    (CUDA_TRAINED, "trained on a GPU", WARNING,
     "SLAYER's CUDA kernel resets without a spike where v equals the threshold",
     "parity runs SLAYER on the CPU: train the last epochs there, or check accuracy after export"),
    # on sample data
    (SILENT_LAYER, "silent layer", WARNING, "no neuron of the layer spiked on any sample given",
     "lower the threshold; check the encoder and the axis order"),
    (DEAD_NEURONS, "dead neurons", NOTE, "they never spiked on the samples given",
     "prune them, or give more samples"),
    (ALWAYS_ON, "neurons always on", WARNING, "they spiked at every step of every sample",
     "they carry no information: raise the threshold"),
    (NEAR_WRAP, "current near its limit", WARNING,
     "on the samples given a current came near 24 bits, or jumped to the other sign",
     "smaller weights or faster current decay"),
    # the chip (estimates)
    (CORES, "does not fit the chip", WARNING, "estimate: more cores than a Loihi 2 chip has",
     "fewer neurons or synapses, or several chips"),
    (LAYER_SIZE, "does not fit a core", WARNING,
     "estimate: the smallest part of the layer exceeds a core's neurons, axons or memory",
     "fewer inputs, channels or columns"),
)  # fmt: skip

RULES: dict[str, Rule] = {row[0]: Rule(*row) for row in _TABLE}
