"""What handlers use of TorchServe's utilities."""
