/* Reading a rec_model: the list of one user, item or cart, or everybody's, computed when asked.
 *
 * One list is made at once. Everybody's are made in batches of users on all threads, from histories read in one scan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/options.h"
#include "cache.h"
#include "model_table.h"

typedef struct Row {
    Key item;         /* of the model's dictionary, or of the cursor's candidates */
    int32_t id;       /* -1: unknown to the model */
    double score;
    sqlite3_int64 rank;
    int from_popular;
    int32_t user;     /* everybody: whose row */
    char *because;    /* JSON, or NULL */
} Row;

typedef struct CallOptions {
    int64_t exclude_seen;
    int64_t version;
    double until;
} CallOptions;

static const OptSpec call_options[] = {
    {"exclude_seen", OPT_FLAG, offsetof(CallOptions, exclude_seen), 0, 0, 1, NULL, "leave out what is in the history (or in the cart)"},
    {"version", OPT_INT, offsetof(CallOptions, version), 0, 1e12, 0, NULL, "answer with this version; 0: the active one"},
    {"until", OPT_REAL, offsetof(CallOptions, until), -1e15, 1e15, INFINITY, NULL, "read the history before this time (unix seconds); default: the version's own until"},
    {0},
};

enum { SUBJECT_NONE, SUBJECT_USER, SUBJECT_SIMILAR, SUBJECT_BASKET };

/* What a query asks. */
typedef struct Request {
    int subject;
    sqlite3_value *user; /* borrowed from echo */
    int null_input;
    int has_k;
    int64_t k;
    int64_t limit, offset;
    Key similar;
    char similar_buffer[32];
    KeyList basket, candidates, exclude;
    int has_candidates;
    sqlite3_value *item; /* item = */
    sqlite3_value *in;   /* item IN */
    CallOptions call;
    int because;
} Request;

typedef struct ModelCursor {
    sqlite3_vtab_cursor base;
    Row *row;
    size_t n_rows;
    size_t capacity;
    size_t at;
    Model *model; /* held while the rows are */
    ModelQuery *query;
    sqlite3_int64 version;
    sqlite3_value *echo[N_MODEL_COLUMNS];
    Request request;
    sqlite3_uint64 inputs_hash;
    uint64_t *common; /* a bit per item: what IN and exclude leave; the same for every user */
    /* everybody */
    int batched;
    AllHistories all;
    int32_t next_user;
} ModelCursor;

Status model_table_take(ModelTable *t, sqlite3_int64 wanted, Model **out, sqlite3_int64 *out_version, ModelQuery **out_query, Err *err) {
    char sha256[65];
    *out = NULL;
    *out_query = NULL;
    TRY(store_lookup(&t->definition, &t->lookup, wanted, out_version, sha256, err));
    if (!t->loaded || strcmp(t->loaded->sha256, sha256) != 0 || t->loaded_version != *out_version) {
        Model *model;
        TRY(store_model(&t->definition, *out_version, sha256, &model, err));
        model_query_free(t->spare);
        t->spare = NULL;
        cache_release(t->loaded);
        t->loaded = model;
        t->loaded_version = *out_version;
    }
    if (t->spare) { /* the reference and the scratch memory of the last query */
        *out = t->loaded;
        *out_query = t->spare;
        t->spare = NULL;
    } else {
        TRY(model_query_new(out_query, t->loaded, err));
        *out = t->loaded;
    }
    /* A reference of the cursor's own: the table may move on to another version before the cursor is closed. */
    Model *held;
    Status status = store_model(&t->definition, *out_version, sha256, &held, err);
    if (status != ST_OK) {
        model_query_free(*out_query);
        *out = NULL;
        *out_query = NULL;
    } else if (held != *out) { /* it left the cache in between and was loaded anew */
        cache_release(held);
        model_query_free(*out_query);
        *out = NULL;
        *out_query = NULL;
        status = fail(err, ST_NOMEM, "the model");
    }
    return status;
}

void model_table_give_back(ModelTable *t, Model *model, ModelQuery *query) {
    if (query && !t->spare && model == t->loaded)
        t->spare = query;
    else
        model_query_free(query);
    cache_release(model);
}

int model_open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out) {
    ModelCursor *cursor = mem_zeros(1, sizeof *cursor);
    (void)vtab;
    if (!cursor) return SQLITE_NOMEM;
    *out = &cursor->base;
    return SQLITE_OK;
}

static void clear_rows(ModelCursor *c) {
    for (size_t i = 0; i < c->n_rows; i++) mem_free(c->row[i].because);
    c->n_rows = 0;
    c->at = 0;
}

static void cursor_reset(ModelCursor *c) {
    clear_rows(c);
    key_list_clear(&c->request.basket);
    key_list_clear(&c->request.candidates);
    key_list_clear(&c->request.exclude);
    for (int i = 0; i < N_MODEL_COLUMNS; i++) sqlite3_value_free(c->echo[i]);
    memset(c->echo, 0, sizeof c->echo);
    all_histories_clear(&c->all);
    mem_free(c->common);
    c->common = NULL;
    if (c->model) model_table_give_back((ModelTable *)c->base.pVtab, c->model, c->query);
    c->model = NULL;
    c->query = NULL;
    c->request = (Request){0};
    c->batched = 0;
    c->next_user = 0;
}

int model_close_cursor(sqlite3_vtab_cursor *base) {
    ModelCursor *c = (ModelCursor *)base;
    cursor_reset(c);
    mem_free(c->row);
    mem_free(c);
    return SQLITE_OK;
}

/* ---- reading the request ---- */

static Status set_subject(Request *r, int subject, Err *err) {
    if (r->subject) return fail(err, ST_BADARG, "give one of user, similar_to and basket");
    r->subject = subject;
    return ST_OK;
}

static Status take_integer(Request *r, const char *what, sqlite3_value *value, int64_t *out, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        r->null_input = 1;
        return ST_OK;
    }
    if (sqlite3_value_numeric_type(value) != SQLITE_INTEGER)
        return fail(err, ST_BADARG, "%s=%.40s (a whole number)", what, (const char *)sqlite3_value_text(value));
    *out = sqlite3_value_int64(value);
    return ST_OK;
}

static Status take_list(const ModelDefinition *d, KeyList *list, const char *what, sqlite3_value *value, Request *r, Err *err) {
    if (sqlite3_value_type(value) == SQLITE_NULL) {
        r->null_input = 1;
        return ST_OK;
    }
    return key_list_parse(list, what, (const char *)sqlite3_value_text(value), d->item_affinity, err);
}

static Status take_argument(const ModelDefinition *d, Request *r, char letter, sqlite3_value *value, Err *err) {
    OptTarget target = {call_options, &r->call};
    switch (letter) {
    case 'u':
    case 'U':
        r->user = value;
        r->null_input |= sqlite3_value_type(value) == SQLITE_NULL;
        return set_subject(r, SUBJECT_USER, err);
    case 's':
        if (!glue_key(value, d->item_affinity, r->similar_buffer, &r->similar)) r->null_input = 1;
        return set_subject(r, SUBJECT_SIMILAR, err);
    case 'b': TRY(take_list(d, &r->basket, "basket", value, r, err)); return set_subject(r, SUBJECT_BASKET, err);
    case 'c': r->has_candidates = 1; return take_list(d, &r->candidates, "candidates", value, r, err);
    case 'x': return sqlite3_value_type(value) == SQLITE_NULL ? ST_OK : take_list(d, &r->exclude, "exclude", value, r, err);
    case 'k':
        r->has_k = 1;
        TRY(take_integer(r, "k", value, &r->k, err));
        return r->k < 0 ? fail(err, ST_BADARG, "k=%lld (0 or more)", (long long)r->k) : ST_OK;
    case 'l': r->has_k = 2; return take_integer(r, "LIMIT", value, &r->limit, err);
    case 'o': return take_integer(r, "OFFSET", value, &r->offset, err);
    case 'i': r->in = value; return ST_OK;
    case '=': r->item = value; return ST_OK;
    case 'O': return sqlite3_value_type(value) == SQLITE_NULL ? ST_OK : options_set_json(&target, 1, (const char *)sqlite3_value_text(value), err);
    default: return fail(err, ST_BADARG, "unknown plan");
    }
}

static int echo_column(char letter) {
    switch (letter) {
    case 'U': return C_COMMAND;
    case 'u': return C_USER;
    case 'k': return C_K;
    case 's': return C_SIMILAR_TO;
    case 'b': return C_BASKET;
    case 'c': return C_CANDIDATES;
    case 'x': return C_EXCLUDE;
    case 'O': return C_OPTIONS;
    default: return -1;
    }
}

static sqlite3_uint64 hash_bytes(sqlite3_uint64 hash, const void *data, size_t len) {
    const unsigned char *c = data;
    for (size_t i = 0; i < len; i++) hash = (hash ^ c[i]) * 1099511628211u;
    return hash ^ (hash >> 31);
}

static sqlite3_uint64 hash_value(sqlite3_uint64 hash, sqlite3_value *value) {
    int type = sqlite3_value_type(value);
    hash = hash_bytes(hash, &type, sizeof type);
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
        double number = sqlite3_value_double(value);
        return hash_bytes(hash, &number, sizeof number);
    }
    const void *data = sqlite3_value_blob(value);
    return data ? hash_bytes(hash, data, (size_t)sqlite3_value_bytes(value)) : hash;
}

static Status read_request(ModelCursor *c, const ModelDefinition *d, const char *plan, sqlite3_value **argv, Err *err) {
    options_default(call_options, &c->request.call);
    c->inputs_hash = 1469598103934665603u;
    for (int i = 0; plan[i]; i++) {
        int column = echo_column(plan[i]);
        sqlite3_value *value = argv[i];
        if (column >= 0) {
            value = c->echo[column] = sqlite3_value_dup(argv[i]); /* reading may convert: keep the original for the echo */
            if (!value) return fail_nomem(err, "an input");
            c->inputs_hash = hash_value(hash_bytes(c->inputs_hash, &plan[i], 1), argv[i]);
        }
        TRY(take_argument(d, &c->request, plan[i], argv[i], err));
        if (plan[i] == 'u' || plan[i] == 'U') c->request.user = value;
    }
    return ST_OK;
}

/* ---- what may be ranked ---- */

typedef struct Allowed {
    uint64_t *bit; /* per item of the model */
    int64_t n;
} Allowed;

static size_t words_of(const Model *model) {
    return ((size_t)model->n_items + 63) / 64;
}

static void allow_all(Allowed *a, const Model *model) {
    memset(a->bit, 0xff, words_of(model) * sizeof *a->bit);
    if (model->n_items % 64) a->bit[words_of(model) - 1] = ((uint64_t)1 << (model->n_items % 64)) - 1;
}

static void forbid(Allowed *a, int32_t item) {
    if (item >= 0) a->bit[item >> 6] &= ~((uint64_t)1 << (item & 63));
}

static void forbid_keys(Allowed *a, const Model *model, const KeyList *list) {
    for (size_t i = 0; i < list->n; i++) forbid(a, keymap_find(model->items, list->key[i]));
}

static void forbid_history(Allowed *a, const History *history) {
    for (int64_t i = 0; i < history->n; i++) forbid(a, history->item[i]);
}

/* Only the items of an IN list. */
static void allow_in(Allowed *a, const Model *model, const ModelDefinition *d, sqlite3_value *list) {
    sqlite3_value *value;
    char buffer[32];
    Key key;
    memset(a->bit, 0, words_of(model) * sizeof *a->bit);
    for (int code = sqlite3_vtab_in_first(list, &value); code == SQLITE_OK && value; code = sqlite3_vtab_in_next(list, &value)) {
        int32_t item = glue_key(value, d->item_affinity, buffer, &key) ? keymap_find(model->items, key) : -1;
        if (item >= 0) a->bit[item >> 6] |= (uint64_t)1 << (item & 63);
    }
}

static int is_allowed(const Allowed *a, int32_t item) {
    return (int)(a->bit[item >> 6] >> (item & 63) & 1);
}

static void count_allowed(Allowed *a, const Model *model) {
    a->n = 0;
    for (size_t w = 0; w < words_of(model); w++) a->n += __builtin_popcountll(a->bit[w]);
}

/* What holds for every list of the request: IN and exclude. An IN list can be read inside xFilter only. */
static Status set_common(ModelCursor *c, const ModelDefinition *d, Err *err) {
    Allowed a = {.bit = mem_array(words_of(c->model), sizeof *a.bit)};
    if (!a.bit) return fail_nomem(err, "the filter");
    if (c->request.in)
        allow_in(&a, c->model, d, c->request.in);
    else
        allow_all(&a, c->model);
    forbid_keys(&a, c->model, &c->request.exclude);
    c->common = a.bit;
    return ST_OK;
}

/* ---- because ---- */

enum { BECAUSE_ITEMS = 5 };

/* {"source":"history","items":[{"item":x,"share":0.4},...]}: the history items that raised the score most, with their
 * shares of the sum of absolute contributions; {"source":"popular"} for what was filled in. */
static Status explain(const ModelCursor *c, Row *row, Err *err) {
    const Model *model = c->model;
    const History *history = &c->query->history;
    Bytes out = {0};
    Scored best[BECAUSE_ITEMS];
    TopK top = {.item = best, .k = BECAUSE_ITEMS, .capacity = BECAUSE_ITEMS};
    double *part = NULL, sum = 0;

    if (row->from_popular || row->id < 0 || model->algorithm->impersonal || !model->algorithm->contributions) {
        bytes_append(&out, "{\"source\":\"popular\"}", 21);
    } else if (c->query->similar >= 0) {
        bytes_append(&out, "{\"source\":\"similar\",\"item\":", 27);
        key_json(keymap_key(model->items, c->query->similar), &out);
        bytes_append(&out, "}", 2);
    } else {
        part = mem_array((size_t)history->n, sizeof *part);
        if (!part) return fail_nomem(err, "because");
        Status status = model->algorithm->contributions(c->query, row->id, part, err);
        if (status != ST_OK) {
            mem_free(part);
            return status;
        }
        for (int64_t h = 0; h < history->n; h++) {
            sum += fabs(part[h]);
            if (part[h] > 0) topk_push(&top, part[h], history->item[h]);
        }
        topk_sort(&top);
        bytes_format(&out, "{\"source\":\"%s\",\"items\":[", c->request.subject == SUBJECT_BASKET ? "basket" : "history");
        for (size_t i = 0; i < top.len; i++) {
            bytes_format(&out, "%s{\"item\":", i ? "," : "");
            key_json(keymap_key(model->items, (int32_t)top.item[i].id), &out);
            bytes_format(&out, ",\"share\":%.4f}", sum > 0 ? top.item[i].score / sum : 0);
        }
        bytes_append(&out, "]}", 3);
    }
    mem_free(part);
    if (out.failed) {
        bytes_clear(&out);
        return fail_nomem(err, "because");
    }
    row->because = (char *)out.data;
    return ST_OK;
}

/* ---- rows ---- */

static Status reserve_rows(ModelCursor *c, size_t n, Err *err) {
    if (n <= c->capacity) return ST_OK;
    Row *grown = mem_resize(c->row, n, sizeof *grown);
    if (!grown) return fail_nomem(err, "the list");
    c->row = grown;
    c->capacity = n;
    return ST_OK;
}

/* LIMIT asks for limit + offset rows; without k or LIMIT the list is whole. */
static size_t wanted(const Request *r, int64_t available) {
    int64_t k = available;
    if (r->has_k == 1) k = r->k;
    if (r->has_k == 2 && r->limit >= 0) k = r->limit > available ? available : r->limit + (r->offset > 0 ? r->offset : 0);
    return (size_t)(k > available ? available : k);
}

static Status rank_catalogue(ModelCursor *c, Allowed *a, Err *err) {
    count_allowed(a, c->model);
    size_t k = wanted(&c->request, a->n), n;
    Ranked *ranked = mem_array(k, sizeof *ranked);
    if (!ranked) return fail_nomem(err, "the list");
    Status status = model_query_rank(c->query, a->bit, a->n, k, ranked, &n, err);
    if (status == ST_OK) status = reserve_rows(c, n, err);
    for (size_t i = 0; i < n && status == ST_OK; i++)
        c->row[c->n_rows++] = (Row){.item = keymap_key(c->model->items, ranked[i].item), .id = ranked[i].item, .score = ranked[i].score,
                                    .rank = (sqlite3_int64)i + 1, .from_popular = ranked[i].from_popular};
    mem_free(ranked);
    return status;
}

static int has_nothing_to_say(const ModelCursor *c) {
    return c->query->history.n == 0 && c->query->similar < 0 && !c->model->algorithm->impersonal;
}

/* The order of a ranked list, as model_query_rank's: (score, then popular fill by popularity, then id); items that the
 * model does not know come last, as given. */
typedef struct Candidate {
    Row row;
    double popularity;
    size_t given;
} Candidate;

static int compare_candidates(const void *x, const void *y) {
    const Candidate *a = x, *b = y;
    if ((a->row.id < 0) != (b->row.id < 0)) return a->row.id < 0 ? 1 : -1;
    if (a->row.id < 0) return a->given < b->given ? -1 : 1;
    if (a->row.from_popular != b->row.from_popular) return a->row.from_popular ? 1 : -1;
    if (a->row.score != b->row.score) return a->row.score > b->row.score ? -1 : 1;
    if (a->row.from_popular && a->popularity != b->popularity) return a->popularity > b->popularity ? -1 : 1;
    return (a->row.id > b->row.id) - (a->row.id < b->row.id);
}

/* Has the model nothing to say about an item with this score, so that the popular list places it? */
static int is_filled(const ModelCursor *c, double score) {
    return has_nothing_to_say(c) || (score == 0 && !c->model->algorithm->scores_all);
}

static Status rank_candidates(ModelCursor *c, Err *err) {
    const KeyList *list = &c->request.candidates;
    const Model *model = c->model;
    Candidate *candidate = mem_array(list->n, sizeof *candidate);
    size_t n = 0;
    if (!candidate) return fail_nomem(err, "the candidates");
    for (size_t i = 0; i < list->n; i++) {
        int32_t id = keymap_find(model->items, list->key[i]);
        double score = id >= 0 && !has_nothing_to_say(c) ? model->algorithm->score(c->query, id) : 0;
        candidate[n++] = (Candidate){.row = {.item = list->key[i], .id = id, .score = score, .from_popular = id < 0 || is_filled(c, score)},
                                     .popularity = id >= 0 ? (double)model->popularity[id] : 0, .given = i};
    }
    qsort(candidate, n, sizeof *candidate, compare_candidates);
    size_t kept = 0;
    Status status = reserve_rows(c, n, err);
    for (size_t i = 0; i < n && status == ST_OK; i++) { /* a repeated candidate counts once */
        if (i && key_compare(candidate[i].row.item, candidate[i - 1].row.item) == 0) continue;
        c->row[kept++] = candidate[i].row;
        c->row[kept - 1].rank = (sqlite3_int64)kept;
    }
    c->n_rows = status == ST_OK ? kept : 0;
    size_t k = wanted(&c->request, (int64_t)kept);
    if (c->n_rows > k) c->n_rows = k;
    mem_free(candidate);
    return status;
}

/* item = without k: that row of the full list, with its true rank, from one pass over the scores. */
static Status rank_pair(ModelCursor *c, const ModelDefinition *d, Allowed *a, Err *err) {
    const Model *model = c->model;
    char buffer[32];
    Key key;
    sqlite3_int64 better = 0;
    int32_t item = glue_key(c->request.item, d->item_affinity, buffer, &key) ? keymap_find(model->items, key) : -1;
    if (item < 0 || !is_allowed(a, item)) return ST_OK;
    int silent = has_nothing_to_say(c);
    double score = silent ? 0 : model->algorithm->score(c->query, item);
    Candidate own = {.row = {.id = item, .score = score, .from_popular = is_filled(c, score)}, .popularity = (double)model->popularity[item]};
    for (int32_t i = 0; i < model->n_items; i++) {
        if (i == item || !is_allowed(a, i)) continue;
        double s = silent ? 0 : model->algorithm->score(c->query, i);
        Candidate other = {.row = {.id = i, .score = s, .from_popular = is_filled(c, s)}, .popularity = (double)model->popularity[i]};
        better += compare_candidates(&other, &own) < 0;
    }
    TRY(reserve_rows(c, 1, err));
    own.row.item = keymap_key(model->items, item);
    own.row.rank = better + 1;
    c->row[c->n_rows++] = own.row;
    return ST_OK;
}

static HistoryRules rules_of(const ModelCursor *c) {
    HistoryRules rules = history_rules(c->model);
    if (isfinite(c->request.call.until)) {
        rules.has_until = 1;
        rules.until = c->request.call.until;
    }
    return rules;
}

/* The cart as a history: an item counts as often as it is in the list. */
static Status basket_history(const ModelCursor *c, OwnedHistory *out, Err *err) {
    const KeyList *list = &c->request.basket;
    int32_t n = c->model->n_items;
    float *count = mem_zeros((size_t)n, sizeof *count);
    out->history.item = mem_array(list->n, sizeof *out->history.item);
    out->history.weight = mem_array(list->n, sizeof *out->history.weight);
    if (!count || !out->history.item || !out->history.weight) {
        mem_free(count);
        return fail_nomem(err, "the basket");
    }
    for (size_t i = 0; i < list->n; i++) {
        int32_t item = keymap_find(c->model->items, list->key[i]);
        if (item >= 0) count[item] += 1;
    }
    for (int32_t i = 0; i < n; i++)
        if (count[i] > 0) {
            out->history.item[out->history.n] = i;
            out->history.weight[out->history.n++] = count[i];
        }
    mem_free(count);
    return ST_OK;
}

/* Prepare the query for the subject, and leave out what has been seen. *known is 0 for an unknown similar_to. */
static Status prepare_subject(ModelTable *t, ModelCursor *c, OwnedHistory *history, Allowed *a, int *known, Err *err) {
    Request *r = &c->request;
    HistoryRules rules = rules_of(c);
    *known = 1;
    if (r->subject == SUBJECT_SIMILAR) {
        int32_t item = keymap_find(c->model->items, r->similar);
        if (c->model->algorithm->no_similar) return fail(err, ST_BADARG, "algorithm %s has no similar items", c->model->algorithm->name);
        *known = item >= 0;
        if (!*known) return ST_OK;
        forbid(a, item);
        return model_query_similar(c->query, item, err);
    }
    if (r->subject == SUBJECT_BASKET)
        TRY(basket_history(c, history, err));
    else
        TRY(events_read_user(&t->reader, c->model, &rules, r->user, history, err));
    if (r->call.exclude_seen) forbid_history(a, &history->history);
    return model_query_history(c->query, &history->history, err);
}

static Status fill_one(ModelTable *t, ModelCursor *c, Err *err) {
    OwnedHistory history = {0};
    Allowed a = {.bit = c->common};
    int known = 0;
    Status status = prepare_subject(t, c, &history, &a, &known, err);
    if (status == ST_OK && known) {
        if (c->request.has_candidates)
            status = rank_candidates(c, err);
        else if (c->request.item)
            status = rank_pair(c, &t->definition, &a, err);
        else
            status = rank_catalogue(c, &a, err);
    }
    for (size_t i = 0; c->request.because && i < c->n_rows && status == ST_OK; i++) status = explain(c, &c->row[i], err);
    c->query->history = (History){0}; /* ours is about to go */
    owned_history_clear(&history);
    return status;
}

/* ---- everybody ---- */

enum { BATCH_USERS = 128 };

typedef struct Batch {
    ModelCursor *cursor;
    int32_t first;
    size_t k;
    Ranked *ranked; /* BATCH_USERS x k */
    size_t *n;      /* per user of the batch */
    ModelQuery **query; /* per worker */
    uint64_t **bit;     /* per worker */
    _Atomic int failed;
} Batch;

static void rank_batch_user(void *context, int64_t piece, int worker) {
    Batch *b = context;
    const ModelCursor *c = b->cursor;
    const Csr *rows = &c->all.rows;
    int32_t user = b->first + (int32_t)piece;
    int64_t from = rows->row_start[user];
    History history = {rows->col + from, rows->val + from, csr_row_len(rows, user)};
    Allowed a = {.bit = b->bit[worker]};
    memcpy(a.bit, c->common, words_of(c->model) * sizeof *a.bit);
    if (c->request.call.exclude_seen) forbid_history(&a, &history);
    count_allowed(&a, c->model);
    if (model_query_history(b->query[worker], &history, NULL) ||
        model_query_rank(b->query[worker], a.bit, a.n, b->k, b->ranked + (size_t)piece * b->k, &b->n[piece], NULL))
        b->failed = 1;
}

static Status explain_batch_row(ModelCursor *c, Row *row, Err *err) {
    int64_t from = c->all.rows.row_start[row->user];
    History history = {c->all.rows.col + from, c->all.rows.val + from, csr_row_len(&c->all.rows, row->user)};
    TRY(model_query_history(c->query, &history, err));
    return explain(c, row, err);
}

static Status batch_rows(ModelCursor *c, const Batch *b, int32_t n_users, Err *err) {
    Status status = ST_OK;
    size_t total = 0;
    for (int32_t u = 0; u < n_users; u++) total += b->n[u];
    TRY(reserve_rows(c, total, err));
    for (int32_t u = 0; u < n_users && status == ST_OK; u++)
        for (size_t i = 0; i < b->n[u] && status == ST_OK; i++) {
            const Ranked *r = &b->ranked[(size_t)u * b->k + i];
            c->row[c->n_rows++] = (Row){.item = keymap_key(c->model->items, r->item), .id = r->item, .score = r->score, .rank = (sqlite3_int64)i + 1,
                                        .from_popular = r->from_popular, .user = b->first + u};
            if (c->request.because) status = explain_batch_row(c, &c->row[c->n_rows - 1], err);
        }
    return status;
}

/* Rank the next users until there is a row or nobody is left. */
static Status next_batch(ModelTable *t, ModelCursor *c, Err *err) {
    Task task = {.threads = c->model->common.threads ? (int)c->model->common.threads : task_default_threads()};
    InterruptPoll poll = {0};
    Batch b = {.cursor = c};
    int32_t n_users = keymap_count(c->all.users);

    Status status = ST_OK;
    b.k = wanted(&c->request, c->model->n_items);
    b.ranked = mem_array(BATCH_USERS * b.k, sizeof *b.ranked);
    b.n = mem_zeros(BATCH_USERS, sizeof *b.n);
    b.query = mem_zeros((size_t)task.threads, sizeof *b.query);
    b.bit = mem_zeros((size_t)task.threads, sizeof *b.bit);
    if (status == ST_OK && (!b.ranked || !b.n || !b.query || !b.bit)) status = fail_nomem(err, "a batch of users");
    for (int w = 0; w < task.threads && status == ST_OK; w++) {
        status = model_query_new(&b.query[w], c->model, err);
        if (status == ST_OK && !(b.bit[w] = mem_array(words_of(c->model), sizeof **b.bit))) status = fail_nomem(err, "a batch of users");
    }
    if (status == ST_OK) status = interrupt_poll_init(&poll, t->definition.db, err);
    task.poll = interrupt_poll;
    task.host = &poll;
    clear_rows(c);
    while (status == ST_OK && c->n_rows == 0 && c->next_user < n_users) {
        int32_t n = n_users - c->next_user < BATCH_USERS ? n_users - c->next_user : BATCH_USERS;
        b.first = c->next_user;
        status = task_run(&task, n, rank_batch_user, &b, err);
        if (status == ST_OK && b.failed) status = fail_nomem(err, "a batch of users");
        if (status == ST_OK) status = batch_rows(c, &b, n, err);
        c->next_user += n;
    }
    for (int w = 0; w < task.threads; w++) {
        if (b.query) model_query_free(b.query[w]);
        if (b.bit) mem_free(b.bit[w]);
    }
    interrupt_poll_clear(&poll);
    mem_free(b.ranked);
    mem_free(b.n);
    mem_free(b.query);
    mem_free(b.bit);
    return status;
}

static Status fill_everybody(ModelTable *t, ModelCursor *c, Err *err) {
    HistoryRules rules = rules_of(c);
    if (c->request.has_k != 1) return fail(err, ST_BADARG, "k is needed where no user, similar_to or basket is given (WHERE k = 10)");
    if (c->request.has_candidates) return fail(err, ST_BADARG, "candidates need a user or a basket");
    TRY(events_read_histories(&t->reader, c->model, &rules, &c->all, err));
    c->batched = 1;
    return next_batch(t, c, err);
}

int model_filter(sqlite3_vtab_cursor *base, int because, const char *plan, int argc, sqlite3_value **argv) {
    ModelCursor *c = (ModelCursor *)base;
    ModelTable *t = (ModelTable *)base->pVtab;
    Err err = {0};
    (void)argc;
    cursor_reset(c);
    Status status = read_request(c, &t->definition, plan, argv, &err);
    c->request.because = because;
    if (status == ST_OK && c->request.null_input) return SQLITE_OK; /* = NULL is never true */
    if (status == ST_OK) status = model_table_take(t, c->request.call.version, &c->model, &c->version, &c->query, &err);
    if (status == ST_OK) status = set_common(c, &t->definition, &err);
    if (status == ST_OK) status = c->request.subject ? fill_one(t, c, &err) : fill_everybody(t, c, &err);
    return glue_vtab_error(base->pVtab, "rec_model", t->definition.name, status, &err);
}

int model_next(sqlite3_vtab_cursor *base) {
    ModelCursor *c = (ModelCursor *)base;
    ModelTable *t = (ModelTable *)base->pVtab;
    Err err = {0};
    c->at++;
    if (c->at < c->n_rows || !c->batched) return SQLITE_OK;
    return glue_vtab_error(base->pVtab, "rec_model", t->definition.name, next_batch(t, c, &err), &err);
}

int model_eof(sqlite3_vtab_cursor *base) {
    const ModelCursor *c = (const ModelCursor *)base;
    return c->at >= c->n_rows;
}

/* The user as the events table would hold her. */
static void user_column(const ModelCursor *c, const ModelDefinition *d, sqlite3_context *context) {
    char buffer[32];
    Key key;
    if (c->batched)
        glue_result_key(context, keymap_key(c->all.users, c->row[c->at].user));
    else if (c->request.user && glue_key(c->request.user, d->user_affinity, buffer, &key))
        glue_result_key(context, key);
    else if (c->request.user)
        sqlite3_result_value(context, c->request.user);
}

int model_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
    const ModelCursor *c = (const ModelCursor *)base;
    const ModelDefinition *d = &((ModelTable *)base->pVtab)->definition;
    const Row *row = &c->row[c->at];
    switch (column) {
    case C_USER: user_column(c, d, context); break;
    case C_ITEM: glue_result_key(context, row->item); break;
    case C_SCORE: sqlite3_result_double(context, row->score); break;
    case C_RANK: sqlite3_result_int64(context, row->rank); break;
    case C_BECAUSE:
        if (row->because) sqlite3_result_text(context, row->because, -1, SQLITE_TRANSIENT);
        break;
    case C_VERSION: sqlite3_result_int64(context, c->version); break;
    default:
        if (column < N_MODEL_COLUMNS && c->echo[column]) sqlite3_result_value(context, c->echo[column]);
    }
    return SQLITE_OK;
}

/* A hash of user, item and all inputs: SQLite uses rowids to tell rows of an OR apart. */
int model_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
    const ModelCursor *c = (const ModelCursor *)base;
    const Row *row = &c->row[c->at];
    sqlite3_uint64 hash = c->inputs_hash;
    if (c->batched) {
        Key user = keymap_key(c->all.users, row->user);
        hash = user.text ? hash_bytes(hash, user.text, user.len) : hash_bytes(hash, &user.integer, sizeof user.integer);
    }
    hash = row->item.text ? hash_bytes(hash, row->item.text, row->item.len) : hash_bytes(hash, &row->item.integer, sizeof row->item.integer);
    *out = (sqlite3_int64)(hash & INT64_MAX);
    return SQLITE_OK;
}
