/* Item vectors as the state of a recommender: ials, bpr, mf and sequence train them and serve by
 * score = x . y_i, x the asker's. */
#ifndef REC_FACTORS_H
#define REC_FACTORS_H

#include "../ann/ann.h"
#include "model.h"

/* The first member of the algorithm's state. */
typedef struct Factors {
    AnnVectors items; /* y: items x dim */
    AnnIndex index;   /* for the top k */
    /* neighbours of an item: cosine of the first so many numbers; what follows is no taste (a
     * bias) */
    int32_t similar_dim;
} Factors;

Status factors_init(Factors *factors, int32_t n_items, int32_t dim, int32_t similar_dim, Err *err);
/* Once the rows are filled. */
Status factors_finish(Factors *factors, Err *err);
void factors_clear(Factors *factors);
size_t factors_memory(const Factors *factors);
void factors_write(const Factors *factors, Bytes *out);
/* Into initialised factors; checked. */
Status factors_read(Factors *factors, Reader *in, Err *err);

/* The first member of the algorithm's scratch. */
typedef struct FactorQuery {
    float *x; /* dim: the asker's vector, or the item's whose neighbours are asked for */
    double x_norm;
    float *scaled; /* per item of the history: its scaled weight */
    int64_t capacity;
} FactorQuery;

Status factor_query_init(FactorQuery *query, const Factors *factors, Err *err);
void factor_query_clear(FactorQuery *query);
/* query->scaled for the history. */
Status factor_query_scale(ModelQuery *query, Err *err);

/* Prepare for query->similar. */
void factors_prepare_similar(ModelQuery *query);
double factors_score(const ModelQuery *query, int32_t item);
/* An Algorithm's logits. */
void factors_logits(const ModelQuery *query, double *score);
Status factors_rank(
    const ModelQuery *query, const uint64_t *allowed, int64_t n_allowed, TopK *top, Err *err);

/* An Algorithm's item_vector: the numbers that similar items share. */
const float *factors_item_vector(const Model *model, int32_t item, int32_t *dim);

/* An Algorithm's index and asker. */
const AnnIndex *factors_index(const Model *model);
const float *factors_asker(const ModelQuery *query);

/* An Algorithm's alike: the cosine, 0 where it is negative. */
double factors_alike(const Model *model, int32_t a, int32_t b);

/* Starting factors: row r of n x d from stream r of the seed, N(0, spread^2). */
void factors_start(float *factors, int32_t n, int32_t d, double spread, uint64_t seed);

#endif
