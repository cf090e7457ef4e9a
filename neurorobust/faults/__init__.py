"""Adversaries of the deployment: bits of the weights, state that a sample leaves, costly inputs.

A fault is asked by a request, a frozen value (`BitsRequest`, `LeakRequest`, `InputsRequest`), and
answered by `examine` with a record. Its folder is an evaluation's: `settings.json`, `shards` while
it runs, `samples.npz` and, last, `record.json` (schema: `neurorobust.faults.record`). In
`samples.npz` (first axis: the scored samples, N)

    label                          int64 [N]
    predicted/<bits>/searched      int64 [N]; bits: the answers after so many searched bits
    predicted/<bits>/random-<i>    int64 [N]; after as many random bits, in each repetition
    predecessor/<regime>           leak: the crafted sample before each, of the samples' shape
    input/random, input/<attack>   inputs: float32 images or uint8 spikes within the budget

and beside it, of `bits`, `<bits>.net`: the network after so many searched bits.
"""
