"""Labelled data: what `--dataset` names. (Being written: see base.py for the interface.)"""
