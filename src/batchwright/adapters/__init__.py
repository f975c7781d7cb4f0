"""One module a trainer, each importing that trainer; nothing here is loaded with batchwright itself.

`torchdata`, `accelerate`, `transformers`, `lightning`, `ignite`, `ray`. A plain loop needs none of them.
"""
