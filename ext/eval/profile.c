#include "profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../base/bits.h"
#include "../base/json.h"
#include "../base/memory.h"
#include "../base/text.h"

static const double DAY = 86400;

/* ---- the fingerprint ---- */

static uint64_t mix(uint64_t x) { /* splitmix64's (Vigna) */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static Status hash_keys(const KeyMap *keys, uint64_t seed, uint64_t **out, Err *err) {
    int32_t n = keymap_count(keys);
    *out = mem_array((size_t)n, sizeof **out);
    if (!*out) return fail_nomem(err, "the fingerprint");
    for (int32_t i = 0; i < n; i++)
        if (!key_bucket_hash(keymap_key(keys, i), seed, &(*out)[i]))
            return fail_nomem(err, "the fingerprint");
    return ST_OK;
}

static uint64_t bits_of(double x) {
    uint64_t bits;
    x += 0; /* -0 is 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* A sum over the events, so that their order does not matter. */
Status profile_fingerprint(const ProfileEvents *events, char out[33], Err *err) {
    uint64_t *user = NULL, *item = NULL, sum[2] = {(uint64_t)events->n, 0};
    Status status = hash_keys(events->users, 1, &user, err);
    if (status == ST_OK) status = hash_keys(events->items, 2, &item, err);
    for (int64_t i = 0; status == ST_OK && i < events->n; i++) {
        const Event *event = &events->event[i];
        uint64_t hash = mix(user[event->user] + 3 * item[event->item]);
        hash = mix(hash ^ bits_of(event->weight));
        hash = mix(hash + bits_of(event->time));
        sum[0] += hash;
        sum[1] += mix(hash + 0x9e3779b97f4a7c15u);
    }
    mem_free(user);
    mem_free(item);
    if (status == ST_OK)
        text_format(
            out, 33, "%016llx%016llx", (unsigned long long)sum[0], (unsigned long long)sum[1]);
    return status;
}

/* ---- days ---- */

/* Which day an event is of; -1: none that counts. */
typedef struct Days {
    double from, newest;
    int n, forward;
} Days;

static int day_of(const Days *days, double time) {
    double back = days->forward ? (time - days->from) / DAY : (days->newest - time) / DAY;
    if (days->forward && time <= days->from) return -1;
    return back >= 0 && back < days->n ? (int)back : -1;
}

/* The scratch of the passes. */
typedef struct Counting {
    const ProfileEvents *events;
    Days days;
    int8_t *user_day, *item_day; /* where each was first: a day, or OLD */
    uint8_t *bin;                /* per item */
    int64_t start[PROFILE_DAYS + 1];
    int64_t *order;   /* the events that count, day after day */
    uint16_t *active; /* per user: her events of a day, saturating */
    double *weight;   /* of the events that count */
    double bins[PROFILE_DAYS][PROFILE_BINS];
} Counting;
enum { OLD = -1, NEVER = -2 };

static void counting_clear(Counting *counting) {
    mem_free(counting->user_day);
    mem_free(counting->item_day);
    mem_free(counting->bin);
    mem_free(counting->order);
    mem_free(counting->active);
    mem_free(counting->weight);
}

/* Where each day's events will be in the order. */
static int64_t count_days(Counting *counting) {
    for (int64_t i = 0; i < counting->events->n; i++) {
        int day = day_of(&counting->days, counting->events->event[i].time);
        if (day >= 0) counting->start[day + 1]++;
    }
    for (int d = 0; d < PROFILE_DAYS; d++) counting->start[d + 1] += counting->start[d];
    return counting->start[PROFILE_DAYS];
}

static void order_events(Counting *counting) {
    int64_t next[PROFILE_DAYS];
    memcpy(next, counting->start, sizeof next);
    for (int64_t i = 0; i < counting->events->n; i++) {
        int day = day_of(&counting->days, counting->events->event[i].time);
        if (day < 0) continue;
        counting->weight[next[day]] = counting->events->event[i].weight;
        counting->order[next[day]++] = i;
    }
}

static Status counting_init(Counting *counting, Err *err) {
    const ProfileEvents *events = counting->events;
    size_t users = (size_t)keymap_count(events->users), items = (size_t)keymap_count(events->items),
           n = (size_t)count_days(counting);
    counting->user_day = mem_array(users, 1);
    counting->item_day = mem_array(items, 1);
    counting->bin = mem_array(items, 1);
    counting->order = mem_array(n, sizeof *counting->order);
    counting->active = mem_zeros(users, sizeof *counting->active);
    counting->weight = mem_array(n, sizeof *counting->weight);
    if (!counting->user_day || !counting->item_day || !counting->bin || !counting->order ||
        !counting->active || !counting->weight)
        return fail_nomem(err, "the days");
    memset(counting->user_day, NEVER, users);
    memset(counting->item_day, NEVER, items);
    for (size_t i = 0; i < items; i++) {
        uint64_t hash;
        if (!key_bucket_hash(keymap_key(events->items, (int32_t)i), 3, &hash))
            return fail_nomem(err, "the days");
        counting->bin[i] = (uint8_t)(hash % PROFILE_BINS);
    }
    order_events(counting);
    return ST_OK;
}

/* Is a day earlier than the one that was known? Forward days grow with time, backward ones shrink;
 * OLD is before all, NEVER after. */
static int is_earlier(const Days *days, int day, int known) {
    if (known == NEVER) return 1;
    if (known == OLD || day == OLD) return day == OLD && known != OLD;
    return days->forward ? day < known : day > known;
}

static void find_first_days(Counting *counting) {
    for (int64_t i = 0; i < counting->events->n; i++) {
        const Event *event = &counting->events->event[i];
        int day = day_of(&counting->days, event->time);
        /* what comes after the days that count is no first time of any of them */
        if (day < 0 && counting->days.forward && event->time > counting->days.from) continue;
        int8_t *user = &counting->user_day[event->user], *item = &counting->item_day[event->item];
        if (is_earlier(&counting->days, day, *user)) *user = (int8_t)day;
        if (is_earlier(&counting->days, day, *item)) *item = (int8_t)day;
    }
}

static double total(const double *bin) {
    double sum = 0;
    for (int b = 0; b < PROFILE_BINS; b++) sum += bin[b];
    return sum;
}

/* n draws have a Jensen-Shannon divergence from the shares that they are drawn from of (bins - 1) /
 * (8 n) nats by chance, to first order, as a chi-square of bins - 1 degrees has its mean; the cube
 * root of their quotient is close to normal (Wilson and Hilferty 1931). */
double profile_distance(const double *day, const double *others) {
    double n = total(day), m = total(others), sum = 0;
    if (!(n > 0) || !(m > 0)) return NAN;
    for (int b = 0; b < PROFILE_BINS; b++) {
        double p = day[b] / n, q = others[b] / m, middle = (p + q) / 2;
        if (p > 0) sum += p * log(p / middle) / 2;
        if (q > 0) sum += q * log(q / middle) / 2;
    }
    return cbrt(fmax(0, sum) / ((PROFILE_BINS - 1) / 8. * (1 / n + 1 / m)));
}

/* Mean over the day's users of log(events). */
static double activity_of(Counting *counting, int day) {
    const Event *event = counting->events->event;
    double users = 0, sum = 0;
    for (int64_t i = counting->start[day]; i < counting->start[day + 1]; i++) {
        uint16_t *active = &counting->active[event[counting->order[i]].user];
        *active = (uint16_t)(*active + (*active < UINT16_MAX));
    }
    for (int64_t i = counting->start[day]; i < counting->start[day + 1]; i++) {
        uint16_t *active = &counting->active[event[counting->order[i]].user];
        if (!*active) continue;
        users++;
        sum += log(*active);
        *active = 0;
    }
    return users > 0 ? sum / users : NAN;
}

/* All but DAY_ITEMS, and the bins. */
static void count_day(Counting *counting, int day, double *number) {
    double n = (double)(counting->start[day + 1] - counting->start[day]), weight = 0, new_users = 0,
           new_items = 0;
    for (int64_t i = counting->start[day]; i < counting->start[day + 1]; i++) {
        const Event *event = &counting->events->event[counting->order[i]];
        new_users += counting->user_day[event->user] == day;
        new_items += counting->item_day[event->item] == day;
        weight += asinh(event->weight);
        counting->bins[day][counting->bin[event->item]]++;
    }
    number[DAY_EVENTS] = log1p(n);
    number[DAY_ACTIVITY] = activity_of(counting, day);
    number[DAY_WEIGHT] = n > 0 ? weight / n : NAN;
    number[DAY_NEW_USERS] = n > 0 ? new_users / n : NAN;
    number[DAY_NEW_ITEMS] = n > 0 ? new_items / n : NAN;
}

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void quantiles_of(double *x, int64_t n, double *out) {
    qsort(x, (size_t)n, sizeof *x, compare_numbers);
    for (int q = 0; q < PROFILE_QUANTILES; q++)
        out[q] = n ? x[(int64_t)((double)q / (PROFILE_QUANTILES - 1) * (double)(n - 1))] : 0;
}

static void finish_days(Counting *counting, const ProfileSince *since, Profile *out) {
    out->n_days = counting->days.n;
    for (int d = 0; d < out->n_days; d++) {
        count_day(counting, d, out->day[d].number);
        for (int b = 0; b < PROFILE_BINS; b++) out->bin[b] += counting->bins[d][b];
    }
    for (int d = 0; d < out->n_days; d++) {
        double others[PROFILE_BINS];
        for (int b = 0; b < PROFILE_BINS; b++)
            others[b] = since ? since->reference->bin[b] : out->bin[b] - counting->bins[d][b];
        out->day[d].number[DAY_ITEMS] = profile_distance(counting->bins[d], others);
    }
    quantiles_of(counting->weight, counting->start[PROFILE_DAYS], out->weight);
}

/* How many days there are: back to the first event, or forward to now. */
static Days days_of(const Profile *profile, const ProfileSince *since) {
    Days days = {since ? since->reference->last : 0, profile->last, 0, since != NULL};
    double whole = since ? floor((since->now - days.from) / DAY)
                         : floor((profile->last - profile->first) / DAY);
    days.n = (int)fmin(fmax(whole, 0), PROFILE_DAYS);
    return days;
}

Status profile_of_events(
    Profile *out, const ProfileEvents *events, const ProfileSince *since, Err *err) {
    Counting *counting = mem_zeros(1, sizeof *counting);
    memset(out, 0, sizeof *out);
    if (!counting) return fail_nomem(err, "the days");
    counting->events = events;
    out->events = events->n;
    out->users = keymap_count(events->users);
    out->items = keymap_count(events->items);
    out->first = out->last = events->n ? events->event[0].time : 0;
    for (int64_t i = 0; i < events->n; i++) {
        out->first = fmin(out->first, events->event[i].time);
        out->last = fmax(out->last, events->event[i].time);
    }
    Status status = profile_fingerprint(events, out->fingerprint, err);
    if (events->has_time) counting->days = days_of(out, since);
    if (status == ST_OK) status = counting_init(counting, err);
    if (status == ST_OK) {
        find_first_days(counting);
        finish_days(counting, since, out);
    }
    counting_clear(counting);
    mem_free(counting);
    return status;
}

/* ---- lists ---- */

Status list_profile_begin(ListProfile *out, const Model *model, Err *err) {
    *out = (ListProfile){.model = model};
    out->allowed = mem_array(bits_words(model->n_items), sizeof *out->allowed);
    out->listed = mem_zeros((size_t)model->n_items, 1);
    if (!out->allowed || !out->listed) return fail_nomem(err, "the lists");
    return model_query_new(&out->query, model, err);
}

Status list_profile_add(ListProfile *lists, Profile *out, const History *history, Err *err) {
    const Model *model = lists->model;
    Ranked row[PROFILE_LENGTH];
    size_t n;
    if (out->n_lists == PROFILE_LISTS || !history->n) return ST_OK;
    bits_fill(lists->allowed, model->n_items);
    for (int64_t i = 0; i < history->n; i++) bits_remove(lists->allowed, history->item[i]);
    TRY(model_query_history(lists->query, history, err));
    TRY(model_query_rank(
        lists->query, lists->allowed, model->n_items - history->n, PROFILE_LENGTH, row, &n, err));
    lists->query->history = (History){0};
    if (!n) return ST_OK;
    out->score[out->n_lists++] = row[0].score;
    for (size_t i = 0; i < n; i++) {
        lists->distinct += !lists->listed[row[i].item];
        lists->listed[row[i].item] = 1;
        lists->popularity += log2(1 + (double)model->popularity[row[i].item]);
    }
    lists->rows += (int64_t)n;
    return ST_OK;
}

void list_profile_end(ListProfile *lists, Profile *out) {
    qsort(out->score, (size_t)out->n_lists, sizeof *out->score, compare_numbers);
    if (lists->rows) {
        out->coverage = (double)lists->distinct / (double)lists->rows;
        out->popularity = lists->popularity / (double)lists->rows;
    }
    model_query_free(lists->query);
    mem_free(lists->allowed);
    mem_free(lists->listed);
}

/* ---- as text ---- */

static void number_json(double x, Bytes *out) {
    if (isfinite(x)) bytes_format(out, "%.9g", x);
    else bytes_format(out, "null");
}

static void numbers_json(const char *name, const double *x, int n, Bytes *out) {
    bytes_format(out, ",\"%s\":[", name);
    for (int i = 0; i < n; i++) {
        if (i) bytes_append(out, ",", 1);
        number_json(x[i], out);
    }
    bytes_append(out, "]", 1);
}

void profile_json(const Profile *profile, Bytes *out) {
    bytes_format(out,
        "{\"fingerprint\":\"%s\",\"events\":%lld,\"users\":%lld,\"items\":%lld,\"first\":%.17g,"
        "\"last\":%.17g,\"days\":[",
        profile->fingerprint, (long long)profile->events, (long long)profile->users,
        (long long)profile->items, profile->first, profile->last);
    for (int d = 0; d < profile->n_days; d++) {
        bytes_append(out, d ? ",[" : "[", d ? 2 : 1);
        for (int i = 0; i < N_DAY_NUMBERS; i++) {
            if (i) bytes_append(out, ",", 1);
            number_json(profile->day[d].number[i], out);
        }
        bytes_append(out, "]", 1);
    }
    bytes_append(out, "]", 1);
    numbers_json("bins", profile->bin, PROFILE_BINS, out);
    numbers_json("weights", profile->weight, PROFILE_QUANTILES, out);
    numbers_json("scores", profile->score, profile->n_lists, out);
    bytes_format(
        out, ",\"coverage\":%.9g,\"popularity\":%.9g}", profile->coverage, profile->popularity);
}

/* An array of at most `most` numbers, null as NaN; returns how many, -1: it is none. */
static int take_numbers(json_t *array, double *out, int most) {
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > (size_t)most) return -1;
    for (size_t i = 0; i < n; i++) {
        json_t *value = json_array_get(array, i);
        if (!json_is_number(value) && !json_is_null(value)) return -1;
        out[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    return (int)n;
}

static int take_days(json_t *days, Profile *out) {
    size_t n = json_array_size(days);
    if (!json_is_array(days) || n > PROFILE_DAYS) return 0;
    for (size_t d = 0; d < n; d++)
        if (take_numbers(json_array_get(days, d), out->day[d].number, N_DAY_NUMBERS) !=
            N_DAY_NUMBERS)
            return 0;
    out->n_days = (int)n;
    return 1;
}

static int take_profile(json_t *root, Profile *out) {
    const char *fingerprint = json_string_value(json_object_get(root, "fingerprint"));
    if (!fingerprint || strlen(fingerprint) != 32) return 0;
    memcpy(out->fingerprint, fingerprint, 33);
    out->events = json_integer_value(json_object_get(root, "events"));
    out->users = json_integer_value(json_object_get(root, "users"));
    out->items = json_integer_value(json_object_get(root, "items"));
    out->first = json_number_value(json_object_get(root, "first"));
    out->last = json_number_value(json_object_get(root, "last"));
    out->coverage = json_number_value(json_object_get(root, "coverage"));
    out->popularity = json_number_value(json_object_get(root, "popularity"));
    out->n_lists = take_numbers(json_object_get(root, "scores"), out->score, PROFILE_LISTS);
    return out->n_lists >= 0 && take_days(json_object_get(root, "days"), out) &&
        take_numbers(json_object_get(root, "bins"), out->bin, PROFILE_BINS) == PROFILE_BINS &&
        take_numbers(json_object_get(root, "weights"), out->weight, PROFILE_QUANTILES) ==
        PROFILE_QUANTILES;
}

Status profile_parse(const char *json, Profile *out, Err *err) {
    json_error_t json_error;
    json_t *root = json ? json_loads(json, 0, &json_error) : NULL;
    memset(out, 0, sizeof *out);
    int is_whole = take_profile(root, out);
    json_decref(root);
    return is_whole ? ST_OK : fail(err, ST_CORRUPT, "what the version was trained on is malformed");
}
