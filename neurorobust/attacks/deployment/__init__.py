"""Attacks on the deployment instead of the answer, by name; `neurorobust faults inputs` runs them.

Each is an `Attack`, but what it maximises is no loss of a label: the evaluation, which scores
labels, does not run them.
"""

from neurorobust.attacks.deployment.ascent import DeploymentAttack
from neurorobust.attacks.deployment.energy import Energy
from neurorobust.attacks.deployment.overflow import Overflow
from neurorobust.attacks.deployment.truncation import Truncation

OBJECTIVES = {goal.name: goal for goal in (Overflow(), Energy(), Truncation())}

DEPLOYMENT: dict[str, DeploymentAttack] = {
    attack.name: attack
    for goal in OBJECTIVES.values()
    for attack in (
        DeploymentAttack(goal.name, "eps", goal),
        DeploymentAttack(f"{goal.name}-flips", "flips", goal),
    )
}

__all__ = ["DEPLOYMENT", "OBJECTIVES", "DeploymentAttack"]
