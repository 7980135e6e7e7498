/* Why an item is listed: the column `because`. */
#include <math.h>

#include "../../base/memory.h"
#include "model_list.h"

enum { BECAUSE_ITEMS = 5 };

/* {"source":"history","items":[{"item":x,"share":0.4},...]}: the history items that raised the
 * score most, with their shares of the sum of absolute contributions (none where the score is no
 * sum over the history). */
static Status explain_history(
    Bytes *out, const ModelQuery *query, int32_t item, const char *source, Err *err) {
    const Model *model = query->model;
    const History *history = &query->history;
    Scored best[BECAUSE_ITEMS];
    TopK top = {.item = best, .k = BECAUSE_ITEMS, .capacity = BECAUSE_ITEMS};
    double sum = 0, *part = mem_zeros((size_t)history->n, sizeof *part);
    if (!part) return fail_nomem(err, "because");
    Status status = model->algorithm->contributions
        ? model->algorithm->contributions(query, item, part, err)
        : ST_OK;
    for (int64_t h = 0; h < history->n && status == ST_OK; h++) {
        sum += fabs(part[h]);
        if (part[h] > 0) topk_push(&top, part[h], history->item[h]);
    }
    mem_free(part);
    TRY(status);
    topk_sort(&top);
    bytes_format(out, "{\"source\":\"%s\",\"items\":[", source);
    for (size_t i = 0; i < top.len; i++) {
        bytes_format(out, "%s{\"item\":", i ? "," : "");
        key_json(keymap_key(model->items, (int32_t)top.item[i].id), out);
        bytes_format(out, ",\"share\":%.4f}", sum > 0 ? top.item[i].score / sum : 0);
    }
    bytes_format(out, "]}");
    return ST_OK;
}

Status model_explain(ListRow *row, const ModelQuery *query, int subject, Err *err) {
    Bytes out = {0};
    Status status = ST_OK;
    if (row->from_popular || row->id < 0 || query->model->algorithm->impersonal) {
        bytes_format(&out, "{\"source\":\"popular\"}");
    } else if (query->similar >= 0) {
        bytes_format(&out, "{\"source\":\"similar\",\"item\":");
        key_json(keymap_key(query->model->items, query->similar), &out);
        bytes_format(&out, "}");
    } else {
        status = explain_history(
            &out, query, row->id, subject == SUBJECT_BASKET ? "basket" : "history", err);
    }
    bytes_append(&out, "", 1);
    if (status == ST_OK && out.failed) status = fail_nomem(err, "because");
    if (status == ST_OK) row->because = (char *)out.data;
    else bytes_clear(&out);
    return status;
}
