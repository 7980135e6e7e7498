#include "../../base/bits.h"
#include "../../base/memory.h"
#include "../host/values.h"
#include "model_list.h"

/* Only what is in an IN list, of what was allowed before. */
static Status keep_listed(
    uint64_t *allowed, sqlite3_value *list, const Model *model, Affinity affinity, Err *err) {
    sqlite3_value *value;
    char buffer[KEY_BUFFER];
    Key key;
    size_t words = bits_words(model->n_items);
    uint64_t *listed = mem_zeros(words, sizeof *listed);
    if (!listed) return fail_nomem(err, "the filter");
    for (int code = sqlite3_vtab_in_first(list, &value); code == SQLITE_OK && value;
         code = sqlite3_vtab_in_next(list, &value)) {
        int is_key = value_key(value, affinity, buffer, &key);
        int32_t item = is_key ? keymap_find(model->items, key) : -1;
        if (item >= 0) bits_add(listed, item);
    }
    for (size_t w = 0; w < words; w++) allowed[w] &= listed[w];
    mem_free(listed);
    return ST_OK;
}

Status allowed_of_request(uint64_t **out, const Request *request, const Model *model,
    const ModelDefinition *definition, Err *err) {
    *out = mem_array(bits_words(model->n_items), sizeof **out);
    if (!*out) return fail_nomem(err, "the filter");
    bits_fill(*out, model->n_items);
    for (int i = 0; i < request->n_in; i++)
        TRY(keep_listed(*out, request->in[i], model, definition->item_affinity, err));
    for (size_t i = 0; i < request->exclude.n; i++) {
        int32_t item = keymap_find(model->items, request->exclude.key[i]);
        if (item >= 0) bits_remove(*out, item);
    }
    return ST_OK;
}

void allowed_without_history(uint64_t *allowed, const History *history) {
    int64_t n;
    const int32_t *item = history_seen(history, &n);
    for (int64_t i = 0; i < n; i++) bits_remove(allowed, item[i]);
}
