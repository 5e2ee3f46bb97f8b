"""Starting vectors of the token embeddings from which tokens occur near one another in the training passages."""

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd


def cooccurrence_vectors(
    texts: list[list[int]], vocabulary_size: int, width: int, *, ignored: int, window: int = 8, seed: int = 0
) -> np.ndarray:
    """Factorise the positive pointwise mutual information of tokens that stand near one another.

    Args:
        texts: Token ids of each passage.
        vocabulary_size: Number of tokenizer entries.
        width: Length of the vectors.
        ignored: Ids below this number (special tokens and bytes) are left out.
        window: How many tokens to the right count as near, nearer ones more.
        seed: Seed of the randomised factorisation and of the vectors of tokens that are too rare.

    Returns:
        float32, shape (vocabulary_size, width), rows of length 1.

    Source:
        Levy, Goldberg and Dagan (2015), Improving Distributional Similarity, sections 3 and 4.
    """
    counts = sparse.csr_matrix((vocabulary_size, vocabulary_size), dtype=np.float32)
    stream = np.concatenate([np.asarray([*text, -1], dtype=np.int64) for text in texts])
    owner = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    for distance in range(1, window + 1):
        left, right = stream[:-distance], stream[distance:]
        near = (owner[:-distance] == owner[distance:]) & (left >= ignored) & (right >= ignored)
        weight = np.full(int(near.sum()), 1.0 / distance**0.5, dtype=np.float32)
        counts += sparse.coo_matrix((weight, (left[near], right[near])), shape=counts.shape).tocsr()
    counts = (counts + counts.T).tocoo()
    occurrences = np.asarray(counts.sum(axis=1)).ravel()
    smoothed = occurrences**0.75
    information = np.log(counts.data * smoothed.sum() / (occurrences[counts.row] * smoothed[counts.col] + 1e-9) + 1e-9)
    # A pair seen only once says little, however surprising it is.
    information *= counts.data / (counts.data + 2.0)
    kept = information > 0
    positive = sparse.csr_matrix(
        (information[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape, dtype=np.float32
    )
    left_vectors, values, _ = randomized_svd(positive, n_components=width, random_state=seed, n_iter=3)
    vectors = (left_vectors * np.sqrt(values)).astype(np.float32)
    vectors -= vectors.mean(axis=0)
    vectors[occurrences < 5] = np.random.default_rng(seed).normal(size=(int((occurrences < 5).sum()), width))
    normalised: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised
