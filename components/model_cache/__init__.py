"""Where weights live: the file system that all replicas share, and the Jobs that fill it."""

from components.model_cache.cache import ModelCache, ModelCacheArgs
from components.model_cache.job import model_directory
from components.model_cache.preload import ModelPreload, ModelPreloadArgs

__all__ = ["ModelCache", "ModelCacheArgs", "ModelPreload", "ModelPreloadArgs", "model_directory"]
