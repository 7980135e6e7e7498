/* What a training will take, said before it: from counts of its steps, which follow from the data
 * and the options, and from how fast this machine does steps of each kind. The factors before the
 * counts, what a step of an algorithm takes beside one that is measured, were found on the sets of
 * make bench-estimate. */
#ifndef REC_COST_H
#define REC_COST_H

#include "model.h"

/* A training that is asked about: its data finished, its options complete. */
typedef struct CostAsk {
    const Algorithm *algorithm;
    const CommonParams *common;
    const AlgorithmParams *params;
    const Dataset *data;
    int threads;
} CostAsk;

/* Steps by kind; all but `alone` are shared by the threads. */
typedef struct Cost {
    double product; /* multiply-adds of products of dense matrices */
    double vector;  /* numbers that vector kernels walk over: dots, sums of rows */
    double scatter; /* additions to places that follow from indices */
    double alone;   /* of the same kind, of one thread while the others wait */
    double bytes;   /* most that is held at once, beside the data */
    double stored;  /* bytes of the version */
    int failed;     /* no memory to find out */
} Cost;

/* Seconds of a step of each kind on one thread here, measured now (about 10 ms). */
typedef struct Pace {
    double product, vector, scatter;
} Pace;
Status pace_measure(Pace *out, Err *err);

/* The steps and bytes of the training. O(pairs). Whatever is in *out is added to. */
void cost_of(const CostAsk *ask, Cost *out);
double cost_seconds(const Cost *cost, const Pace *pace, int threads);

/* Bytes of the data itself: most while it is made of `events` events, and when it is finished. */
double cost_reading_bytes(const Dataset *data, double events);
double cost_data_bytes(const Dataset *data);

/* ---- for the algorithms ---- */

/* sum over the rows of (entries of the row)^2 */
double cost_squares(const Csr *matrix);
/* The order of the events (sequences.h): places, the events that stand within `window` places
 * before a place (seen), the pairs of events that are no further apart, and the sum of seen^2. All
 * 0 where the data keeps no order. */
typedef struct PlacesCost {
    double places, seen, pairs, squares;
} PlacesCost;
PlacesCost cost_places(const Dataset *data, int64_t window);
/* svd.h of a matrix of so many entries, rows and columns, k vectors */
void cost_svd(Cost *out, double entries, double rows, double columns, double k);
/* items x items with at most k entries a row, out of so many additions: finding them, and their
 * bytes as they are made, joined and stored. */
void cost_neighbours(Cost *out, const CostAsk *ask, double k, double additions);
/* examples.h: rows of S, their entries, additions of S'S and of S'T */
typedef struct ExamplesCost {
    double rows, entries, squares, products;
} ExamplesCost;
struct ExampleParams;
ExamplesCost cost_examples(const CostAsk *ask, const struct ExampleParams *params);
/* users' rows as a version keeps them (user_rows.h), and their transpose */
void cost_user_rows(Cost *out, const CostAsk *ask);
/* factors: items x d, kept with an index beside them */
void cost_factors(Cost *out, const CostAsk *ask, double d);

#endif
