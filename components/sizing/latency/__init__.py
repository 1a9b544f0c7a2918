"""How fast one replica answers: a roofline of vLLM's steps, and the closed loop of requests around them.

A step reads the weights and the cached keys and values, multiplies, synchronises the tensor-parallel ranks and costs
the host some time (``roofline.py``, ``communication.py``). Steps that also carry prompt tokens delay the requests that
are decoding (``serving.py``). Results are bands: two engines of one release differ by more than any constant's error.
"""

from components.sizing.latency.serving import Latency, Slo, max_concurrency, predict, single_stream_ceiling

__all__ = ["Latency", "Slo", "max_concurrency", "predict", "single_stream_ceiling"]
