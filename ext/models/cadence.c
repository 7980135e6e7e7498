#include "cadence.h"

#include <math.h>
#include <string.h>

#include "../base/memory.h"

/* What a mean is drawn towards, in gaps; and how many pairs a lift is drawn with. */
static const double ITEM_PRIOR = 5, USER_PRIOR = 5, PAIR_PRIOR = 2, LIFT_PRIOR = 30;
/* A user's last baskets, or windows of the horizon, that are learnt from. */
enum { REFERENCES = 3, WEIGHTS = 32 };

static const double DAY = 86400;

/* What a stored lift is at least, and its inverse at most: those that are learnt are far within. */
static const double LEAST_LIFT = 1e-6;

static double log_days(double from, double to) { return log(fmax((to - from) / DAY, .5)); }

/* Half a logarithm wide; the middle one is around 0. */
static int ratio_place(double ratio) {
    double place = round(2 * ratio) + CADENCE_RATIOS / 2;
    return (int)fmin(fmax(place, 0), CADENCE_RATIOS - 1);
}

/* Had once, twice, up to four times, more often. */
static int count_place(int32_t count) { return count <= 2 ? count - 1 : count <= 4 ? 2 : 3; }

/* Two to each halving of the weight, which is at most 1. */
static int weight_place(double weight) {
    double place = floor(WEIGHTS + 2 * log2(weight));
    return (int)fmin(fmax(place, 0), WEIGHTS - 1);
}

/* ---- gaps ---- */

/* The gaps of an item, of one user or of all; and when it was had last. */
typedef struct Gaps {
    double sum;
    double last;
    int32_t n;
    int32_t visits;
} Gaps;

static void add_visit(Gaps *gaps, double time) {
    if (gaps->visits++) {
        gaps->sum += log_days(gaps->last, time);
        gaps->n++;
    }
    gaps->last = time;
}

/* By a pair's own gaps. */
static double ratio_of(const Gaps *own, double item_gap, double tempo, double now) {
    double usual = (own->sum + PAIR_PRIOR * (item_gap + tempo)) / (own->n + PAIR_PRIOR);
    return log_days(own->last, now) - usual;
}

/* ---- training ---- */

/* How many pairs of a weight, count and ratio there were, and how many of them came back. */
typedef struct Cells {
    double n[WEIGHTS][CADENCE_COUNTS][CADENCE_RATIOS];
    double came[WEIGHTS][CADENCE_COUNTS][CADENCE_RATIOS];
} Cells;

/* One user's item, while she is gone through. */
typedef struct Pair {
    Gaps gaps;           /* up to now */
    double all_sum;      /* of all her gaps of it */
    int32_t all_n, mark; /* mark: the reference for which it came back */
    double weight;       /* at the reference */
} Pair;

typedef struct Learning {
    const Dataset *data;
    const BasketRules *rules;
    double horizon, mean; /* seconds; log days */
    Gaps *item;           /* items: of all users */
    Pair *pair;           /* items; all 0 between two users */
    int32_t *had;         /* the user's items so far */
    int32_t n_had, reference;
    double tempo_sum;
    int64_t tempo_n;
    Cells *cells;
} Learning;

static double gap_without(const Learning *l, int32_t item) {
    const Gaps *all = &l->item[item];
    const Pair *own = &l->pair[item];
    return (all->sum - own->all_sum + ITEM_PRIOR * l->mean) / (all->n - own->all_n + ITEM_PRIOR);
}

/* A user's visits into the gaps of the items; gaps are counted before and after. */
static void add_user_gaps(Learning *l, const Visit *visit, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        Pair *pair = &l->pair[visit[i].item];
        double before = pair->gaps.sum;
        int32_t gaps = pair->gaps.n;
        add_visit(&pair->gaps, visit[i].time);
        l->item[visit[i].item].sum += pair->gaps.sum - before;
        l->item[visit[i].item].n += pair->gaps.n - gaps;
    }
}

static void forget_user(Learning *l, const Visit *visit, int64_t n) {
    for (int64_t i = 0; i < n; i++) l->pair[visit[i].item] = (Pair){0};
    l->n_had = 0;
    l->tempo_sum = 0;
    l->tempo_n = 0;
}

static void go_on(Learning *l, const Visit *visit, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        int32_t item = visit[i].item;
        Pair *pair = &l->pair[item];
        double before = pair->gaps.sum;
        if (!pair->gaps.visits) l->had[l->n_had++] = item;
        else l->tempo_n++;
        add_visit(&pair->gaps, visit[i].time);
        if (pair->gaps.visits > 1) l->tempo_sum += pair->gaps.sum - before - gap_without(l, item);
    }
}

/* The weights of what was had before visit n, by baskets (dataset.h). */
static void weigh(Learning *l, const Visit *visit, int64_t n) {
    int64_t baskets = 0, b = -1;
    for (int64_t i = 0; i < n; i++) baskets += i == 0 || visit[i].time != visit[i - 1].time;
    for (int32_t h = 0; h < l->n_had; h++) l->pair[l->had[h]].weight = 0;
    for (int64_t i = n; i-- > 0;) {
        b += i == n - 1 || visit[i].time != visit[i + 1].time;
        l->pair[visit[i].item].weight += basket_weight(b, baskets, l->rules);
    }
}

/* What was had before visit `from`, at a time; visits [from, to) say what came back. */
static void learn(Learning *l, const Visit *visit, int64_t from, int64_t to, double now) {
    double tempo = l->tempo_sum / ((double)l->tempo_n + USER_PRIOR);
    l->reference++;
    weigh(l, visit, from);
    for (int64_t i = from; i < to; i++) l->pair[visit[i].item].mark = l->reference;
    for (int32_t h = 0; h < l->n_had; h++) {
        const Pair *pair = &l->pair[l->had[h]];
        int w = weight_place(pair->weight), c = count_place(pair->gaps.visits),
            r = ratio_place(ratio_of(&pair->gaps, gap_without(l, l->had[h]), tempo, now));
        l->cells->n[w][c][r]++;
        l->cells->came[w][c][r] += pair->mark == l->reference;
    }
}

static int64_t first_from(const Visit *visit, int64_t n, double time) {
    int64_t at = 0;
    while (at < n && visit[at].time < time) at++;
    return at;
}

/* Each of her last baskets, but the first two, by what was before it. */
static void learn_from_baskets(Learning *l, const Visit *visit, int64_t n) {
    int64_t start[REFERENCES + 1], k = 0, baskets = 0, at = 0;
    for (int64_t i = 0; i < n; i++) baskets += i == 0 || visit[i].time != visit[i - 1].time;
    int64_t skipped = baskets - REFERENCES > 2 ? baskets - REFERENCES : 2, b = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && visit[i].time == visit[i - 1].time) continue;
        if (b++ >= skipped) start[k++] = i;
    }
    start[k] = n;
    for (int64_t r = 0; r < k; r++) {
        go_on(l, visit, at, start[r]);
        at = start[r];
        learn(l, visit, at, start[r + 1], visit[at].time);
    }
}

/* Each of the last windows in which she came, by what was before it. */
static void learn_from_windows(Learning *l, const Visit *visit, int64_t n) {
    int64_t at = 0;
    for (int r = REFERENCES; r > 0; r--) {
        double now = l->data->newest - r * l->horizon;
        int64_t from = first_from(visit, n, now), to = first_from(visit, n, now + l->horizon);
        go_on(l, visit, at, from);
        at = from;
        if (from && to > from) learn(l, visit, from, to, now);
    }
}

static void learn_from_user(Learning *l, int32_t user) {
    const Visit *visit = l->data->visit + l->data->visit_start[user];
    int64_t n = l->data->visit_start[user + 1] - l->data->visit_start[user];
    for (int64_t i = 0; i < n; i++) {
        Pair *pair = &l->pair[visit[i].item];
        add_visit(&pair->gaps, visit[i].time);
        pair->all_sum = pair->gaps.sum;
        pair->all_n = pair->gaps.n;
    }
    for (int64_t i = 0; i < n; i++) l->pair[visit[i].item].gaps = (Gaps){0};
    if (l->horizon > 0) learn_from_windows(l, visit, n);
    else learn_from_baskets(l, visit, n);
    forget_user(l, visit, n);
}

/* How many of the pairs of a weight came back. */
static void set_shares(const Cells *cells, double share[WEIGHTS], double *mean) {
    double n = 0, came = 0;
    for (int w = 0; w < WEIGHTS; w++) {
        double of_weight = 0, back = 0;
        for (int c = 0; c < CADENCE_COUNTS; c++)
            for (int r = 0; r < CADENCE_RATIOS; r++) {
                of_weight += cells->n[w][c][r];
                back += cells->came[w][c][r];
            }
        share[w] = of_weight > 0 ? back / of_weight : 0;
        n += of_weight;
        came += back;
    }
    *mean = n > 0 ? came / n : 0;
}

/* Of who had an item once nobody knows a gap: all ratios of those share one lift. */
static void set_lifts(const Cells *cells, Cadence *out) {
    double share[WEIGHTS], mean;
    set_shares(cells, share, &mean);
    for (int c = 0; c < CADENCE_COUNTS; c++) {
        double back[CADENCE_RATIOS] = {0}, expected[CADENCE_RATIOS] = {0};
        for (int r = 0; r < CADENCE_RATIOS; r++)
            for (int w = 0; w < WEIGHTS; w++) {
                int place = c == 0 ? 0 : r;
                back[place] += cells->came[w][c][r];
                expected[place] += cells->n[w][c][r] * share[w];
            }
        for (int r = 0; r < CADENCE_RATIOS; r++) {
            int place = c == 0 ? 0 : r;
            out->lift[c][r] = mean > 0
                ? (back[place] + LIFT_PRIOR * mean) / (expected[place] + LIFT_PRIOR * mean)
                : 1;
        }
    }
}

static Status gather_gaps(Learning *l, Cadence *out, Task *task, Err *err) {
    double sum = 0, n = 0;
    for (int32_t u = 0; u < l->data->by_user.n_rows; u++) {
        const Visit *visit = l->data->visit + l->data->visit_start[u];
        int64_t visits = l->data->visit_start[u + 1] - l->data->visit_start[u];
        add_user_gaps(l, visit, visits);
        forget_user(l, visit, visits);
        if (u % 4096 == 0 && task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    }
    for (int32_t i = 0; i < out->n_items; i++) {
        sum += l->item[i].sum;
        n += l->item[i].n;
    }
    l->mean = n > 0 ? sum / n : 0;
    for (int32_t i = 0; i < out->n_items; i++)
        out->gap[i] = (float)((l->item[i].sum + ITEM_PRIOR * l->mean) /
            (l->item[i].n + ITEM_PRIOR));
    return ST_OK;
}

static Status train(Learning *l, Cadence *out, Task *task, Err *err) {
    size_t n = (size_t)out->n_items;
    out->gap = mem_array(n, sizeof *out->gap);
    l->item = mem_zeros(n, sizeof *l->item);
    l->pair = mem_zeros(n, sizeof *l->pair);
    l->had = mem_array(n, sizeof *l->had);
    l->cells = mem_zeros(1, sizeof *l->cells);
    if (!out->gap || !l->item || !l->pair || !l->had || !l->cells)
        return fail_nomem(err, "the gaps");
    TRY(gather_gaps(l, out, task, err));
    for (int32_t u = 0; u < l->data->by_user.n_rows; u++) {
        learn_from_user(l, u);
        if (u % 256 == 0 && task_poll(task)) return fail(err, ST_CANCELLED, "interrupted");
    }
    set_lifts(l->cells, out);
    return ST_OK;
}

/* Without time= all times are 0. */
static int has_times(const Dataset *data) {
    int64_t n = data->visit ? data->visit_start[data->by_user.n_rows] : 0;
    for (int64_t i = 0; i < n; i++)
        if (data->visit[i].time != 0) return 1;
    return n == 0;
}

Status cadence_train(Cadence *out, const Dataset *data, const BasketRules *rules, double horizon,
    Task *task, Err *err) {
    Learning learning = {.data = data, .rules = rules, .horizon = horizon * DAY};
    *out = (Cadence){.n_items = data->by_user.n_cols};
    if (!has_times(data)) return fail(err, ST_BADARG, "cadence needs the model's time= column");
    task_phase(task, "gaps", "users", 0, 0);
    Status status = train(&learning, out, task, err);
    mem_free(learning.item);
    mem_free(learning.pair);
    mem_free(learning.had);
    mem_free(learning.cells);
    return status;
}

void cadence_clear(Cadence *cadence) {
    mem_free(cadence->gap);
    *cadence = (Cadence){0};
}

/* ---- storage: f32 gaps, f64 lifts ---- */

void cadence_write(const Cadence *cadence, Bytes *out) {
    bytes_append(out, cadence->gap, (size_t)cadence->n_items * sizeof *cadence->gap);
    for (int c = 0; c < CADENCE_COUNTS; c++)
        for (int r = 0; r < CADENCE_RATIOS; r++) bytes_f64(out, cadence->lift[c][r]);
}

Status cadence_read(Cadence *out, int32_t n_items, Reader *in, Err *err) {
    size_t n = (size_t)n_items;
    int is_good = 1;
    const void *gap = read_block(in, n, sizeof *out->gap);
    *out = (Cadence){.n_items = n_items};
    if (!gap) return fail(err, ST_CORRUPT, "the gaps are truncated");
    out->gap = mem_array(n, sizeof *out->gap);
    if (!out->gap) return fail_nomem(err, "the gaps");
    memcpy(out->gap, gap, n * sizeof *out->gap);
    for (size_t i = 0; i < n; i++) is_good &= isfinite(out->gap[i]) != 0;
    for (int c = 0; c < CADENCE_COUNTS; c++)
        for (int r = 0; r < CADENCE_RATIOS; r++) {
            out->lift[c][r] = read_f64(in);
            is_good &= out->lift[c][r] >= LEAST_LIFT && out->lift[c][r] <= 1 / LEAST_LIFT;
        }
    return is_good && !in->failed ? ST_OK
                                  : fail(err, ST_CORRUPT, "the gaps are malformed or truncated");
}

/* ---- an asker ---- */

/* The place of the item among the history's, which ascend. */
static int64_t place_of(const History *history, int32_t item) {
    int64_t low = 0, high = history->n - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (history->item[middle] < item) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void set_factors(
    const Cadence *cadence, double now, const History *history, Gaps *own, double *factor) {
    double tempo = 0, gaps = 0, weight = 0, lifted = 0;
    for (int64_t i = 0; i < history->n_visits; i++) {
        add_visit(&own[place_of(history, history->visit[i].item)], history->visit[i].time);
        now = fmax(now, history->visit[i].time);
    }
    for (int64_t h = 0; h < history->n; h++) {
        tempo += own[h].sum - own[h].n * (double)cadence->gap[history->item[h]];
        gaps += own[h].n;
    }
    tempo /= gaps + USER_PRIOR;
    for (int64_t h = 0; h < history->n; h++) {
        double item_gap = (double)cadence->gap[history->item[h]];
        factor[h] = own[h].visits ? cadence->lift[count_place(own[h].visits)][ratio_place(
                                        ratio_of(&own[h], item_gap, tempo, now))]
                                  : 1;
        weight += (double)history->weight[h];
        lifted += (double)history->weight[h] * factor[h];
    }
    for (int64_t h = 0; h < history->n; h++) factor[h] *= lifted > 0 ? weight / lifted : 1;
}

Status cadence_factors(
    const Cadence *cadence, double now, const History *history, double **factor, Err *err) {
    size_t n = (size_t)history->n;
    Gaps *own = mem_zeros(n, sizeof *own);
    *factor = mem_array(n, sizeof **factor);
    Status status = own && *factor ? ST_OK : fail_nomem(err, "a query");
    if (status == ST_OK && history->n_visits && !history->is_cart)
        set_factors(cadence, now, history, own, *factor);
    else
        for (size_t h = 0; status == ST_OK && h < n; h++) (*factor)[h] = 1;
    mem_free(own);
    if (status != ST_OK) {
        mem_free(*factor);
        *factor = NULL;
    }
    return status;
}
