"""Simulated annealing on exact integers: hundreds of thousands of questions a sample.

    energy     how far a sample is from being misclassified, finer than its readout
    pixels     moves between what each pixel can be made to do inside the ball
    flips      moves of a budget's flips
    *_walk     one sample's walks: where they begin, how long they are, what is kept
    follow     networks that can be asked so, and their samples on several threads

Compiled loops come with them: attacks import them where they begin, not where they are listed.
"""
