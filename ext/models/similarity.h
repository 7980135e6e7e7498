/* How alike two items' users are, or two users' items: the measures of item_knn and user_knn.
 *
 * Things j and i (items, say) hold others (users): d_j, d_i others each, c = sum over the others of
 * both of w_j w_i. x: 1 (pairs=binary) or the scaled weight (pairs=weighted); h = shrink; n things;
 * d_o things of the other o.
 *
 *     cosine      w = x        c / (|w_j| |w_i| + h)
 *     asymmetric  w = x        c / (|w_j|^(2 alpha) |w_i|^(2 (1 - alpha)) + h)
 *                              (Aiolli 2013; alpha .5)
 *     tfidf       w = sqrt(x) (ln n - ln(1 + d_o))       c / (|w_j| |w_i| + h)
 *     bm25        w = x (K1 + 1) / (K1 (1 - B + B len_i / mean len) + x) (ln n - ln(1 + d_o)),   c
 *                 len_i = sum_o x_oi, K1 = alpha (1.2), B = beta (.5)  (Robertson 1994)
 *     jaccard     w = 1        c / (d_i + d_j - c + h)
 *     dice        w = 1        2 c / (d_i + d_j + h)
 *     tversky     w = 1        c / (c + alpha (d_j - c) + beta (d_i - c) + h)  (alpha .5, beta .5)
 *     llr         w = 1        log-likelihood ratio of the 2 x 2 table, 0 where c is below chance
 *                              (Dunning 1993)
 *     p3alpha     w_oj = (x_oj / sum_o x_oj)^a, then (x_oi / sum_i x_oi)^a: a three-step walk
 *                 (Cooper 2014; a = alpha 1)
 *     rp3beta     p3alpha / d_i^beta  (Paudel 2017; alpha .7, beta .4)
 *
 * alpha and beta below 0 mean the values named here, shrink below 0 means 0. */
#ifndef REC_SIMILARITY_H
#define REC_SIMILARITY_H

#include <stddef.h>
#include <stdint.h>

#include "../base/options.h"

enum { COSINE, ASYMMETRIC, TFIDF, BM25, JACCARD, DICE, TVERSKY, LLR, P3ALPHA, RP3BETA };
#define SIMILARITY_CHOICES "cosine|asymmetric|tfidf|bm25|jaccard|dice|tversky|llr|p3alpha|rp3beta"

/* The options alpha, beta and shrink of an algorithm's table. */
#define SIMILARITY_OPTIONS(Params) \
    {"alpha", OPT_REAL, offsetof(Params, alpha), -1, 1000, -1, NULL, \
        "asymmetric, tversky, p3alpha, rp3beta: exponent or weight; bm25: K1; -1: the " \
        "similarity's own"}, \
        {"beta", OPT_REAL, offsetof(Params, beta), -1, 1000, -1, NULL, \
            "tversky: weight; rp3beta: exponent; bm25: B; -1: the similarity's own"}, \
    { \
        "shrink", OPT_REAL, offsetof(Params, shrink), -1, 1e9, -1, NULL, \
            "added to the denominator: distrust rare pairs; -1: 0, of item_knn's ordered pairs 8" \
    }

typedef struct Similarity {
    int64_t kind;
    double alpha;
    double beta;
    double shrink;
} Similarity;

/* What a similarity needs to know of a thing. */
typedef struct SimilarityThing {
    double norm;    /* sum w^2 */
    double degree;  /* d */
    double divisor; /* d^beta of rp3beta */
} SimilarityThing;

/* The options with the similarity's own values where they are below 0. */
Similarity similarity_complete(int64_t kind, double alpha, double beta, double shrink);

/* Is the weight of an entry different seen from its thing and from the other? */
static inline int similarity_walks(const Similarity *s) {
    return s->kind == P3ALPHA || s->kind == RP3BETA;
}

/* w of an entry x, for those that do not walk. */
double similarity_weight(const Similarity *s, double x, double n_things, double other_degree,
    double len, double mean_len);

/* s_ji from c; n_others: for llr. */
double similarity_value(const Similarity *s, const SimilarityThing *j, const SimilarityThing *i,
    double c, double n_others);

#endif
