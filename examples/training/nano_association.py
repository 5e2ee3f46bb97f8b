"""Which words stand near one another in the training passages: what a term may be expanded into."""

import re

import numpy as np
from scipy import sparse
from tokenizers import Tokenizer

_READABLE = re.compile(r"[가-힣]{2,}|[a-z]{3,}")


class Association:
    """How strongly content words are associated, and the expansions that this gives a text.

    Only tokens that a reader takes for a word count, of two syllables or more, and neither very frequent nor very
    rare. The strength is normalised pointwise mutual information (Bouma 2009) inside windows of 32 tokens, shrunk where
    few passages show it.

    Args:
        tokenizer: Gives the tokens.
        texts: Token ids of each passage.
        frequent: A token in more than this share of the passages is not a content word.
        passages_needed: A token, or a pair of tokens, in fewer passages is left out.
    """

    def __init__(
        self, tokenizer: Tokenizer, texts: list[list[int]], *, frequent: float = 0.02, passages_needed: int = 3
    ) -> None:
        size = tokenizer.get_vocab_size()
        windows = [(owner, set(ids[i : i + 32])) for owner, ids in enumerate(texts) for i in range(0, len(ids), 24)]
        rows = np.repeat(np.arange(len(windows)), [len(window) for _, window in windows])
        columns = np.concatenate([list(window) for _, window in windows])
        near = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(windows), size))
        owners = np.array([owner for owner, _ in windows])
        member = sparse.csr_matrix((np.ones(len(owners), np.float32), (owners, np.arange(len(owners)))))
        passage: sparse.csr_matrix = (member @ near).sign()
        in_windows = np.asarray(near.sum(axis=0)).ravel()
        in_passages = np.asarray(passage.sum(axis=0)).ravel()
        readable = np.array([bool(_READABLE.fullmatch(tokenizer.id_to_token(i))) for i in range(size)])
        content = readable & (in_passages < frequent * len(texts)) & (in_passages >= passages_needed + 2)
        pairs = (near.T @ near).tocoo()
        chosen = content[pairs.row] & content[pairs.col] & (pairs.row != pairs.col)
        row, column, count = pairs.row[chosen], pairs.col[chosen], pairs.data[chosen]
        shared = np.asarray((passage.T @ passage).tocsr()[row, column]).ravel()
        information = np.log(count * len(windows) / (in_windows[row] * in_windows[column]))
        strength = information / -np.log(count / len(windows)) * shared / (shared + 4.0)
        kept = (strength > 0.1) & (shared >= passages_needed)
        self._matrix = sparse.csr_matrix(
            (strength[kept].astype(np.float32), (row[kept], column[kept])), shape=(size, size)
        )
        self._importance = np.log(1.0 / (in_passages / len(texts) + 1e-4)).astype(np.float32) / 10.0

    def expansions(self, texts: list[list[int]], count: int, at_least: float) -> sparse.csr_matrix:
        """The words most associated with all of a text's tokens together, that the text does not hold itself.

        Args:
            texts: Token ids of each text.
            count: At most so many words a text.
            at_least: Words with a lower sum of strengths are left out.

        Returns:
            float32, shape (n_texts, vocabulary_size).
        """
        found = []
        for start in range(0, len(texts), 512):
            part = [np.unique(ids) for ids in texts[start : start + 512]]
            rows = np.repeat(np.arange(len(part)), [len(ids) for ids in part])
            terms = np.concatenate(part).astype(np.int64)
            shape = (len(part), self._matrix.shape[0])
            sums = (sparse.csr_matrix((self._importance[terms], (rows, terms)), shape=shape) @ self._matrix).toarray()
            sums[rows, terms] = 0.0
            best = np.argpartition(-sums, count, axis=1)[:, :count]
            values = np.take_along_axis(sums, best, axis=1)
            values[values < at_least] = 0.0
            kept = np.zeros_like(sums)
            np.put_along_axis(kept, best, values, axis=1)
            found.append(sparse.csr_matrix(kept))
        return sparse.vstack(found, format="csr")
