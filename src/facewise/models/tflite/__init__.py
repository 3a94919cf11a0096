"""TFLite networks to ONNX: a reader of the file and the operators that MediaPipe's face networks use."""

from facewise.models.tflite.convert import Converted, convert
from facewise.models.tflite.graph import Graph, read_graph

__all__ = ["Converted", "Graph", "convert", "read_graph"]
