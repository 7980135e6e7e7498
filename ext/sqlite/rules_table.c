/* rec_rules(model [, min_confidence [, item]]): association rules "who has this also has that" over the model's events.
 *
 * For items j and i with U users in all, d_j and d_i users of each and c > 0 users of both:
 *     support c / U     confidence c / d_j     lift c U / (d_j d_i)     conviction (1 - d_i / U) / (1 - c / d_j), NULL where all of j have i
 * in the order of the keys; those with confidence of at least min_confidence (.1), from every item or from one. The counts are those of the
 * events now, netted, with the model's min_support and max_history. Cost: that of training item_knn. (Agrawal et al. 1993; Brin et al. 1997) */
#include <string.h>

#include "../base/memory.h"
#include "model_table.h"
#include "modules.h"
#include "row_table.h"

typedef struct Rules {
    ModelDefinition definition;
    Dataset data;
    int32_t *shared;  /* items: users in common with the present one, 0 between items */
} Rules;

static void emit(const Rules *r, RowSink *sink, int32_t from, int32_t to, double shared) {
    double users = r->data.by_user.n_rows, d_from = (double)csr_row_len(&r->data.by_item, from), d_to = (double)csr_row_len(&r->data.by_item, to);
    row_key(sink, keymap_key(r->data.items, from));
    row_key(sink, keymap_key(r->data.items, to));
    row_integer(sink, (sqlite3_int64)shared);
    row_real(sink, shared / users);
    row_real(sink, shared / d_from);
    row_real(sink, shared * users / (d_from * d_to));
    if (shared < d_from)
        row_real(sink, (1 - d_to / users) / (1 - shared / d_from));
    else
        row_null(sink);
}

/* All rules from one item, the others in key order. */
static void rules_of(Rules *r, RowSink *sink, int32_t from, double min_confidence) {
    const Csr *by_item = &r->data.by_item, *by_user = &r->data.by_user;
    double users = (double)csr_row_len(by_item, from);
    for (int64_t e = by_item->row_start[from]; e < by_item->row_start[from + 1]; e++) {
        int32_t user = by_item->col[e];
        for (int64_t f = by_user->row_start[user]; f < by_user->row_start[user + 1]; f++) r->shared[by_user->col[f]]++;
    }
    for (int32_t to = 0; to < by_user->n_cols; to++) {
        if (r->shared[to] && to != from && r->shared[to] / users >= min_confidence) emit(r, sink, from, to, r->shared[to]);
        r->shared[to] = 0;
    }
}

static Status read_data(Rules *r, EventsReader *reader, Err *err) {
    Task task = {0};
    DatasetRules rules = {.min_support = r->definition.common.min_support, .pair = {.max_history = r->definition.common.max_history}};
    TRY(dataset_init(&r->data, err));
    TRY(events_read_all(reader, &r->definition, 0, 0, &r->data, err));
    TRY(dataset_finish(&r->data, &rules, &task, err));
    r->shared = mem_zeros((size_t)r->data.by_user.n_cols, sizeof *r->shared);
    return r->shared ? ST_OK : fail_nomem(err, "the rules");
}

static Status rules_fill(sqlite3 *db, sqlite3_value **argv, RowSink *sink, Err *err) {
    Rules r = {0};
    EventsReader reader = {.definition = &r.definition};
    double min_confidence = argv[1] && sqlite3_value_type(argv[1]) != SQLITE_NULL ? sqlite3_value_double(argv[1]) : .1;
    char buffer[32];
    Key key;
    Status status = definition_find(&r.definition, db, (const char *)sqlite3_value_text(argv[0]), err);
    if (status == ST_OK) status = read_data(&r, &reader, err);
    int one = argv[2] && sqlite3_value_type(argv[2]) != SQLITE_NULL;
    int32_t item = status == ST_OK && one && glue_key(argv[2], r.definition.item_affinity, buffer, &key) ? keymap_find(r.data.items, key) : -1;
    for (int32_t from = one ? item : 0; status == ST_OK && from >= 0 && from < (one ? item + 1 : r.data.by_user.n_cols); from++) rules_of(&r, sink, from, min_confidence);
    dataset_clear(&r.data);
    mem_free(r.shared);
    events_reader_clear(&reader);
    definition_clear(&r.definition);
    return status;
}

int register_rules(sqlite3 *db) {
    static const RowTable table = {
        .name = "rec_rules",
        .columns = "item, then_item, users INTEGER, support REAL, confidence REAL, lift REAL, conviction REAL",
        .n_columns = 7,
        .arguments = ", model_name HIDDEN, min_confidence HIDDEN, only_item HIDDEN",
        .n_arguments = 3,
        .n_required = 1,
        .fill = rules_fill,
    };
    return row_table_register(db, &table);
}
