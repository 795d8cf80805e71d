"""Architectures that SGLang finds without importing every model file it has.

SGLang fills its registry from this package first (`SGLANG_EXTERNAL_MODEL_PACKAGE`) and imports its own two hundred
model files only for an architecture that is missing here. The classes are SGLang's own.
"""
