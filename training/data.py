"""Token windows for training: an endless, seeded stream that can start at any step."""

from __future__ import annotations

import numpy as np
from tokenizer import BOS_ID, EOS_ID
from tokenizers import Tokenizer


class Windows:
    """Windows over one long stream of books, each book closed by an EOS token.

    Half of the windows start at a paragraph and carry BOS in front, so that BOS means "text
    starts here"; the others start anywhere.
    """

    def __init__(self, books: list[str], tokenizer: Tokenizer, seed: int) -> None:
        ids: list[int] = []
        starts: list[int] = []
        for text in books:
            for paragraph in text.split("\n\n"):
                starts.append(len(ids))
                ids.extend(tokenizer.encode(paragraph + "\n\n").ids)
            ids.append(EOS_ID)
        self.ids = np.asarray(ids, dtype=np.int64)
        self.starts = np.asarray(starts, dtype=np.int64)
        self.seed = seed

    def batch(self, step: int, size: int, length: int) -> np.ndarray:
        """Return the windows [size, length + 1] of a step; the same step gives the same ids."""
        if len(self.ids) < length + 2:
            raise SystemExit(
                f"the texts are too short: expected more than {length + 1} tokens, "
                f"found {len(self.ids)}"
            )
        rng = np.random.default_rng((self.seed, step))
        out = np.empty((size, length + 1), dtype=np.int64)
        for row in range(size):
            at = int(rng.integers(0, len(self.ids) - length - 1))
            if rng.random() < 0.5:
                later = int(np.searchsorted(self.starts, at))
                start = int(self.starts[min(later, len(self.starts) - 1)])
                if start + length < len(self.ids):
                    out[row, 0] = BOS_ID
                    out[row, 1:] = self.ids[start : start + length]
                    continue
            out[row] = self.ids[at : at + length + 1]
        return out
