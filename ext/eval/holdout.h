/* The users that are judged: what each had before, and what was relevant to her afterwards. */
#ifndef REC_HOLDOUT_H
#define REC_HOLDOUT_H

#include "../math/csr.h"
#include "../models/histories.h"

/* Row u of history and of relevant is the same user. A user is added by her relevant items, then
 * her history. */
typedef struct Holdout {
    int32_t n_users;
    Csr history;          /* users x items of the model */
    double *history_time; /* per entry of history */
    Visit *visit;         /* where histories have visits: those, user after user; else NULL */
    int64_t *visit_start; /* users + 1 */
    int64_t visit_capacity;
    int has_seen; /* does more count as seen than the history? Then: */
    Csr seen;     /* users x items of the model; no values */
    Csr relevant; /* users x items of the model: gains > 0 */
    /* gains of relevant items that the model does not know, user after user */
    double *unknown;
    int64_t *unknown_start;        /* users + 1 */
    int64_t n_relevant, n_unknown; /* written, the next user's included */
} Holdout;

/* Room for so many users, entries of history, of what counts as seen (HOLDOUT_SEES_HISTORY: the
 * history does) and relevant items. holdout_clear also after an error. */
enum { HOLDOUT_SEES_HISTORY = -1 };
Status holdout_init(Holdout *holdout, int32_t n_users, int32_t n_items, int64_t n_history,
    int64_t n_seen, int64_t n_relevant, Err *err);
void holdout_clear(Holdout *holdout);

/* For the user who comes next. item: of the model, -1: unknown to it; ascending. */
void holdout_add_relevant(Holdout *holdout, int32_t item, double gain);
/* She is complete. Who has no relevant item may be left out by not ending her. */
Status holdout_end_user(Holdout *holdout, const History *history, Err *err);
/* What she had before; it borrows. */
History holdout_history(const Holdout *holdout, int32_t user);

#endif
