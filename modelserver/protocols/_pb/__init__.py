"""The messages of ``protos/``, made by ``protos/generate.py``; only the gRPC codec may import them."""
