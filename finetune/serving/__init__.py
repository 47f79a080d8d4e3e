"""A finished classifier → an HTTP service.

In: what `finetune.load` takes. Out: the wire format of Hugging Face's Inference API. Texts of requests that arrive
together are classified together, by one thread. Read in this order:

- `config.py`: the command's options, among them every limit
- `wire_format.py`: the body of a request → texts; scores → the body of an answer
- `served_model.py`: the model, which texts it is given, what they cost, and what `/info` tells of it
- `batching.py`: texts of many requests → batches
- `measurements.py`: what `/metrics` and the access log tell
- `service.py`: the thread with the model; a classification from its first byte to its answer
- `application.py`: the routes
- `server.py`: the socket, and the end: every request that was accepted is answered
"""
