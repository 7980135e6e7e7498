/* rec_rules(model [, min_confidence [, item]]): association rules (models/rules.h) over the model's
 * events, in the order of the keys: those with a confidence of at least min_confidence (.1), from
 * every item or from one. The counts are those of the events now, netted, with the model's
 * min_support and max_history. Cost: that of training item_knn. */
#include <string.h>

#include "../../base/memory.h"
#include "../../models/rules.h"
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

/* All rules from one item, the others in key order. */
static void rules_of(Rules *rules, RowSink *sink, int32_t from, double min_confidence) {
    users_in_common(&rules->data, from, rules->shared);
    for (int32_t to = 0; to < rules->data.by_user.n_cols; to++) {
        int32_t shared = rules->shared[to];
        rules->shared[to] = 0;
        if (!shared || to == from) continue;
        Rule rule = rule_of(&rules->data, from, to, shared);
        if (!(rule.confidence >= min_confidence)) continue;
        row_key(sink, keymap_key(rules->data.items, from));
        row_key(sink, keymap_key(rules->data.items, to));
        row_integer(sink, shared);
        row_real(sink, rule.support);
        row_real(sink, rule.confidence);
        row_real(sink, rule.lift);
        row_number(sink, rule.conviction);
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
