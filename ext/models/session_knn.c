/* session_knn: "sessions that went like this one went on to". For the asker's session s the m
 * latest sessions that share an item with it are looked at, the k most like it are kept, and
 *
 *     score_i = sum over those n that hold i of sim(s, n) g(s, n) h(n, i) f(i)
 *
 *     p: place of an item in s, 1 .. L, the last is L
 *     p*: the last place in s whose item is in n     n(i): i's place in n
 *     N: sessions (of vmis: clicks), N_i: those of item i     t_n: time of n's last click
 *     t_s: the later of the asker's last click and of the newest event that was trained on
 *     idf = idf_weight ln(N / N_i)
 *
 *     variant  sim                          g                           h                   f
 *     vmis     sum of p / L, shared items   max(0, 1 - .1 (L + 1 - p*))  1                  idf
 *     vsknn    the same                     max(0, 1 - .1 (L - p*))      1                  1 + idf
 *     stan     sum of e^((p - L) / l1)      e^(-(t_s - t_n) / l2 days)   e^(-|n(i) -        1
 *                / (|w| sqrt |n|)                                          n(p*)| / l3)
 *     vstan    the same                     that e^((p* - L) / l4)       the same           1 + idf
 *
 * (vmis with idf_weight=0: f = 1.)
 *
 * The k kept are the best by sim, of stan and vstan faded by t; of two alike the later. vmis:
 * Kersbergen, Sprangers and Schelter 2022 ("Serenade"); vsknn: Ludewig and Jannach 2018; stan: Garg
 * et al. 2019; vstan: Ludewig et al. 2021. An option l of 0 switches its factor off; |w| is the
 * root of the sum of e^(2 (p - L) / l1).
 *
 * A session is a set of items in the order of their last clicks. With session= it is what that
 * column says, and a user's history is her latest session; else it is all a user has. Either way
 * the last `length` items count. The time= column orders, be it seconds or a running number.
 * Sessions of one item count: they say what is bought alone. The sessions are the model: a version
 * holds them without their keys (docs/decisions/0009-rows-without-keys.md).
 *
 * Cost: training O(clicks log clicks); a query L m + k |n|. Memory 24 bytes a click. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "algorithms.h"
#include "cost.h"
#include "scoreboard.h"

typedef struct SessionParams {
    int64_t variant;
    int64_t sessions;
    int64_t neighbours;
    int64_t length;
    double idf_weight;
    double l1;
    double l2;
    double l3;
    double l4;
    int64_t drop_last;
} SessionParams;

enum { VMIS, VSKNN, STAN, VSTAN };

static const OptSpec session_options[] = {
    {"variant", OPT_CHOICE, offsetof(SessionParams, variant), 0, 0, VSTAN, "vmis|vsknn|stan|vstan",
        "how sessions and their items are weighed"},
    {"sessions", OPT_INT, offsetof(SessionParams, sessions), 1, 1e6, 2500, NULL,
        "latest sessions with a common item that are looked at (m)"},
    {"neighbours", OPT_INT, offsetof(SessionParams, neighbours), 1, 1e6, 500, NULL,
        "sessions most like the asker's that are asked (k)"},
    {"length", OPT_INT, offsetof(SessionParams, length), 1, 100000, 20, NULL,
        "the last so many items of the asker's session count"},
    {"idf_weight", OPT_REAL, offsetof(SessionParams, idf_weight), 0, 1000, 1, NULL,
        "how much rare items are favoured; 0: not"},
    {"l1", OPT_REAL, offsetof(SessionParams, l1), 0, 1e6, 3, NULL,
        "stan, vstan: items after which an item of the asker's session has faded to 1/e; 0: never"},
    {"l2", OPT_REAL, offsetof(SessionParams, l2), 0, 1e6, 0, NULL,
        "stan, vstan: days after which a session has faded to 1/e; 0: never"},
    {"l3", OPT_REAL, offsetof(SessionParams, l3), 0, 1e6, 3, NULL,
        "stan, vstan: places around the common item after which a neighbour's item has faded to "
        "1/e; 0: never"},
    {"l4", OPT_REAL, offsetof(SessionParams, l4), 0, 1e6, 3, NULL,
        "vstan: places from the asker's last item after which the common item has faded to 1/e; 0: "
        "never"},
    {"drop_last", OPT_FLAG, offsetof(SessionParams, drop_last), 0, 0, 0, NULL,
        "never offer the asker's last item"},
    {0},
};

typedef struct Sessions {
    SessionParams params;
    Csr by_session; /* sessions in the order of their end x items: the item's place, 1 .. */
    Csr by_item;    /* its transpose: an item's sessions, the latest last */
    double *end;    /* per session: time of its last click */
    double *idf;    /* per item: ln(N / N_i) */
} Sessions;

/* ---- training ---- */

typedef struct Click {
    double time;
    int32_t item;
    int32_t place;
} Click;

static int compare_time(const void *a, const void *b) {
    const Click *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static int compare_item(const void *a, const void *b) {
    const Click *x = a, *y = b;
    return (x->item > y->item) - (x->item < y->item);
}

static Sessions *new_state(Model *model, Err *err) {
    Sessions *state = mem_zeros(1, sizeof *state);
    model->state = state;
    if (!state) {
        fail_nomem(err, "the sessions");
        return NULL;
    }
    memcpy(&state->params, &model->params, sizeof state->params);
    return state;
}

/* What follows from by_session. */
static Status finish_state(Sessions *state, Err *err) {
    double n = (double)csr_nnz(&state->by_session);
    TRY(csr_transpose(&state->by_item, &state->by_session, err));
    state->idf = mem_array((size_t)state->by_item.n_rows, sizeof *state->idf);
    if (!state->idf) return fail_nomem(err, "the sessions");
    for (int32_t i = 0; i < state->by_item.n_rows; i++) {
        double clicks = (double)csr_row_len(&state->by_item, i);
        state->idf[i] = clicks > 0
            ? log((state->params.variant == VMIS ? n : (double)state->by_session.n_rows) / clicks)
            : 0;
    }
    return ST_OK;
}

/* Row `session` of the data as row `at` of the state, its items placed in the order of time. */
static void place_row(
    Sessions *state, const Dataset *data, int32_t session, int32_t at, Click *click) {
    int64_t from = data->by_user.row_start[session], n = csr_row_len(&data->by_user, session),
            to = state->by_session.row_start[at];
    for (int64_t i = 0; i < n; i++)
        click[i] = (Click){data->pair_time[from + i], data->by_user.col[from + i], 0};
    qsort(click, (size_t)n, sizeof *click, compare_time);
    for (int64_t i = 0; i < n; i++) click[i].place = (int32_t)i + 1;
    state->end[at] = click[n - 1].time;
    qsort(click, (size_t)n, sizeof *click, compare_item);
    for (int64_t i = 0; i < n; i++) {
        state->by_session.col[to + i] = click[i].item;
        state->by_session.val[to + i] = (float)click[i].place;
    }
    state->by_session.row_start[at + 1] = to + n;
}

/* Sessions by the time of their last click. */
static Click *order_sessions(const Dataset *data, int32_t *out_n, int *ordered) {
    const Csr *rows = &data->by_user;
    Click *order = mem_array((size_t)rows->n_rows, sizeof *order);
    int32_t n = 0;
    *ordered = csr_nnz(rows) == 0;
    for (int32_t s = 0; order && s < rows->n_rows; s++) {
        double end = -INFINITY;
        for (int64_t e = rows->row_start[s]; e < rows->row_start[s + 1]; e++) {
            end = fmax(end, data->pair_time[e]);
            *ordered |= data->pair_time[e] != 0;
        }
        order[n++] = (Click){end, s, 0};
    }
    if (order && n) qsort(order, (size_t)n, sizeof *order, compare_time);
    *out_n = n;
    return order;
}

static Status session_train(Model *model, const Dataset *data, Task *task, Err *err) {
    Sessions *state = new_state(model, err);
    int32_t n = 0, longest = 0;
    int64_t clicks = 0;
    int ordered;
    if (!state) return ST_NOMEM;
    task_phase(task, "sessions", "sessions", 0, 0);
    Click *order = order_sessions(data, &n, &ordered);
    if (!order) return fail_nomem(err, "the sessions");
    for (int32_t s = 0; s < n; s++) {
        int32_t len = (int32_t)csr_row_len(&data->by_user, order[s].item);
        clicks += len;
        if (len > longest) longest = len;
    }
    Click *click = mem_array((size_t)longest, sizeof *click);
    state->end = mem_array((size_t)n, sizeof *state->end);
    Status status = click && state->end
        ? csr_alloc(&state->by_session, n, model->n_items, clicks, err)
        : fail_nomem(err, "the sessions");
    if (!ordered)
        status = fail(err, ST_BADARG,
            "session_knn needs the order of the events: time= (any number that orders them), and "
            "not the same for all");
    for (int32_t s = 0; s < n && status == ST_OK; s++)
        place_row(state, data, order[s].item, s, click);
    mem_free(order);
    mem_free(click);
    if (status == ST_OK && task_poll(task)) status = fail(err, ST_CANCELLED, "interrupted");
    return status == ST_OK ? finish_state(state, err) : status;
}

/* ---- storage: number of sessions, rows, times ---- */

static void session_write(const Model *model, Bytes *out) {
    const Sessions *state = model->state;
    bytes_u32(out, (uint32_t)state->by_session.n_rows);
    csr_write(&state->by_session, out);
    bytes_append(out, state->end, (size_t)state->by_session.n_rows * sizeof *state->end);
}

static Status session_read(Model *model, Reader *in, Err *err) {
    Sessions *state = new_state(model, err);
    if (!state) return ST_NOMEM;
    uint32_t n = read_u32(in);
    if (in->failed || n > INT32_MAX) return fail(err, ST_CORRUPT, "sessions are truncated");
    TRY(csr_read(&state->by_session, (int32_t)n, model->n_items, in, err));
    const void *end = read_block(in, n, sizeof(double));
    if (!end) return fail(err, ST_CORRUPT, "sessions are truncated");
    state->end = mem_array(n, sizeof *state->end);
    if (!state->end) return fail_nomem(err, "the sessions");
    memcpy(state->end, end, n * sizeof *state->end);
    for (uint32_t s = 0; s < n; s++)
        if (!isfinite(state->end[s]) || (s && state->end[s] < state->end[s - 1]))
            return fail(err, ST_CORRUPT, "sessions are not in the order of time");
    return finish_state(state, err);
}

static int session_keeps_rows(const Model *model) {
    (void)model;
    return 1;
}

/* The session with these items that ended with the latest of them; without times, any with these
 * items. */
static Status session_forget(Model *model, const History *history, int *removed, Err *err) {
    Sessions *state = model->state;
    double end = -INFINITY;
    (void)err;
    *removed = 0;
    for (int64_t i = 0; history->time && i < history->n; i++) end = fmax(end, history->time[i]);
    for (int32_t s = 0; s < state->by_session.n_rows && !*removed; s++) {
        const int32_t *item = state->by_session.col + state->by_session.row_start[s];
        if ((history->time && state->end[s] != end) ||
            csr_row_len(&state->by_session, s) != history->n ||
            memcmp(item, history->item, (size_t)history->n * sizeof *item) != 0)
            continue;
        *removed = 1;
        int32_t rest = state->by_session.n_rows - s - 1;
        csr_remove_row(&state->by_session, s);
        memmove(state->end + s, state->end + s + 1, (size_t)rest * sizeof *state->end);
    }
    return ST_OK;
}

static void session_free(Model *model) {
    Sessions *state = model->state;
    if (!state) return;
    csr_clear(&state->by_session);
    csr_clear(&state->by_item);
    mem_free(state->end);
    mem_free(state->idf);
    mem_free(state);
    model->state = NULL;
}

static size_t session_memory(const Model *model) {
    const Sessions *state = model->state;
    return (size_t)csr_nnz(&state->by_session) * 16 + (size_t)state->by_session.n_rows * 16 +
        (size_t)model->n_items * 16;
}

/* ---- queries ---- */

typedef struct SessionQuery {
    Scoreboard sessions; /* sum over shared items of their weights */
    Scoreboard items;
    float *last;  /* per session: p* of the touched */
    Scored *list; /* sessions */
    Click *click; /* the asker's session */
    int64_t capacity;
} SessionQuery;

static void session_query_free(ModelQuery *query) {
    SessionQuery *q = query->scratch;
    if (!q) return;
    scoreboard_clear(&q->sessions);
    scoreboard_clear(&q->items);
    mem_free(q->last);
    mem_free(q->list);
    mem_free(q->click);
    mem_free(q);
    query->scratch = NULL;
}

static Status session_query_new(ModelQuery *query, Err *err) {
    const Sessions *state = query->model->state;
    size_t n = (size_t)state->by_session.n_rows;
    SessionQuery *q = mem_zeros(1, sizeof *q);
    query->scratch = q;
    if (!q) return fail_nomem(err, "a query");
    Status status = scoreboard_init(&q->sessions, state->by_session.n_rows, err);
    if (status == ST_OK) status = scoreboard_init(&q->items, query->model->n_items, err);
    q->last = mem_array(n, sizeof *q->last);
    q->list = mem_array(n, sizeof *q->list);
    if (status == ST_OK && q->last && q->list) return ST_OK;
    session_query_free(query);
    return fail_nomem(err, "a query");
}

/* The asker's session, the last `length` items in order, into q->click; a similar item is a session
 * of one. */
static Status take_session(const ModelQuery *query, SessionQuery *q, int64_t *out_n, Err *err) {
    const History *history = &query->history;
    const SessionParams *p = &((const Sessions *)query->model->state)->params;
    int64_t n = query->similar >= 0 ? 1 : history->n;
    if (n > q->capacity) {
        Click *grown = mem_resize(q->click, (size_t)n, sizeof *grown);
        if (!grown) return fail_nomem(err, "a query");
        q->click = grown;
        q->capacity = n;
    }
    for (int64_t i = 0; i < n; i++)
        q->click[i] = query->similar >= 0
            ? (Click){0, query->similar, 0}
            : (Click){history->time ? history->time[i] : 0, history->item[i], 0};
    qsort(q->click, (size_t)n, sizeof *q->click, compare_time);
    if (n > p->length) {
        memmove(q->click, q->click + (n - p->length), (size_t)p->length * sizeof *q->click);
        n = p->length;
    }
    for (int64_t i = 0; i < n; i++) q->click[i].place = (int32_t)i + 1;
    *out_n = n;
    return ST_OK;
}

static double fade(double distance, double length) {
    return length > 0 ? exp(-distance / length) : 1;
}

/* The m latest sessions that share an item, with the sums of the shared items' weights (of vmis and
 * vsknn times L: whole numbers, so that equal ones are equal) and p*; returns how many. Of each
 * item only the m latest sessions can be among them. */
static size_t meet_sessions(const Sessions *state, SessionQuery *q, int64_t n) {
    const SessionParams *p = &state->params;
    size_t found = 0, m = (size_t)p->sessions;
    scoreboard_reset(&q->sessions, 0);
    for (int64_t c = n - 1; c >= 0; c--) {
        int64_t from = state->by_item.row_start[q->click[c].item],
                to = state->by_item.row_start[q->click[c].item + 1];
        double place = (double)q->click[c].place,
               weight = p->variant >= STAN ? fade((double)n - place, p->l1) : place;
        if (to - from > p->sessions) from = to - p->sessions;
        for (int64_t e = from; e < to && weight > 0; e++) {
            int32_t session = state->by_item.col[e];
            if (q->sessions.score[session] == 0) q->last[session] = (float)place;
            scoreboard_add(&q->sessions, session, weight);
        }
    }
    for (int32_t t = 0; t < q->sessions.n_touched; t++)
        q->list[found++] = (Scored){q->sessions.touched[t] + 1, q->sessions.touched[t]};
    if (found <= m) return found;
    scored_select(q->list, found, m); /* later sessions have larger ids */
    return m;
}

/* The k most like it among the first n of q->list, best first; the later where two are alike. */
static size_t nearest(
    const ModelQuery *query, SessionQuery *q, size_t n, int64_t length, double norm) {
    const Sessions *state = query->model->state;
    size_t k = (size_t)state->params.neighbours;
    int32_t n_sessions = state->by_session.n_rows;
    double now = query->model->newest;
    for (int64_t h = 0; h < query->history.n; h++)
        if (query->history.time) now = fmax(now, query->history.time[h]);
    for (size_t i = 0; i < n; i++) {
        int32_t session = (int32_t)q->list[i].id;
        double sim = q->sessions.score[session];
        if (state->params.variant >= STAN) {
            sim /= norm * sqrt((double)csr_row_len(&state->by_session, session));
            sim *= fade((now - state->end[session]) / 86400, state->params.l2);
        } else {
            sim /= (double)length;
        }
        q->list[i] = (Scored){sim, n_sessions - session};
    }
    n = scored_best(q->list, n, k);
    for (size_t i = 0; i < n; i++) q->list[i].id = n_sessions - q->list[i].id;
    return n;
}

/* Where in the neighbour's row the item is. */
static double place_in(const Csr *rows, int32_t session, int32_t item) {
    int64_t e = csr_find(rows, session, item);
    return e >= 0 ? (double)rows->val[e] : 0;
}

static void add_neighbour(
    const Sessions *state, SessionQuery *q, int32_t session, double sim, int64_t length) {
    const SessionParams *p = &state->params;
    double last = (double)q->last[session], from_end = (double)length - last, weight = sim;
    if (p->variant == VMIS) weight *= fmax(0, 1 - .1 * (from_end + 1));
    if (p->variant == VSKNN) weight *= fmax(0, 1 - .1 * from_end);
    if (p->variant == VSTAN) weight *= fade(from_end, p->l4);
    double common = p->variant >= STAN
        ? place_in(&state->by_session, session, q->click[(int64_t)last - 1].item)
        : 0;
    for (int64_t e = state->by_session.row_start[session];
         e < state->by_session.row_start[session + 1]; e++) {
        int32_t item = state->by_session.col[e];
        double amount = weight, idf = p->idf_weight * state->idf[item];
        if (p->variant == VMIS) amount *= p->idf_weight > 0 ? idf : 1;
        if (p->variant == VSKNN || p->variant == VSTAN) amount *= 1 + idf;
        if (p->variant >= STAN)
            amount *= fade(fabs((double)state->by_session.val[e] - common), p->l3);
        if (amount > 0) scoreboard_add(&q->items, item, amount);
    }
}

static Status session_prepare(ModelQuery *query, Err *err) {
    const Sessions *state = query->model->state;
    SessionQuery *q = query->scratch;
    int64_t length = 0;
    double norm = 0;
    scoreboard_reset(&q->items, 0);
    TRY(take_session(query, q, &length, err));
    for (int64_t c = 0; c < length; c++)
        norm += pow(fade((double)(length - q->click[c].place), state->params.l1), 2);
    size_t n = meet_sessions(state, q, length);
    n = nearest(query, q, n, length, sqrt(norm));
    for (size_t i = 0; i < n; i++)
        add_neighbour(state, q, (int32_t)q->list[i].id, q->list[i].score, length);
    /* never offered */
    if (length && (state->params.drop_last || query->similar >= 0))
        q->items.score[q->click[length - 1].item] = 0;
    return ST_OK;
}

static const Scoreboard *session_board(const ModelQuery *query) {
    return &((const SessionQuery *)query->scratch)->items;
}

static int session_by_session(const AlgorithmParams *params) {
    (void)params;
    return 1;
}

static void session_knn_cost(const CostAsk *ask, Cost *out) {
    out->alone += 100 * (double)csr_nnz(&ask->data->by_user);
    cost_user_rows(out, ask);
}

const Algorithm session_knn_algorithm = {
    .name = "session_knn",
    .least_events = 1000,
    .summary = "what sessions like the asker's went on to; no training to speak of, the order of "
               "the events counts",
    .by_session = session_by_session,
    .keeps_seen = 1,
    .options = session_options,
    .tune_space = "{\"variant\":[\"vsknn\",\"stan\",\"vstan\"],\"neighbours\":[100,500,1500],"
                  "\"length\":[2,5,10,20],\"idf_weight\":[0,1,5]}",
    .params_size = sizeof(SessionParams),
    .cost = session_knn_cost,
    .train = session_train,
    .write = session_write,
    .read = session_read,
    .keeps_rows = session_keeps_rows,
    .forget = session_forget,
    .free_state = session_free,
    .memory = session_memory,
    .query_new = session_query_new,
    .query_free = session_query_free,
    .query_prepare = session_prepare,
    .board = session_board,
};
