"""The rules of a deployment, checked on a network, and what a target must do to pass for one."""
