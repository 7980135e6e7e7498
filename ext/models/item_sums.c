/* Stored, little-endian, between sealed_begin and sealed_end: u64 users, u64 events, f64 newest,
 * u32 has_until, f64 until, u64 max_history, f64 rho, u32 combine, u64 drawn, u32 parts and the
 * digest of each as a text, the items (keymap_write), a u32 length for each row, all columns, all
 * counts. */
#include "item_sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "model.h"

static const char MAGIC[8] = {'R', 'E', 'C', 'S', 'U', 'M', 'S', '1'};
enum { FORMAT = 1, ROWS_A_PIECE = 64, MOST_PARTS = 1 << 20 };
static const int64_t MOST_EVENTS = (int64_t)1 << 53;

static int64_t n_entries(const ItemSums *sums) {
    return sums->row_start ? sums->row_start[sums->n_items] : 0;
}

void item_sums_clear(ItemSums *sums) {
    keymap_free(sums->items);
    mem_free(sums->row_start);
    mem_free(sums->col);
    mem_free(sums->count);
    mem_free(sums->part);
    *sums = (ItemSums){0};
}

static Status allocate(ItemSums *sums, int64_t entries, Err *err) {
    sums->col = mem_array((size_t)entries, sizeof *sums->col);
    sums->count = mem_array((size_t)entries, sizeof *sums->count);
    return sums->col && sums->count ? ST_OK : fail_nomem(err, "the sums");
}

/* ---- of one shop ---- */

typedef struct Counting {
    const Dataset *data;
    ItemSums *sums;
    int32_t **met;     /* per worker: items, zero between rows */
    int32_t **touched; /* per worker: items */
} Counting;

/* Users who have item i and j, for all j >= i, into met; which there are into touched; returns how
 * many. */
static int64_t count_row(const Dataset *data, int32_t i, int32_t *met, int32_t *touched) {
    const Csr *by_item = &data->by_item, *by_user = &data->by_user;
    int64_t different = 0;
    for (int64_t a = by_item->row_start[i]; a < by_item->row_start[i + 1]; a++) {
        int32_t user = by_item->col[a];
        for (int64_t b = by_user->row_start[user + 1] - 1;
             b >= by_user->row_start[user] && by_user->col[b] >= i; b--) {
            if (met[by_user->col[b]]++ == 0) touched[different++] = by_user->col[b];
        }
    }
    return different;
}

static int ascending(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Forgets what a row met: into the sums, where they have room, or away. */
static void take_row(const ItemSums *sums, int32_t i, int64_t n, int32_t *met, int32_t *touched) {
    int64_t at = sums->row_start[i];
    if (sums->col && n > 1) qsort(touched, (size_t)n, sizeof *touched, ascending);
    for (int64_t t = 0; t < n; t++) {
        if (sums->col) {
            sums->col[at] = touched[t];
            sums->count[at++] = met[touched[t]];
        }
        met[touched[t]] = 0;
    }
}

static void count_piece(void *context, int64_t piece, int worker) {
    const Counting *c = context;
    ItemSums *sums = c->sums;
    int32_t from = (int32_t)piece * ROWS_A_PIECE, to = from + ROWS_A_PIECE;
    int32_t *met = c->met[worker], *touched = c->touched[worker];
    for (int32_t i = from; i < to && i < sums->n_items; i++) {
        int64_t different = count_row(c->data, i, met, touched);
        if (!sums->col) sums->row_start[i + 1] = different;
        take_row(sums, i, different, met, touched);
    }
}

Status item_sums_fit(int32_t n_items, int64_t entries, int64_t most_entries, Err *err) {
    return entries <= most_entries ? ST_OK
                                   : fail(err, ST_BADARG,
                                         "%d items have %lld pairs that are counted, and a BLOB "
                                         "holds %lld of them: leave rare "
                                         "items out in a view",
                                         n_items, (long long)entries, (long long)most_entries);
}

/* Twice: how long rows are, and what they hold. */
static Status count_all(Counting *c, int64_t most_entries, Task *task, Err *err) {
    ItemSums *sums = c->sums;
    int64_t pieces = ((int64_t)sums->n_items + ROWS_A_PIECE - 1) / ROWS_A_PIECE;
    task_phase(task, "sums", "items", sums->n_items, 2 * pieces);
    TRY(task_run(task, pieces, count_piece, c, err));
    for (int32_t i = 0; i < sums->n_items; i++) sums->row_start[i + 1] += sums->row_start[i];
    TRY(item_sums_fit(sums->n_items, n_entries(sums), most_entries, err));
    TRY(allocate(sums, n_entries(sums), err));
    return task_run(task, pieces, count_piece, c, err);
}

static Status counting_init(Counting *c, int threads, Err *err) {
    size_t n = (size_t)c->sums->n_items;
    c->met = mem_zeros((size_t)threads, sizeof *c->met);
    c->touched = mem_zeros((size_t)threads, sizeof *c->touched);
    if (!c->met || !c->touched) return fail_nomem(err, "the sums");
    for (int w = 0; w < threads; w++) {
        c->met[w] = mem_zeros(n, sizeof **c->met);
        c->touched[w] = mem_array(n, sizeof **c->touched);
        if (!c->met[w] || !c->touched[w]) return fail_nomem(err, "the sums");
    }
    return ST_OK;
}

static void counting_clear(Counting *c, int threads) {
    for (int w = 0; w < threads; w++) {
        if (c->met) mem_free(c->met[w]);
        if (c->touched) mem_free(c->touched[w]);
    }
    mem_free(c->met);
    mem_free(c->touched);
}

Status item_sums_of(ItemSums *out, Dataset *data, int64_t most_entries, Task *task, Err *err) {
    *out = (ItemSums){.n_items = data->by_user.n_cols,
        .n_users = data->by_user.n_rows,
        .n_events = data->n_events,
        .newest = data->newest};
    Counting c = {.data = data, .sums = out};
    out->row_start = mem_zeros((size_t)out->n_items + 1, sizeof *out->row_start);
    Status status = out->row_start ? counting_init(&c, task->threads, err)
                                   : fail_nomem(err, "the sums");
    if (status == ST_OK) status = count_all(&c, most_entries, task, err);
    counting_clear(&c, task->threads);
    if (status == ST_OK) {
        out->items = data->items;
        data->items = NULL;
    } else {
        item_sums_clear(out);
    }
    return status;
}

Status item_sums_fill(ItemSums *sums, Err *err) {
    ItemSums dense = *sums;
    int64_t n = sums->n_items, at = 0;
    dense.col = dense.count = NULL;
    dense.row_start = mem_array((size_t)n + 1, sizeof *dense.row_start);
    Status status = dense.row_start ? allocate(&dense, n * (n + 1) / 2, err)
                                    : fail_nomem(err, "the sums");
    for (int32_t i = 0; status == ST_OK && i < sums->n_items; i++) {
        int64_t from = sums->row_start[i], to = sums->row_start[i + 1];
        dense.row_start[i] = at;
        for (int32_t j = i; j < sums->n_items; j++, at++) {
            int has = from < to && sums->col[from] == j;
            dense.col[at] = j;
            dense.count[at] = has ? sums->count[from++] : 0;
        }
    }
    if (status != ST_OK) {
        mem_free(dense.row_start);
        mem_free(dense.col);
        mem_free(dense.count);
        return status;
    }
    dense.row_start[n] = at;
    mem_free(sums->row_start);
    mem_free(sums->col);
    mem_free(sums->count);
    *sums = dense;
    return ST_OK;
}

/* ---- joining ---- */

/* The items of both in key order; new ids of each side's. */
static Status join_items(
    const ItemSums *a, const ItemSums *b, KeyMap **out, int32_t *id[2], Err *err) {
    const ItemSums *side[2] = {a, b};
    int32_t *sorted = NULL;
    *out = keymap_new();
    Status status = *out ? ST_OK : fail_nomem(err, "the items");
    for (int s = 0; s < 2 && status == ST_OK; s++) {
        id[s] = mem_array((size_t)side[s]->n_items, sizeof **id);
        if (!id[s]) status = fail_nomem(err, "the items");
        for (int32_t i = 0; i < side[s]->n_items && status == ST_OK; i++)
            status = keymap_add(*out, keymap_key(side[s]->items, i), &id[s][i], err);
    }
    if (status == ST_OK) status = keymap_sort(*out, &sorted, err);
    for (int s = 0; s < 2 && status == ST_OK; s++)
        for (int32_t i = 0; i < side[s]->n_items; i++) id[s][i] = sorted[id[s][i]];
    mem_free(sorted);
    return status;
}

/* A side while its rows are walked: keys are in order on both sides, so that ids only grow. */
typedef struct Walk {
    const ItemSums *sums;
    const int32_t *id;
    int32_t row;    /* the next */
    int64_t at, to; /* of the present one; at == to: it has none, or no more */
} Walk;

static void begin_row(Walk *walk, int32_t row) {
    walk->at = walk->to = 0;
    if (walk->row >= walk->sums->n_items || walk->id[walk->row] != row) return;
    walk->at = walk->sums->row_start[walk->row];
    walk->to = walk->sums->row_start[++walk->row];
}

static int64_t next_column(const Walk *walk) {
    return walk->at < walk->to ? walk->id[walk->sums->col[walk->at]] : INT64_MAX;
}

/* The next entry of a row of both: its column, or -1; *count. */
static int64_t next_entry(Walk walk[2], int64_t *count) {
    int64_t a = next_column(&walk[0]), b = next_column(&walk[1]), column = a < b ? a : b;
    *count = 0;
    if (column == INT64_MAX) return -1;
    if (a == column) *count += walk[0].sums->count[walk[0].at++];
    if (b == column) *count += walk[1].sums->count[walk[1].at++];
    return column;
}

/* The rows of both into out, which has room, or only their lengths. */
static void join_rows(ItemSums *out, Walk walk[2]) {
    int64_t n = 0, count, column;
    walk[0].row = walk[1].row = 0;
    for (int32_t row = 0; row < out->n_items; row++) {
        out->row_start[row] = n;
        for (int s = 0; s < 2; s++) begin_row(&walk[s], row);
        while ((column = next_entry(walk, &count)) >= 0) {
            if (out->col) {
                out->col[n] = (int32_t)column;
                out->count[n] = item_sums_narrow(count);
            }
            n++;
        }
    }
    out->row_start[out->n_items] = n;
}

static Status check_alike(const ItemSums *a, const ItemSums *b, Err *err) {
    if (a->max_history != b->max_history)
        return fail(err, ST_BADARG, "sums of max_history=%lld and of %lld do not add up",
            (long long)a->max_history, (long long)b->max_history);
    if (a->has_until != b->has_until || a->until != b->until)
        return fail(err, ST_BADARG, "sums of another until do not add up");
    if ((a->rho > 0) != (b->rho > 0))
        return fail(err, ST_BADARG, "sums with noise and sums without do not add up");
    if (a->combine != b->combine)
        return fail(err, ST_BADARG, "sums of another combine do not add up");
    if (a->n_users > INT32_MAX - b->n_users || a->n_events > MOST_EVENTS - b->n_events ||
        a->n_parts > MOST_PARTS - b->n_parts)
        return fail(err, ST_BADARG, "more than 2^31 users, 2^53 events or 2^20 shops");
    return ST_OK;
}

/* The parts of both, ascending; one that is in both would count twice. */
static Status join_parts(const ItemSums *a, const ItemSums *b, PartDigest **out, Err *err) {
    int64_t i = 0, j = 0, n = 0;
    *out = mem_array((size_t)(a->n_parts + b->n_parts), sizeof **out);
    if (!*out) return fail_nomem(err, "the sums");
    while (i < a->n_parts || j < b->n_parts) {
        int order = i == a->n_parts ? 1
            : j == b->n_parts       ? -1
                                    : strcmp(a->part[i].sha256, b->part[j].sha256);
        if (order == 0) return fail(err, ST_BADARG, "the same sums are there twice");
        (*out)[n++] = order < 0 ? a->part[i++] : b->part[j++];
    }
    return ST_OK;
}

Status item_sums_join(ItemSums *sums, const ItemSums *more, Err *err) {
    int32_t *id[2] = {NULL, NULL};
    ItemSums out = *sums;
    out.row_start = NULL;
    out.col = out.count = NULL;
    out.items = NULL;
    out.part = NULL;
    TRY(check_alike(sums, more, err));
    Status status = join_parts(sums, more, &out.part, err);
    if (status == ST_OK) status = join_items(sums, more, &out.items, id, err);
    Walk walk[2] = {{.sums = sums, .id = id[0]}, {.sums = more, .id = id[1]}};
    if (status == ST_OK) {
        out.n_items = keymap_count(out.items);
        out.row_start = mem_array((size_t)out.n_items + 1, sizeof *out.row_start);
        if (!out.row_start) status = fail_nomem(err, "the sums");
    }
    if (status == ST_OK) {
        join_rows(&out, walk);
        status = allocate(&out, n_entries(&out), err);
    }
    if (status == ST_OK) join_rows(&out, walk);
    mem_free(id[0]);
    mem_free(id[1]);
    if (status != ST_OK) {
        item_sums_clear(&out);
        return status;
    }
    out.n_users += more->n_users;
    out.n_events += more->n_events;
    out.drawn = 0;
    if (!sums->n_events || (more->n_events && more->newest > sums->newest))
        out.newest = more->newest;        /* who has no events has no time */
    out.rho = fmax(sums->rho, more->rho); /* of different people: the most that one has told */
    out.n_parts += more->n_parts;
    item_sums_clear(sums);
    *sums = out;
    return ST_OK;
}

/* ---- storage ---- */

Status item_sums_write(const ItemSums *sums, Bytes *out, Err *err) {
    char sha256[SHA256_TEXT];
    size_t n = (size_t)n_entries(sums);
    sealed_begin(out, MAGIC, FORMAT);
    bytes_u64(out, (uint64_t)sums->n_users);
    bytes_u64(out, (uint64_t)sums->n_events);
    bytes_f64(out, sums->newest);
    bytes_u32(out, (uint32_t)sums->has_until);
    bytes_f64(out, sums->until);
    bytes_u64(out, (uint64_t)sums->max_history);
    bytes_f64(out, sums->rho);
    bytes_u32(out, (uint32_t)sums->combine);
    bytes_u64(out, sums->drawn);
    bytes_u32(out, (uint32_t)sums->n_parts);
    for (int64_t p = 0; p < sums->n_parts; p++) bytes_text(out, sums->part[p].sha256);
    keymap_write(sums->items, out);
    for (int32_t i = 0; i < sums->n_items; i++)
        bytes_u32(out, (uint32_t)(sums->row_start[i + 1] - sums->row_start[i]));
    bytes_append(out, sums->col, n * sizeof *sums->col);
    bytes_append(out, sums->count, n * sizeof *sums->count);
    sealed_end(out, sha256);
    return out->failed ? fail_nomem(err, "the sums") : ST_OK;
}

static Status corrupt(Err *err) { return fail(err, ST_CORRUPT, "stored sums are damaged"); }

static Status read_facts(ItemSums *out, Reader *in, Err *err) {
    uint64_t users = read_u64(in), events = read_u64(in), until, history, combine;
    out->newest = read_f64(in);
    until = read_u32(in);
    out->until = read_f64(in);
    history = read_u64(in);
    out->rho = read_f64(in);
    combine = read_u32(in);
    out->drawn = read_u64(in);
    if (in->failed || users > INT32_MAX || events > (uint64_t)MOST_EVENTS || until > 1 ||
        history > (uint64_t)1e9 || combine > MODEL_COMBINE_MEAN || !isfinite(out->newest) ||
        !isfinite(out->until) || !(out->rho >= 0 && isfinite(out->rho)))
        return corrupt(err);
    out->n_users = (int64_t)users;
    out->n_events = (int64_t)events;
    out->has_until = (int)until;
    out->max_history = (int64_t)history;
    out->combine = (int64_t)combine;
    return ST_OK;
}

/* Digests, ascending, each once. */
static Status read_parts(ItemSums *out, Reader *in, Err *err) {
    uint32_t n = read_u32(in);
    if (in->failed || n > MOST_PARTS) return corrupt(err);
    out->part = mem_zeros(n ? n : 1, sizeof *out->part);
    if (!out->part) return fail_nomem(err, "the sums");
    for (out->n_parts = 0; out->n_parts < n; out->n_parts++) {
        size_t len;
        const char *text = read_text(in, &len);
        PartDigest *part = &out->part[out->n_parts];
        if (!text || len != SHA256_TEXT - 1) return corrupt(err);
        memcpy(part->sha256, text, len);
        if (strlen(part->sha256) != len ||
            (out->n_parts && strcmp(part[-1].sha256, part->sha256) >= 0))
            return corrupt(err);
    }
    return ST_OK;
}

static Status read_lengths(ItemSums *out, Reader *in, Err *err) {
    uint64_t n = 0;
    for (int32_t i = 0; i < out->n_items; i++) {
        uint32_t length = read_u32(in);
        /* the item itself, whoever has it, and others after it */
        if (in->failed || length < 1 || length > (uint32_t)(out->n_items - i)) return corrupt(err);
        n += length;
        out->row_start[i + 1] = (int64_t)n;
    }
    return ST_OK;
}

static Status read_entries(ItemSums *out, Reader *in, Err *err) {
    size_t n = (size_t)n_entries(out);
    const void *col = read_block(in, n, sizeof *out->col),
               *count = read_block(in, n, sizeof *out->count);
    if (!col || !count) return corrupt(err);
    TRY(allocate(out, (int64_t)n, err));
    if (n) memcpy(out->col, col, n * sizeof *out->col);
    if (n) memcpy(out->count, count, n * sizeof *out->count);
    for (int32_t i = 0; i < out->n_items; i++) {
        int64_t from = out->row_start[i], to = out->row_start[i + 1];
        if (out->col[from] != i) return corrupt(err);
        for (int64_t e = from; e < to; e++)
            if ((e > from && out->col[e] <= out->col[e - 1]) || out->col[e] >= out->n_items ||
                (out->rho <= 0 && (out->count[e] < 1 || out->count[e] > out->count[from])))
                return corrupt(err);
    }
    return ST_OK;
}

Status item_sums_read(ItemSums *out, const void *data, size_t len, Err *err) {
    char sha256[SHA256_TEXT];
    Reader in = reader_of(data, len);
    *out = (ItemSums){0};
    Status status = sealed_open(&in, MAGIC, FORMAT, "sums", err);
    if (status == ST_OK) status = read_facts(out, &in, err);
    if (status == ST_OK) status = read_parts(out, &in, err);
    if (status == ST_OK) status = keymap_read(&in, &out->items, err);
    if (status == ST_OK) {
        out->n_items = keymap_count(out->items);
        out->row_start = mem_zeros((size_t)out->n_items + 1, sizeof *out->row_start);
        if (!out->row_start) status = fail_nomem(err, "the sums");
    }
    if (status == ST_OK) status = read_lengths(out, &in, err);
    if (status == ST_OK) status = read_entries(out, &in, err);
    if (status == ST_OK) status = sealed_check(&in, "sums", sha256, err);
    if (status == ST_OK && !out->n_parts) { /* one shop's own */
        memcpy(out->part[0].sha256, sha256, sizeof sha256);
        out->n_parts = 1;
    }
    if (status != ST_OK) item_sums_clear(out);
    return status;
}
