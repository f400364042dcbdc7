"""A pipeline on N GPUs as an event simulation: what serve.yaml and sizing.env do to utilisation, latency and cost.

pipeline = load("document-intelligence", "dev")         # serve.yaml, sizing.env and apps/<package>/simulation.yaml
run = simulate(pipeline, Load(rate=2.0), seconds=3600, seed=1)

spec: the file simulation.yaml. model: the pipeline as numbers, and its variants. engine, stations, gpus, scaling: the
simulation. closed_forms: what queueing theory says of the same. claim, report, plot: the study of fractional GPUs.
"""
