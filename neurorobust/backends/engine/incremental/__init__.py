"""What a few changed input spikes change: exact answers that recompute only the neurons reached.

`network` lays a `.net` out for it, `loops` runs it. A question costs microseconds where a run of
the whole network costs a hundred times as much; searches ask hundreds of thousands.
"""
