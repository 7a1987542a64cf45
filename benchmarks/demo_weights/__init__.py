"""How the demo weights come to be: rendered heads, a teacher, a distilled backbone, synthetic clips, trained heads.

`make demo-weights` runs `benchmarks.demo_weights`. Nothing here travels with the package but its result,
`emer_edge/model/assets/demo.safetensors`. No photograph of a person takes part.
"""
