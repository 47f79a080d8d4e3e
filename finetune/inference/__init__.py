"""A finished classifier → labels for any text.

In: the folder of a fine-tuning run (or of an exported model, or a Hub id), and texts. Out: class probabilities. Read
in this order:

- `encoding.py`: texts → rows of ids → the arrays of a batch; `tokenizer_file.py`: ids without torch
- `onnx_session.py`: an ONNX file → a session of onnxruntime
- `model_files.py`: a folder or Hub id → the folder with a model's files, and the digest of these
- `classifier.py`: models → probabilities, at the machine's speed
- `explanation.py`: which words moved a classifier
- `rows.py`: input files and pipes → rows with all their columns
- `output.py`: rows with their predictions → a file that grows, and that an interrupted command takes up again
"""
