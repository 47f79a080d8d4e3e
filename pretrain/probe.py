"""`python -m pretrain.probe MODEL "text with [MASK]" ["a second text"]`: print a model's predictions for a text.

With a mask, the likeliest tokens for it; with a second text, whether it follows the first.
"""

from jsonargparse import Namespace

from configs.command_line import CommandLine
from configs.errors import InputError, run_command
from configs.terminal import show_progress_lines

PROGRAM = "python -m pretrain.probe"
QUESTIONS = {"next-sentence": "the second text follows the first", "sentence-order": "the first text comes first"}


def answers(model: str, text: str, second: str | None, top_k: int, runs: str = "runs") -> list[str]:
    """A line for each mask, and one for the relation of the two texts.

    Raises:
        InputError: the model cannot be used, or there is neither a mask nor a second text.
    """
    from pretrain.models import scoring
    from pretrain.run_paths import find

    lines, (folder, _) = [], find(model, runs)
    if "[MASK]" in text or "[MASK]" in (second or "") or second is None:
        for number, predictions in enumerate(scoring.fill(scoring.load(folder), text, second, top_k), 1):
            tokens = ", ".join(f"{token} {100 * share:.1f} %" for token, share in predictions)
            lines.append(f"mask {number}: {tokens}")
    if second is not None:
        task, share = scoring.relation(folder, text, second)
        lines.append(f"{QUESTIONS[task]}: {100 * share:.1f} % ({task} prediction)")
    return lines


def main() -> None:
    """Parse the command line, then print the predictions."""
    parser = CommandLine(PROGRAM, description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("model", type=str, metavar="MODEL", help="A run, a folder with a model, or a Hub id.")
    parser.add_argument("text", type=str, metavar="TEXT", help="A text, with [MASK] where a token is missing.")
    parser.add_argument("second", type=str, nargs="?", default=None, metavar="TEXT", help="A text that may follow it.")
    parser.add_argument("--top_k", type=int, default=5, help="Number of tokens to print per mask.")
    parser.add_argument("--runs", type=str, default="runs", help="The folder of runs.")
    options: Namespace = parser.parse_args()
    if options.top_k < 1:
        raise InputError(f"--top_k: {options.top_k} is too small; give at least 1")
    show_progress_lines()
    print("\n".join(answers(options.model, options.text, options.second, options.top_k, options.runs)))


if __name__ == "__main__":
    run_command(PROGRAM, main)
