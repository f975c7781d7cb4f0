"""One module for each trainer, which imports that trainer; none of them is loaded with batchwright itself.

`torchdata`, `accelerate`, `transformers`, `sentence_transformers`, `lightning`, `ignite`,
`ray`, `torchtitan`, `lerobot`. A plain loop needs none of them.
"""
