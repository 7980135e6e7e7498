/* The chance that a positive's score is above a negative's, ties half (scikit-learn roc_auc_score
 * without weights), from the scores alone: 8 bytes a row, and the average precision from the same.
 * Exact, or from a sketch of bounded size.
 *
 *     Ladder     a sketch of the distribution of n values (Manku, Rajagopalan and Lindsay 1998):
 *                level l holds up to LADDER_ROOM values that count 2^l each. A full level is sorted
 *                and every other value goes up, in turn the even and the odd ones. One such step
 *                moves a rank by at most 2^l, two in turn cancel; so with L = log2(n /
 *                LADDER_ROOM), rounded up, levels above the first a rank is off by at most n (L / 2
 *                + 1) / LADDER_ROOM, and up to LADDER_ROOM values by nothing. Memory: 8 LADDER_ROOM
 *                (L + 1) bytes. */
#ifndef REC_AUC_H
#define REC_AUC_H

#include <stddef.h>
#include <stdint.h>

#include "../base/status.h"

/* Both arrays are sorted. NaN where one is empty. O(n). */
double auc_of_scores(double *positive, size_t n_positive, double *negative, size_t n_negative);
double average_precision_of_scores(
    double *positive, size_t n_positive, double *negative, size_t n_negative);

enum { LADDER_ROOM = 16384, LADDER_LEVELS = 48 };

typedef struct Ladder {
    double *level[LADDER_LEVELS];
    uint32_t n[LADDER_LEVELS];
    uint8_t odd[LADDER_LEVELS]; /* which go up next */
} Ladder;

/* 0: no memory. */
int ladder_add(Ladder *ladder, double value);
void ladder_clear(Ladder *ladder);

/* The area of the sketches: off by at most the sum of both relative rank errors. */
Status auc_of_ladders(const Ladder *positive, const Ladder *negative, double *out, Err *err);

#endif
