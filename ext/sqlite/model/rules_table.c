/* rec_rules(model [, min_confidence [, item]]): association rules "who has this also has that" over
 * the model's events.
 *
 * For items j and i with U users in all, d_j and d_i users of each and c > 0 users of both:
 *
 *     support     c / U
 *     confidence  c / d_j
 *     lift        c U / (d_j d_i)
 *     conviction  (1 - d_i / U) / (1 - c / d_j), NULL where all of j have i
 *
 * in the order of the keys; those with confidence of at least min_confidence (.1), from every item
 * or from one. The counts are those of the events now, netted, with the model's min_support and
 * max_history. Cost: that of training item_knn. (Agrawal et al. 1993; Brin et al. 1997) */
#include <string.h>

#include "../../base/memory.h"
#include "../host/interrupt.h"
#include "../host/parts.h"
#include "../host/row_table.h"
#include "../host/values.h"
#include "model_events.h"

typedef struct Rules {
    ModelDefinition definition;
    EventsReader reader;
    Dataset data;
    int32_t *shared; /* items: users in common with the present one, 0 between items */
    double min_confidence;
    int32_t from, to; /* items whose rules are still to come */
    InterruptPoll poll;
} Rules;

static void emit(const Rules *rules, RowSink *sink, int32_t from, int32_t to, double shared) {
    double users = rules->data.by_user.n_rows,
           d_from = (double)csr_row_len(&rules->data.by_item, from),
           d_to = (double)csr_row_len(&rules->data.by_item, to);
    row_key(sink, keymap_key(rules->data.items, from));
    row_key(sink, keymap_key(rules->data.items, to));
    row_integer(sink, (sqlite3_int64)shared);
    row_real(sink, shared / users);
    row_real(sink, shared / d_from);
    row_real(sink, shared * users / (d_from * d_to));
    if (shared < d_from) row_real(sink, (1 - d_to / users) / (1 - shared / d_from));
    else row_null(sink);
}

/* All rules from one item, the others in key order. */
static void rules_of(Rules *rules, RowSink *sink, int32_t from, double min_confidence) {
    const Csr *by_item = &rules->data.by_item, *by_user = &rules->data.by_user;
    double users = (double)csr_row_len(by_item, from);
    for (int64_t e = by_item->row_start[from]; e < by_item->row_start[from + 1]; e++) {
        int32_t user = by_item->col[e];
        for (int64_t f = by_user->row_start[user]; f < by_user->row_start[user + 1]; f++)
            rules->shared[by_user->col[f]]++;
    }
    for (int32_t to = 0; to < by_user->n_cols; to++) {
        if (rules->shared[to] && to != from && rules->shared[to] / users >= min_confidence)
            emit(rules, sink, from, to, rules->shared[to]);
        rules->shared[to] = 0;
    }
}

static Status read_data(Rules *r, Err *err) {
    Task task = {.poll = interrupt_poll, .host = &r->poll};
    DatasetRules rules = {.min_support = r->definition.common.min_support,
        .pair = {.max_history = r->definition.common.max_history}};
    TRY(interrupt_poll_init(&r->poll, r->definition.id.db, err));
    TRY(dataset_init(&r->data, err));
    TRY(events_read_all(&r->reader, &r->definition, 0, 0, &r->data, err));
    TRY(dataset_finish(&r->data, &rules, &task, err));
    r->shared = mem_zeros((size_t)r->data.by_user.n_cols, sizeof *r->shared);
    return r->shared ? ST_OK : fail_nomem(err, "the rules");
}

static Status take_confidence(sqlite3_value *value, double *out, Err *err) {
    *out = .1;
    if (!value || sqlite3_value_type(value) == SQLITE_NULL) return ST_OK;
    int type = sqlite3_value_numeric_type(value);
    *out = sqlite3_value_double(value);
    if ((type == SQLITE_INTEGER || type == SQLITE_FLOAT) && *out >= 0 && *out <= 1) return ST_OK;
    return fail(err, ST_BADARG, "min_confidence=%.40s (0..1)", value_text(value));
}

static Status rules_prepare(Rules *rules, sqlite3 *db, sqlite3_value **argv, Err *err) {
    char buffer[KEY_BUFFER];
    Key key;
    TRY(take_confidence(argv[1], &rules->min_confidence, err));
    TRY(definition_find(&rules->definition, db, value_text(argv[0]), err));
    rules->reader.definition = &rules->definition;
    TRY(read_data(rules, err));
    rules->to = rules->data.by_user.n_cols;
    if (!argv[2] || sqlite3_value_type(argv[2]) == SQLITE_NULL) return ST_OK;
    if (!value_key(argv[2], rules->definition.item_affinity, buffer, &key))
        return value_no_key("only_item", argv[2], err);
    rules->from = keymap_find(rules->data.items, key);
    rules->to = rules->from + 1; /* of an unknown one -1 and 0: none */
    if (rules->from < 0) rules->from = 0;
    return ST_OK;
}

static void rules_end(void *state) {
    Rules *rules = state;
    interrupt_poll_clear(&rules->poll);
    dataset_clear(&rules->data);
    mem_free(rules->shared);
    events_reader_clear(&rules->reader);
    definition_clear(&rules->definition);
    mem_free(rules);
}

static Status rules_begin(sqlite3 *db, sqlite3_value **argv, void **state, Err *err) {
    Rules *rules = *state = mem_zeros(1, sizeof *rules);
    return rules ? rules_prepare(rules, db, argv, err) : fail_nomem(err, "the rules");
}

/* Those of one item. */
static Status rules_more(void *state, RowSink *sink, int *ended, Err *err) {
    Rules *rules = state;
    *ended = rules->from >= rules->to;
    if (*ended) return ST_OK;
    if (interrupt_poll(&rules->poll)) return fail(err, ST_CANCELLED, "interrupted");
    rules_of(rules, sink, rules->from++, rules->min_confidence);
    return ST_OK;
}

int register_rules(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_rules",
        .columns = "item, then_item, users INTEGER, support REAL, confidence REAL, lift REAL, "
                   "conviction REAL",
        .n_columns = 7,
        .arguments = ", model_name HIDDEN, min_confidence HIDDEN, only_item HIDDEN",
        .n_arguments = 3,
        .n_required = 1,
        .begin = rules_begin,
        .more = rules_more,
        .end = rules_end,
    };
    return row_table_register(db, &table);
}
