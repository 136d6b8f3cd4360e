"""Ready-made custom modules for RecTools transformers, and the spaces that search over them."""
