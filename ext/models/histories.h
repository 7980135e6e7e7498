/* What users have, as arrays in a model's ids: one user's history, or everybody's.
 *
 * The caller reads events in any order into an EventList, those of items that the model does not
 * know under history_item's id, and hands it over:
 *
 *     EventList list = {0};
 *     event_list_add(&list, event, NULL, &err);            for each event
 *     history_of_events(&list, &rules, &history, &err);    one user's
 *     event_list_clear(&list);
 *
 * Training nets the same events in the same way (dataset.h), so that a model meets the histories
 * that it was trained on. */
#ifndef REC_HISTORIES_H
#define REC_HISTORIES_H

#include "model.h"

/* Which events a history takes, and how they count. */
typedef struct HistoryRules {
    double newest; /* decay counts from here */
    int has_until;
    double until; /* events before this time */
    PairRules pair;
    BasketRules basket;
    int keeps_order; /* visits too */
} HistoryRules;
HistoryRules history_rules(const Model *model);
/* Up to another time, where it is finite. */
HistoryRules history_rules_until(const Model *model, double until);

/* The id of an item for its event: the model's, or one that keeps its place in a basket although
 * the model does not know it; below 0: no event that counts. */
int32_t history_item(const Model *model, const HistoryRules *rules, Key item);

/* Events in the order in which they are read, each with its session where sessions count. */
typedef struct EventList {
    Event *event;
    uint64_t *session; /* NULL where they do not count */
    int64_t n;
    int64_t capacity;
} EventList;
/* session: NULL, for all events or for none. Amortised O(1). */
Status event_list_add(EventList *list, Event event, const Key *session, Err *err);
void event_list_clear(EventList *list);
/* Move the events of the first one's session, or all where sessions do not count, to *one, which
 * becomes a list without sessions. O(n). */
Status event_list_take_session(EventList *list, EventList *one, Err *err);

/* A user's history: owned arrays, summed and netted; items unknown to the model are left out. */
typedef struct OwnedHistory {
    History history;
    int64_t capacity;
    int32_t *seen; /* history.seen */
    Visit *visit;  /* history.visit */
} OwnedHistory;
void owned_history_clear(OwnedHistory *history);
/* Room for n items; n of the history becomes 0. */
Status owned_history_reserve(OwnedHistory *history, int64_t n, Err *err);

/* Of one user's events, whose order changes. Where sessions count, her latest is all that counts.
 * O(n log n). */
Status history_of_events(EventList *list, const HistoryRules *rules, OwnedHistory *out, Err *err);

/* A cart as a history: an item counts as often as it is in the list, and its time is its last place
 * there. item: n of them, below 0 for none of the model's. O(n + n_items). */
Status history_of_basket(
    const int32_t *item, int64_t n, int32_t n_items, OwnedHistory *out, Err *err);

/* Every user's history, by user in key order; items in the model's ids. */
typedef struct AllHistories {
    KeyMap *users;
    Csr rows;     /* users x model items */
    double *time; /* per entry: when the item was had last */
    /* where a history's items may be only a part of what counts as seen: those, user after user,
     * ascending; else NULL */
    int32_t *seen;
    int64_t *seen_start; /* users + 1 */
    /* where the rules keep the order: visits, user after user; else NULL */
    Visit *visit;
    int64_t *visit_start; /* users + 1 */
} AllHistories;
void all_histories_clear(AllHistories *all);

/* Of everybody's events, event.user an id of users, which move into *out. O(n log n). */
Status all_histories_of_events(EventList *list, KeyMap *users, int32_t n_items,
    const HistoryRules *rules, AllHistories *out, Err *err);

/* The arrays of all users that histories are rows of. time: or NULL; visit: or NULL, then each item
 * was had once. */
typedef struct HistoryRows {
    const Csr *rows;
    double *time;
    const Visit *visit;
    const int64_t *visit_start;
} HistoryRows;
/* One user's; it borrows. */
History history_of_row(const HistoryRows *all, int32_t user);
/* The rows of a finished dataset. */
HistoryRows dataset_rows(const Dataset *data);

/* One user's, with what she has seen; it borrows. */
History all_histories_row(const AllHistories *all, int32_t user);
/* Has the user the item, as something that counts as seen? O(log of what she has seen). */
int all_histories_has(const AllHistories *all, int32_t user, int32_t item);

#endif
