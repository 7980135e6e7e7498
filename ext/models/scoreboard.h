/* The scores of all items for one asker, most of them 0. */
#ifndef REC_SCOREBOARD_H
#define REC_SCOREBOARD_H

#include <stdint.h>

#include "../base/status.h"
#include "../base/topk.h"

/* Few scores are listed in touched[]; many, or some that may cancel out, are all looked at:
 * dense. */
typedef struct Scoreboard {
    double *score; /* n_items; zero but for the touched, or dense */
    int32_t *touched;
    int32_t n_touched;
    int32_t n_items;
    int dense;
} Scoreboard;

Status scoreboard_init(Scoreboard *board, int32_t n_items, Err *err);
void scoreboard_clear(Scoreboard *board);
/* All scores 0 again; what follows is dense or not. */
void scoreboard_reset(Scoreboard *board, int dense);

/* Amounts are > 0 unless dense: score 0 means untouched, and touched[] holds each item once. */
static inline void scoreboard_add(Scoreboard *board, int32_t item, double amount) {
    if (!board->dense) {
        if (amount == 0) return;
        if (board->score[item] == 0) board->touched[board->n_touched++] = item;
    }
    board->score[item] += amount;
}

/* Offer the allowed items with scores above 0. */
void scoreboard_rank(const Scoreboard *board, const uint64_t *allowed, TopK *top);

#endif
