"""Questions that their passage does not answer, made of questions that it does answer.

SQuAD 2.0 had people write them (Rajpurkar et al. 2018). Where those are not at hand, rules after
the kinds of its table 2 make the like, and harmless edits keep "edited" from meaning "no answer".
"""
