"""The Hugging Face Hub, where a run's checkpoints may go.

- `retries.py`: requests that are tried again
- `access.py`: the token, and a client of the Hub
- `checkpoints.py`: the newest checkpoint of a run → the Hub, in the background, and back
"""
