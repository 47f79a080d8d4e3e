"""A finished run → a folder that others load, a model card, and a Hub repository.

In: a run folder. Out: a folder of known files, and one commit on the Hub. Read in this order:

- `kinds.py`: what a run holds, and the code that loads it elsewhere
- `model_folder.py`: the model with its temperature folded in
- `outputs.py`, `fresh_process.py`: what a model answers, and the check that it does so without this toolkit
- `markdown.py`, `metadata.py`, `measured.py`: text of users as text, the card's YAML, scores with intervals
- `card.py`, `model_card.md.j2`: the model card and its template
- `check_texts.py`, `onnx_graph.py`, `onnx.py`: a folder → its ONNX files, in floats and 8 bits, checked against torch
- `upload_files.py`: the files that are sent, and the secrets that are not
- `hub.py`: a folder → one commit on the Hub, read back
"""
