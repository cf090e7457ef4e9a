"""An own search for adversarial inputs, made of other code than `neurorobust.attacks`.

delta_network   a `.net` as arrays: who reaches whom, with which weight, how late
delta_loops     compiled: what a few changed input spikes change, layer by layer, exactly
annealing       compiled: simulated annealing over flips, and over the choices of each pixel
surrogates      gradients of many surrogates, asked of the engine
ascent          momentum ascents over pixels
images, events  the two searches
records         which samples an evaluation left standing
rounds, hunt    one case, turn after turn
verify          what is called broken: budget in numpy, label on engine and reference
"""
