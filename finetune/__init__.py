"""Encoder → answers: fine-tuning, comparison, report and export.

In: a pretraining run (or any checkpoint, or none) and labelled text. Out: `runs/finetune/<name>-<digest>/`, and from
many of them one table, one verdict, one HTML file. Commands and entry points:

- `config.py`: the config of a fine-tuning run; `run_paths.py`: run folders, and the checkpoint a run starts from
- `run.py`, `__main__.py`: fine-tune one model with one seed and one label budget, and its command
- `compare.py`: the command that runs every stage and compares
- `ladder.py`: the command that foretells what more pretraining would bring
- `predict.py`: the command that labels texts with a finished run; in Python, `load(run)(texts)` and `explain`
- `export.py`: the command that copies a model with its card to a folder or the Hub
- `demo.py`: the command that makes a page to try models in a browser
- `serve.py`: the command that answers over HTTP with a finished run

Subpackages, each importing only from those before it:

- `classification/`: labelled text → scores of one model
- `comparison/`: many runs → intervals, verdict, report
- `ladders/`: short pretraining runs of a comparison → what more would bring
- `own_data/`: texts and a time → the settings of a comparison
- `inference/`: a finished classifier and any text → labels
- `publishing/`: a run → a folder or a Hub repository
- `page/`: runs → a page on which one tries them
- `serving/`: a finished classifier → an HTTP service
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.inference.classifier import Classifier, MultiLabelPrediction, Prediction, load
    from finetune.inference.explanation import WordWeight, explain

__all__ = ["Classifier", "MultiLabelPrediction", "Prediction", "WordWeight", "explain", "load"]


def __getattr__(name: str) -> Any:
    """What notebooks need, imported when it is asked for: most commands of this room do without.

    Raises:
        AttributeError: there is no such name.
    """
    if name in __all__:
        from finetune.inference import classifier, explanation

        return getattr(explanation if name in ("WordWeight", "explain") else classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
