"""Ready-made modules for RecTools' transformers, and spaces that search over them."""
