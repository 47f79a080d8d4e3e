"""The options of `python -m finetune.serve`."""

import dataclasses

from configs.bounds import require_at_least, require_between
from configs.errors import InputError


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Serve a finished classifier over HTTP, in the wire format of Hugging Face's Inference API."""

    run: str
    """The folder of a fine-tuning run or of an exported model, or a Hub id."""
    name: str | None = None
    """What `/info` and `/models/NAME` call the model; null: the folder's name, or the Hub id."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one of this machine. There is no authentication."""
    port: int = 8000
    """The port; 0 takes a free one, which is printed."""
    runtime: str = "torch"
    """What computes a network: `torch`; or `onnx`, or `onnx-int8`, of a model that was exported with `--onnx`."""
    long_texts: str = "cut"
    """`cut`: texts that are too long are cut as in training; `windows`: they are read in overlapping windows, whose
    scores are averaged."""
    maximum_body_bytes: int = 1_000_000
    """A request's largest body; a larger one is refused (413) while it is read."""
    maximum_texts: int = 256
    """The most texts of a request (422)."""
    maximum_characters: int = 100_000
    """The longest text (422)."""
    maximum_queue: int = 1024
    """The most texts that wait; requests beyond these are told to come again later (503, Retry-After)."""
    maximum_wait_ms: float = 3.0
    """How long a batch waits for requests that are on their way, in milliseconds; a lone request never waits."""
    request_timeout: float = 60.0
    """Seconds from a request's first byte to its answer; then 408 if its body is not there, 503 otherwise."""
    grace_period: int = 25
    """Whole seconds that requests have to be finished in after SIGTERM or SIGINT."""
    allocator: bool = True
    """On Linux, restart once with an allocator that keeps its memory, which makes batches faster."""
    access_log: bool = True
    """A line of JSON for each request, without its texts."""

    def __post_init__(self) -> None:
        """Validate the keys."""
        require_between(0, 65535, port=self.port)
        require_at_least(1, maximum_body_bytes=self.maximum_body_bytes, maximum_texts=self.maximum_texts)
        require_at_least(1, maximum_characters=self.maximum_characters)
        require_at_least(self.maximum_texts, maximum_queue=self.maximum_queue)
        require_between(0, 1000, maximum_wait_ms=self.maximum_wait_ms)
        require_between(0.1, 3600, request_timeout=self.request_timeout)
        require_between(1, 3600, grace_period=self.grace_period)
        if self.long_texts not in ("cut", "windows"):
            raise InputError(f"long_texts: {self.long_texts!r} is neither `cut` nor `windows`")
