"""What the training scripts share: the options, and steps of gradient descent on a schedule with a running average."""

import argparse
import copy
import math
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import ModernBertForMaskedLM


def common_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every training script has; each sets its own defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="training folders in the BEIR layout")
    parser.add_argument("--output", type=Path, required=True, help="where the finished model folder goes")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--query-tokens", type=int, default=64)
    parser.add_argument("--document-tokens", type=int)
    parser.add_argument("--max-length", type=int, default=1024, help="max_seq_length of the finished model")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def tokenize(tokenizer: Tokenizer, texts: list[str], limit: int) -> list[list[int]]:
    """Encode texts to ids of at most ``limit`` tokens, the closing [SEP] kept."""
    ids = (encoding.ids for encoding in tokenizer.encode_batch(texts))
    return [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in ids]


def progress_display() -> Progress:
    """Return a bar that shows the steps taken and the time left."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


class Descent:
    """Steps of an optimizer: a short rise of the learning rate, then a cosine; the weights' running average beside it.

    Attributes:
        average: The running average: short memory while the weights move fast, long memory towards the end.
    """

    def __init__(
        self, model: ModernBertForMaskedLM, optimizer: torch.optim.Optimizer, *, rise: int, memory: float
    ) -> None:
        """Start from the model as it is.

        Args:
            model: What is trained.
            optimizer: Its learning rate is the highest of the schedule.
            rise: Steps until the learning rate is at its highest.
            memory: What the average keeps of itself at a step of the second half.
        """
        self._model, self._optimizer, self._rise, self._memory = model, optimizer, rise, memory
        self._highest = [group["lr"] for group in optimizer.param_groups]
        self._steps = 0
        self.average: ModernBertForMaskedLM = copy.deepcopy(model)
        self.average.train(mode=False)

    def step(self, loss: Tensor, progress: float) -> None:
        """Go one step down; ``progress`` is how much of the training is done with it, 0 to 1."""
        self._steps += 1
        rate = min(1.0, self._steps / self._rise) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
        for group, highest in zip(self._optimizer.param_groups, self._highest, strict=True):
            group["lr"] = highest * rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        keep = 0.9 if progress < 0.5 else self._memory
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self._model.parameters(), strict=True):
                slow.lerp_(fast, 1.0 - keep)
