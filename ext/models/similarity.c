#include "similarity.h"

#include <math.h>

Similarity similarity_complete(int64_t kind, double alpha, double beta, double shrink) {
    static const double own_alpha[] = {0, .5, 0, 1.2, 0, 0, .5, 0, 1, .7},
                        own_beta[] = {0, 0, 0, .5, 0, 0, .5, 0, 0, .4};
    return (Similarity){.kind = kind,
        .alpha = alpha < 0 ? own_alpha[kind] : alpha,
        .beta = beta < 0 ? own_beta[kind] : beta,
        .shrink = shrink < 0 ? 0 : shrink};
}

double similarity_weight(const Similarity *s, double x, double n_things, double other_degree,
    double len, double mean_len) {
    if (s->kind == COSINE || s->kind == ASYMMETRIC) return x;
    if (s->kind != TFIDF && s->kind != BM25) return 1;
    double idf = log(n_things) - log1p(other_degree);
    /* who has all things but one tells nothing; rounding must not say otherwise */
    if (fabs(idf) < 1e-12) idf = 0;
    if (s->kind == TFIDF) return sqrt(x) * idf;
    return x * (s->alpha + 1) / (s->alpha * (1 - s->beta + s->beta * len / mean_len) + x) * idf;
}

static double log_likelihood_ratio(double c, double di, double dj, double n) {
    /* has j and i, j alone, i alone, neither; then the sums of its row and column */
    double cell[4] = {c, dj - c, di - c, n - di - dj + c}, row[4] = {dj, dj, n - dj, n - dj},
           column[4] = {di, n - di, di, n - di};
    double sum = 0;
    if (c * n <= di * dj) return 0; /* not above chance */
    for (int k = 0; k < 4; k++)
        if (cell[k] > 0) sum += cell[k] * log(cell[k] * n / (row[k] * column[k]));
    return 2 * sum;
}

double similarity_value(const Similarity *s, const SimilarityThing *j, const SimilarityThing *i,
    double c, double n_others) {
    double denominator = 1;
    switch (s->kind) {
    case COSINE:
    case TFIDF: denominator = sqrt(j->norm * i->norm) + s->shrink; break;
    case ASYMMETRIC:
        denominator = pow(j->norm, s->alpha) * pow(i->norm, 1 - s->alpha) + s->shrink;
        break;
    case JACCARD: denominator = i->degree + j->degree - c + s->shrink; break;
    case DICE: denominator = (i->degree + j->degree + s->shrink) / 2; break;
    case TVERSKY:
        denominator = c + s->alpha * (j->degree - c) + s->beta * (i->degree - c) + s->shrink;
        break;
    case LLR: return log_likelihood_ratio(c, i->degree, j->degree, n_others);
    case RP3BETA: denominator = i->divisor; break;
    default: break;
    }
    return denominator > 0 ? c / denominator : 0;
}
