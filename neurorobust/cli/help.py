"""What help pages say beside the options: their groups, groups of commands, worked examples."""

from __future__ import annotations

from typing import Any

from neurorobust.budgets import KINDS

OPTIONS = {  # heads of groups, in help pages from top to bottom; what is in none stands first
    "Training": ("--network", "--epochs", "--batch", "--lr", "--patience"),
    "Precision": (
        "--weight-bits", "--decay-bits", "--threshold-scale", "--scale", "--against",
    ),
    "Your own lava-dl network": ("--from", "--weights", "--input-shape", "--samples"),
    "Data": (
        "--dataset", "--data-dir", "--download", "--limit", "--bin-us", "--random",
    ),
    "Attacks and budgets": (
        "--attacks", *(f"--{kind}" for kind in KINDS), "--seeds", "--draws", "--minimum",
        "--targeted", "--no-control", "--confirm",
    ),
    "Search of the adversary": (
        "--objective", "--bits", "--known", "--candidates", "--repeats", "--mode", "--rounds",
    ),
    "How the network is fed and read (goes before its card)": (
        "--card", "--encoder", "--steps", "--mean", "--std", "--gain", "--readout",
        "--logit-scale",
    ),
    "Where it runs": (
        "--backend", "--device", "--memory-limit", "--timeout", "--workers", "--worker-memory",
        "--sparse",
    ),
    "Result": ("--out", "--record", "--seed", "--resume", "--overwrite", "--json"),
}  # fmt: skip
COMMANDS = {
    "First": ("demo", "models", "attacks", "info"),
    "Make a deployed network": ("train", "export", "import", "card", "quantise"),
    "Is it right?": ("check", "parity", "run"),
    "Does it resist?": ("evaluate", "compare", "faults", "report"),
}
EXAMPLES = {  # a line each: at most 78 characters
    "": (
        "neurorobust demo",
        "neurorobust evaluate digits-mlp --attacks pgd-linf --eps 0.05,0.1",
        "neurorobust evaluate --help",
    ),
    "demo": ("neurorobust demo --out runs/demo",),
    "train": (
        "neurorobust train --network mlp --dataset digits --out runs/a",
        "neurorobust train --network cnn --dataset mnist --data-dir D --out runs/b",
    ),
    "export": (
        "neurorobust export runs/a --out a/model.net",
        "neurorobust export --from mine:Network --input-shape 2,34,34 --out b.net",
    ),
    "card": (
        "neurorobust card digits-mlp",
        "neurorobust card b.net --encoder direct --steps 16 --readout count",
        "neurorobust card b.net --steps 32 --overwrite",
    ),
    "check": (
        "neurorobust check digits-mlp",
        "neurorobust check a/model.net --dataset digits --limit 100",
    ),
    "quantise": (
        "neurorobust quantise digits-mlp --weight-bits 8,6,4 --out runs/bits",
        "neurorobust quantise runs/a --weight-bits 8,5 --out runs/bits-a",
    ),
    "parity": (
        "neurorobust parity runs/a a/model.net --backend lava",
        "neurorobust parity a/model.net a/model.net --random",
    ),
    "run": ("neurorobust run digits-mlp --input in.npz --out out.npz --record",),
    "evaluate": (
        "neurorobust evaluate digits-mlp",
        "neurorobust evaluate digits-mlp --attacks pgd-linf --eps 8/255,0.1",
        "neurorobust evaluate digits-mlp --attacks standard --eps 0.1 --out runs/x",
        "neurorobust evaluate digits-mlp --attacks sda --flips 10 --confirm lava:16",
    ),
    "compare": ("neurorobust compare runs/a a/model.net --eps 0.1",),
    "report": ("neurorobust report runs/x",),
    "models": ("neurorobust models --json",),
    "attacks": ("neurorobust attacks", "neurorobust attacks --json"),
    "info": ("neurorobust info",),
    "import": (
        "neurorobust import b.nir --out b/model.net",
        "neurorobust import b.nir --out b/model.net --card card.json --dataset digits",
    ),
    "faults bits": ("neurorobust faults bits digits-mlp --bits 1,10,50",),
    "faults leak": ("neurorobust faults leak digits-mlp --limit 50",),
    "faults inputs": ("neurorobust faults inputs digits-mlp --objective energy --eps 0.1",),
}
_GROUP_OF = {option: head for head, options in OPTIONS.items() for option in options}
_PLACE_OF = {option: place for place, option in enumerate(_GROUP_OF)}
_HEAD_OF = {name: head for head, names in COMMANDS.items() for name in names}


def dress(command: Any, path: str) -> Any:
    """The same click command, its options in groups and its examples at the end of its help.

    Args:
        command: of the command line.
        path: its words, `faults bits`; empty for the program itself.
    """
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.rich_help_panel is None:
            parameter.rich_help_panel = _GROUP_OF.get(parameter.opts[0])
    command.params.sort(key=lambda one: _PLACE_OF.get(one.opts[0], -1))
    command.rich_help_panel = _HEAD_OF.get(path)
    if path in EXAMPLES:
        command.epilog = "\n\n".join(("Examples:", *EXAMPLES[path]))
    return command
