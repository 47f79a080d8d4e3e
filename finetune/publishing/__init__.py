"""A finished run → a model card and a Hub repository.

In: a run folder. Out: a model card, and one commit on the Hub.

- `card.py`, `model_card.md.j2`: the model card and its template
- `hub.py`: a folder → one commit on the Hub
- `onnx_graph.py`: a classifier → the graph of ONNX that computes the same
- `check_texts.py`: texts to check a model with
- `onnx.py`: a folder → its ONNX files, in floats and in 8 bits, checked against torch
"""
