#include "scoreboard.h"

#include <string.h>

#include "../base/bits.h"
#include "../base/memory.h"

Status scoreboard_init(Scoreboard *board, int32_t n_items, Err *err) {
    *board = (Scoreboard){.n_items = n_items};
    board->score = mem_zeros((size_t)n_items, sizeof *board->score);
    board->touched = mem_array((size_t)n_items, sizeof *board->touched);
    if (board->score && board->touched) return ST_OK;
    scoreboard_clear(board);
    return fail_nomem(err, "a query");
}

void scoreboard_clear(Scoreboard *board) {
    mem_free(board->score);
    mem_free(board->touched);
    *board = (Scoreboard){0};
}

void scoreboard_reset(Scoreboard *board, int dense) {
    if (board->dense) memset(board->score, 0, (size_t)board->n_items * sizeof *board->score);
    for (int32_t k = 0; k < board->n_touched; k++) board->score[board->touched[k]] = 0;
    board->n_touched = 0;
    board->dense = dense;
}

void scoreboard_rank(const Scoreboard *board, const uint64_t *allowed, TopK *top) {
    int32_t n = board->dense ? board->n_items : board->n_touched;
    for (int32_t k = 0; k < n; k++) {
        int32_t i = board->dense ? k : board->touched[k];
        double score = board->score[i];
        if (score > 0 && topk_wants(top, score, i) && (!allowed || bits_have(allowed, i)))
            topk_push(top, score, i);
    }
}
