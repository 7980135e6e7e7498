"""item_knn against SciPy: the neighbours of items and the lists of users, from the formulas of the reference page."""
import functools
import json

import numpy as np
import scipy.sparse as sparse
from scipy.special import xlogy

from support import claim, claim_each, close, create_model, events_db, pairs, retail, same, train

SALES = 40000
ROUNDING = 1e-6  # scores are kept as float32: below this two scores may come in either order
WALKS = ("p3alpha", "rp3beta")
EXACT = ("jaccard", "dice")  # a quotient of counts: equal scores are equal bits, so that ties by id decide what is kept
PARAMETERS = {"asymmetric": (.5, None), "tversky": (.5, .5), "bm25": (1.2, .5), "p3alpha": (1, None), "rp3beta": (.7, .4)}


@functools.lru_cache(None)
def _shop():
    rows = retail(SALES)
    return events_db(rows), *pairs(rows)


def _rows_times(matrix, factor):
    return sparse.diags(factor) @ matrix


def _power(matrix, exponent):
    matrix = matrix.tocsr(copy=True)
    matrix.data **= exponent
    return matrix


def _weights(similarity, x, alpha, beta):
    """The rows w of the similarities that have one weight for both sides."""
    n_items = x.shape[1]
    d_user = np.diff(x.indptr)
    idf = np.log(n_items) - np.log(1 + d_user)
    if similarity == "tfidf":
        return _rows_times(_power(x, .5), idf)
    if similarity == "bm25":
        length = np.asarray(x.sum(0)).ravel()
        w = x.tocoo()
        saturated = w.data * (alpha + 1) / (alpha * (1 - beta + beta * length[w.col] / length.mean()) + w.data)
        return _rows_times(sparse.csr_matrix((saturated, (w.row, w.col)), x.shape), idf)
    return x


def _log_likelihood(c, di, dj, users):
    """Twice the mutual information of the 2 x 2 table, 0 where c is not above chance."""
    total = 0
    for cell, row, column in [(c, dj, di), (dj - c, dj, users - di), (di - c, users - dj, di), (users - di - dj + c, users - dj, users - di)]:
        total = total + xlogy(cell, np.where(cell > 0, cell * users / (row * column + (row * column == 0)), 1))
    return np.where(c * users > di * dj, 2 * total, 0)


def _similarities(similarity, weighted, alpha, beta, shrink):
    """s[j, i] for all pairs of items: j the item that the user has, i the one that is recommended."""
    _, _, _, amounts = _shop()
    binary = amounts.copy()
    binary.data[:] = 1
    x = amounts.copy()
    x.data = np.log1p(x.data) if weighted else np.ones_like(x.data)
    degree = np.asarray(binary.sum(0)).ravel()
    di, dj = degree[None, :], degree[:, None]
    if similarity in WALKS:
        to_user = _power(x @ sparse.diags(1 / np.asarray(x.sum(0)).ravel()), alpha)  # users x items
        to_item = _power(_rows_times(x, 1 / np.asarray(x.sum(1)).ravel()), alpha)
        s = (to_user.T @ to_item).toarray()
        return s / di**beta if similarity == "rp3beta" else s
    if similarity in ("cosine", "asymmetric", "tfidf", "bm25"):
        w = _weights(similarity, x, alpha, beta)
        c = (w.T @ w).toarray()
        square = np.asarray(w.multiply(w).sum(0)).ravel()
        if similarity == "bm25":
            return c
        exponent = alpha if similarity == "asymmetric" else .5
        return c / (square[:, None] ** exponent * square[None, :] ** (1 - exponent) + shrink)
    c = (binary.T @ binary).toarray()
    if similarity == "jaccard":
        return c / (di + dj - c + shrink)
    if similarity == "dice":
        return 2 * c / (di + dj + shrink)
    if similarity == "tversky":
        return c / (c + alpha * (dj - c) + beta * (di - c) + shrink)
    return _log_likelihood(c, di, dj, binary.shape[0])


def _kept(s, keep):
    """s with the `keep` highest of each row, ties by column, and zero elsewhere; and which entries are within ROUNDING of
    the cut between what is kept and what is not."""
    if keep >= s.shape[1]:
        return s, np.zeros(s.shape, bool)
    top = -np.partition(-s, keep, axis=1)[:, :keep + 1]
    last, dropped = top[:, :keep].min(1)[:, None], top[:, keep:]
    above, tied = s > last, s == last
    room = keep - above.sum(1, keepdims=True)
    kept = np.where(above | (tied & (np.cumsum(tied, 1) <= room)), s, 0)
    contested = (last > 0) & (last - dropped <= ROUNDING * last)
    return kept, contested & (np.abs(s - last) <= ROUNDING * last)


def _lists(s, neighbours, normalize, exact):
    kept, undecided = _kept(s, neighbours)
    if normalize == "l1":
        kept = kept / np.maximum(kept.sum(1, keepdims=True), 1e-300)
    return kept, undecided & (not exact)


def _case(similarity, weighted=False, alpha=None, beta=None, shrink=0, neighbours=50, per="source", normalize="none"):
    default_alpha, default_beta = PARAMETERS.get(similarity, (None, None))
    return (similarity, weighted, default_alpha if alpha is None else alpha, default_beta if beta is None else beta, shrink, neighbours, per,
            normalize)


@functools.lru_cache(None)
def _model(similarity, weighted, alpha, beta, shrink, neighbours, per, normalize):
    """Train; options that are the similarity's own defaults are left to the extension."""
    db = _shop()[0]
    name = f"m{_model.cache_info().misses}"
    own_alpha, own_beta = PARAMETERS.get(similarity, (None, None))
    create_model(db, name, algorithm="item_knn", similarity=similarity, pairs="weighted" if weighted else "binary",
                 alpha=None if alpha == own_alpha else alpha, beta=None if beta == own_beta else beta, shrink=shrink,
                 neighbours=neighbours, per=per, normalize=normalize)
    train(db, name)
    return name


@functools.lru_cache(1)
def _matrices(similarity, weighted, alpha, beta, shrink):
    """s with a zero diagonal, and the diagonal: an item is no neighbour of its own."""
    s = _similarities(similarity, weighted, alpha, beta, shrink)
    own = np.diag(s).copy()
    np.fill_diagonal(s, 0)
    return s, own


@functools.lru_cache(1)
def _target_lists(similarity, weighted, alpha, beta, shrink, neighbours, normalize):
    s, _ = _matrices(similarity, weighted, alpha, beta, shrink)
    return _lists(s.T, neighbours, normalize, similarity in EXACT)


def _expected(j, similarity, weighted, alpha, beta, shrink, neighbours, per, normalize):
    """Rows j of the neighbours: (s_ji of what is kept, which entries rounding decides, s_jj)."""
    s, own = _matrices(similarity, weighted, alpha, beta, shrink)
    if per == "source":
        kept, undecided = _lists(s[j], neighbours, normalize, similarity in EXACT)
    else:
        kept, undecided = (lists[:, j].T for lists in _target_lists(similarity, weighted, alpha, beta, shrink, neighbours, normalize))
    return kept, undecided, own[j]


CASES = {"default": _case("bm25")}
for _name in ("cosine", "asymmetric", "tfidf", "jaccard", "dice", "tversky", "llr", *WALKS):
    CASES[_name] = _case(_name)
for _name in ("cosine", "asymmetric", "tfidf", "bm25", *WALKS):
    CASES[_name + " weighted"] = _case(_name, weighted=True)
CASES.update({
    "cosine shrink": _case("cosine", shrink=10), "jaccard shrink": _case("jaccard", shrink=3.5), "dice shrink": _case("dice", shrink=7),
    "tfidf shrink": _case("tfidf", shrink=20), "asymmetric alpha shrink": _case("asymmetric", alpha=.2, shrink=5, weighted=True),
    "tversky alpha beta": _case("tversky", alpha=.9, beta=.1, shrink=1), "bm25 alpha beta": _case("bm25", alpha=2, beta=.9, weighted=True),
    "p3alpha alpha": _case("p3alpha", alpha=1.7, weighted=True), "rp3beta alpha beta": _case("rp3beta", alpha=1.2, beta=.8),
    "few neighbours": _case("cosine", neighbours=7), "few neighbours jaccard": _case("jaccard", neighbours=7),
    "per target dice": _case("dice", neighbours=7, per="target"), "l1": _case("cosine", normalize="l1"),
    "per target": _case("cosine", neighbours=20, per="target"), "per target asymmetric": _case("asymmetric", alpha=.2, neighbours=20, per="target"),
    "per target p3alpha": _case("p3alpha", neighbours=20, per="target"),
    "per target rp3beta weighted l1": _case("rp3beta", neighbours=20, per="target", weighted=True, normalize="l1"),
    "per target tversky": _case("tversky", alpha=.9, beta=.1, neighbours=20, per="target"),
})


def _sampled_items(n_items):
    return np.linspace(0, n_items - 1, 30).astype(int)


def _ordered(scores, what):
    """The list's exact scores fall, apart from rounding."""
    for before, after in zip(scores, scores[1:]):
        assert after <= before * (1 + ROUNDING), f"{what}: a score of {after!r} comes after {before!r}"


@claim_each(CASES)
def neighbours_equal_scipy(*case):
    db, _, items, _ = _shop()
    item_id = {item: i for i, item in enumerate(items)}
    name = _model(*case)
    sampled = _sampled_items(len(items))
    for j, want, undecided in zip(sampled, *_expected(sampled, *case)[:2]):
        what = f"neighbours of {items[j]}"
        k = int((want > 0).sum()) + 20  # what is more comes from popular, with score 0
        rows = [row for row in db.execute(f"SELECT item, score FROM {name} WHERE similar_to = ? AND k = ? ORDER BY rank", (items[j], k))
                if row[1] > 0]
        ids = [item_id[row[0]] for row in rows]
        scores = np.array([row[1] for row in rows])
        assert len(set(ids)) == len(ids), f"{what}: an item is listed twice"
        differing = [i for i in set(ids) ^ set(np.flatnonzero(want).tolist()) if not undecided[i]]
        assert not differing, f"{what}: {len(differing)} items are in one list only, such as {items[differing[0]]}"
        sure = [n for n, i in enumerate(ids) if want[i] > 0]  # the others are ties at the cut
        close(scores[sure], want[ids][sure], 1e-5, f"{what}: scores")
        _ordered(want[ids][sure], what)
        for n in range(1, len(ids)):
            assert scores[n] < scores[n - 1] or ids[n] > ids[n - 1], f"{what}: {items[ids[n]]} ties and is out of key order"


USER_CASES = {
    "cosine, all neighbours": _case("cosine", neighbours=100000), "bm25 weighted, all neighbours": _case("bm25", weighted=True, neighbours=100000),
    "rp3beta, all neighbours": _case("rp3beta", neighbours=100000), "jaccard shrink l1": _case("jaccard", shrink=3.5, normalize="l1", neighbours=100000),
    "default": _case("bm25"), "per target": _case("cosine", neighbours=20, per="target"),
}


def _check_user_list(name, case, user, exclude_seen):
    db, users, items, amounts = _shop()
    item_id = {item: i for i, item in enumerate(items)}
    history = amounts[users.index(user)]
    j, x = history.indices, np.log1p(history.data)
    kept, undecided, own = _expected(j, *case)
    want = x @ kept
    want[j] += x * own
    doubtful = undecided.any(0)  # ties at a cut: left to the neighbours' own check
    if exclude_seen:
        want[j] = 0
    options = '{"exclude_seen":%s}' % ("true" if exclude_seen else "false")
    rows = db.execute(f"SELECT item, score FROM {name} WHERE user = ? AND k = 100 AND options = ? ORDER BY rank", (user, options)).fetchall()
    ids = np.array([item_id[row[0]] for row in rows if row[1] > 0], int)
    scores = np.array([row[1] for row in rows if row[1] > 0])
    what = f"user {user}"
    sure = ~doubtful[ids]
    close(scores[sure], want[ids][sure], 1e-5, f"{what}: scores")
    _ordered(scores, what)
    least = scores.min() if len(ids) == len(rows) else 0  # a list that popular filled up ends at 0
    missed = np.setdiff1d(np.flatnonzero(~doubtful & (want > least * (1 + ROUNDING))), ids)
    assert not len(missed), f"{what}: {items[missed[0]]} with {want[missed[0]]!r} is missing from the list, which ends at {least!r}"
    return int(sure.sum()), len(ids)


@claim_each(USER_CASES)
def user_lists_sum_similarity_times_scaled_weight(*case):
    _, users, _, _ = _shop()
    name = _model(*case)
    compared = [_check_user_list(name, case, user, exclude) for user in users[::len(users) // 20] for exclude in (False, True)]
    sure, listed = map(sum, zip(*compared))
    assert sure > listed / 2, f"only {sure} of {listed} rows could be compared: the sample has too many ties"


@claim
def because_shares_are_the_terms_of_the_sum():
    """Of the five highest terms, with the item's own similarity where it is in the history."""
    db, users, items, amounts = _shop()
    item_id = {item: i for i, item in enumerate(items)}
    case = USER_CASES["cosine, all neighbours"]
    name = _model(*case)
    for user in users[::len(users) // 10]:
        history = amounts[users.index(user)]
        j, x = history.indices, np.log1p(history.data)
        kept, _, own = _expected(j, *case)
        terms = kept * x[:, None]
        terms[np.arange(len(j)), j] = own * x
        for item, score, because in db.execute(f"""SELECT item, score, because FROM {name} WHERE user = ? AND k = 5
                                                   AND options = '{{"exclude_seen":false}}'""", (user,)):
            part, shown = terms[:, item_id[item]], json.loads(because)
            close(score, part.sum(), 1e-5, f"user {user}, item {item}: score")
            if not part.any():
                same(shown, {"source": "popular"}, f"user {user}, item {item}: what the history says nothing about")
                continue
            share = part / part.sum()
            same(shown["source"], "history", "source")
            best = np.sort(share[share > 0])[::-1][:5]
            close([row["share"] for row in shown["items"]], best, 1e-4, f"user {user}, item {item}: shares", scale=1)
            own_share = dict(zip(j.tolist(), share))
            close([own_share[item_id[row["item"]]] for row in shown["items"]], best, 1e-4, f"user {user}, item {item}: items", scale=1)
