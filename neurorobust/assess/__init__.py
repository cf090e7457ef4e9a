"""What needs more than one evaluation or network: deployed beside float, replays, sweeps, demo."""
