"""The names that TorchServe's handlers import, so that archives made for TorchServe are served as they are.

This package is called ``ts`` while an archive is loaded, and is not importable by that name otherwise. It is ours:
it has TorchServe's names, signatures and conventions, and none of its code. Only what handlers use is here.
"""

#: The last TorchServe whose contract this is.
__version__ = "0.12.0"
