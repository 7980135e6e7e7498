#include "auc.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"
#include "samples.h"
#include "sort.h"

double auc_of_scores(double *positive, size_t n_positive, double *negative, size_t n_negative) {
    double area = 0;
    size_t below = 0;
    if (!n_positive || !n_negative) return NAN;
    sort_doubles(positive, n_positive);
    sort_doubles(negative, n_negative);
    for (size_t from = 0, to; from < n_positive; from = to) { /* positives of one score */
        double score = positive[from];
        size_t tied = 0;
        for (to = from + 1; to < n_positive && positive[to] == score; to++) {}
        while (below < n_negative && negative[below] < score) below++;
        while (below + tied < n_negative && negative[below + tied] == score) tied++;
        area += (double)(to - from) * ((double)below + (double)tied / 2);
        below += tied;
    }
    return area / ((double)n_positive * (double)n_negative);
}

double average_precision_of_scores(
    double *positive, size_t n_positive, double *negative, size_t n_negative) {
    double area = 0;
    size_t tp = 0, fp = 0;
    if (!n_positive) return NAN;
    sort_doubles(positive, n_positive);
    sort_doubles(negative, n_negative);
    while (tp < n_positive) { /* positives of one score, from the top */
        double score = positive[n_positive - 1 - tp];
        size_t before = tp++;
        while (tp < n_positive && positive[n_positive - 1 - tp] == score) tp++;
        while (fp < n_negative && negative[n_negative - 1 - fp] >= score) fp++;
        area += (double)(tp - before) * (double)tp / (double)(tp + fp);
    }
    return area / (double)n_positive;
}

/* Value by value upwards, level by level: what a full level sends up fits, for the next one is
 * emptied before it is full. */
static int climb(Ladder *l, int level) {
    if (level + 1 == LADDER_LEVELS) return 0;
    if (!l->level[level + 1] && !(l->level[level + 1] = mem_array(LADDER_ROOM, sizeof **l->level)))
        return 0;
    double *from = l->level[level], *to = l->level[level + 1] + l->n[level + 1];
    sort_doubles(from, LADDER_ROOM);
    for (uint32_t i = l->odd[level]; i < LADDER_ROOM; i += 2) *to++ = from[i];
    l->n[level + 1] += LADDER_ROOM / 2;
    l->n[level] = 0;
    l->odd[level] ^= 1;
    return l->n[level + 1] < LADDER_ROOM || climb(l, level + 1);
}

int ladder_add(Ladder *l, double value) {
    if (l->n[0] == LADDER_ROOM && !climb(l, 0)) return 0;
    if (!l->level[0] && !(l->level[0] = mem_array(LADDER_ROOM, sizeof **l->level))) return 0;
    l->level[0][l->n[0]++] = value;
    return 1;
}

void ladder_clear(Ladder *l) {
    for (int i = 0; i < LADDER_LEVELS; i++) mem_free(l->level[i]);
    *l = (Ladder){{0}, {0}, {0}};
}

static size_t held(const Ladder *l) {
    size_t n = 0;
    for (int i = 0; i < LADDER_LEVELS; i++) n += l->n[i];
    return n;
}

static Sample *append(const Ladder *l, double sign, Sample *to) {
    for (int i = 0; i < LADDER_LEVELS; i++)
        for (uint32_t j = 0; j < l->n[i]; j++) *to++ = (Sample){l->level[i][j], sign * ldexp(1, i)};
    return to;
}

Status auc_of_ladders(const Ladder *positive, const Ladder *negative, double *out, Err *err) {
    size_t n = held(positive) + held(negative);
    Sample *row = mem_array(n, sizeof *row);
    if (!row) return fail_nomem(err, "the scores");
    append(negative, -1, append(positive, 1, row));
    *out = sample_auc(row, n, 0);
    mem_free(row);
    return ST_OK;
}
