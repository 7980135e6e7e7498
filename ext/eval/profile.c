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

/* Days in the order of time: PROFILE_LOOK that are only looked back at, then the n that count. */
enum { SLOTS = PROFILE_LOOK + PROFILE_DAYS };
typedef struct Days {
    double start; /* of the days that count; an event at the very start is of the day before */
    int n, forward;
} Days;

/* -1: no day of them. */
static int slot_of(const Days *days, double time) {
    double slot = ceil((time - days->start) / DAY) - 1 + PROFILE_LOOK;
    return slot >= 0 && slot < PROFILE_LOOK + days->n ? (int)slot : -1;
}

/* Profiles count back from the newest day, or forward. */
static int slot_of_day(const Days *days, int day) {
    return PROFILE_LOOK + (days->forward ? day : days->n - 1 - day);
}

/* The scratch of the passes. */
typedef struct Counting {
    const ProfileEvents *events;
    Days days;
    int64_t start[SLOTS + 1];
    int64_t *order;                 /* the events of the slots, one after the other */
    int16_t *user_last, *item_last; /* the slot where each was seen last so far */
    uint16_t *active;               /* per user: her events of a day, saturating */
    uint8_t *bin;                   /* per item */
    double *weight;                 /* of the events that count */
    double new_users[SLOTS], new_items[SLOTS], bins[SLOTS][PROFILE_BINS];
} Counting;
enum { NEVER = -PROFILE_LOOK - 1 }; /* farther from any slot than what is looked back at */

static void counting_clear(Counting *counting) {
    mem_free(counting->order);
    mem_free(counting->user_last);
    mem_free(counting->item_last);
    mem_free(counting->active);
    mem_free(counting->bin);
    mem_free(counting->weight);
}

/* Where each slot's events will be in the order. */
static int64_t count_slots(Counting *counting) {
    for (int64_t i = 0; i < counting->events->n; i++) {
        int slot = slot_of(&counting->days, counting->events->event[i].time);
        if (slot >= 0) counting->start[slot + 1]++;
    }
    for (int s = 0; s < SLOTS; s++) counting->start[s + 1] += counting->start[s];
    return counting->start[SLOTS];
}

static void order_events(Counting *counting) {
    int64_t next[SLOTS];
    memcpy(next, counting->start, sizeof next);
    for (int64_t i = 0; i < counting->events->n; i++) {
        int slot = slot_of(&counting->days, counting->events->event[i].time);
        if (slot >= 0) counting->order[next[slot]++] = i;
    }
}

static Status counting_init(Counting *counting, Err *err) {
    const ProfileEvents *events = counting->events;
    size_t users = (size_t)keymap_count(events->users), items = (size_t)keymap_count(events->items),
           n = (size_t)count_slots(counting);
    counting->order = mem_array(n, sizeof *counting->order);
    counting->user_last = mem_array(users, sizeof *counting->user_last);
    counting->item_last = mem_array(items, sizeof *counting->item_last);
    counting->active = mem_zeros(users, sizeof *counting->active);
    counting->bin = mem_array(items, 1);
    counting->weight = mem_array(n, sizeof *counting->weight);
    if (!counting->order || !counting->user_last || !counting->item_last || !counting->active ||
        !counting->bin || !counting->weight)
        return fail_nomem(err, "the days");
    for (size_t u = 0; u < users; u++) counting->user_last[u] = NEVER;
    for (size_t i = 0; i < items; i++) {
        uint64_t hash;
        if (!key_bucket_hash(keymap_key(events->items, (int32_t)i), 3, &hash))
            return fail_nomem(err, "the days");
        counting->item_last[i] = NEVER;
        counting->bin[i] = (uint8_t)(hash % PROFILE_BINS);
    }
    order_events(counting);
    return ST_OK;
}

static const Event *event_at(const Counting *counting, int64_t place) {
    return &counting->events->event[counting->order[place]];
}

/* Slot after slot: whose users and items were not seen in the days before. */
static void count_new(Counting *counting) {
    for (int16_t slot = 0; slot < PROFILE_LOOK + counting->days.n; slot++) {
        int64_t from = counting->start[slot], to = counting->start[slot + 1];
        for (int64_t i = from; i < to; i++) {
            const Event *event = event_at(counting, i);
            counting->new_users[slot] += slot - counting->user_last[event->user] > PROFILE_LOOK;
            counting->new_items[slot] += slot - counting->item_last[event->item] > PROFILE_LOOK;
        }
        for (int64_t i = from; i < to; i++) {
            counting->user_last[event_at(counting, i)->user] = slot;
            counting->item_last[event_at(counting, i)->item] = slot;
        }
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

/* Mean over the slot's users of log(events). */
static double activity_of(Counting *counting, int slot) {
    int64_t from = counting->start[slot], to = counting->start[slot + 1];
    double users = 0, sum = 0;
    for (int64_t i = from; i < to; i++) {
        uint16_t *active = &counting->active[event_at(counting, i)->user];
        *active = (uint16_t)(*active + (*active < UINT16_MAX));
    }
    for (int64_t i = from; i < to; i++) {
        uint16_t *active = &counting->active[event_at(counting, i)->user];
        if (!*active) continue;
        users++;
        sum += log(*active);
        *active = 0;
    }
    return users > 0 ? sum / users : NAN;
}

/* All but DAY_ITEMS, and the bins. first: time of the first event of all. */
static void count_day(Counting *counting, int slot, double first, double *number) {
    int64_t from = counting->start[slot], to = counting->start[slot + 1];
    double n = (double)(to - from), weight = 0;
    /* what was not seen before must have had the time to be seen */
    double looked = counting->days.start + (slot - 2 * PROFILE_LOOK) * DAY;
    for (int64_t i = from; i < to; i++) {
        const Event *event = event_at(counting, i);
        weight += asinh(event->weight);
        counting->bins[slot][counting->bin[event->item]]++;
    }
    number[DAY_EVENTS] = log1p(n);
    number[DAY_ACTIVITY] = activity_of(counting, slot);
    number[DAY_WEIGHT] = n > 0 ? weight / n : NAN;
    number[DAY_NEW_USERS] = n > 0 && first <= looked ? counting->new_users[slot] / n : NAN;
    number[DAY_NEW_ITEMS] = n > 0 && first <= looked ? counting->new_items[slot] / n : NAN;
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
    int64_t n = 0, from = counting->start[PROFILE_LOOK], to = counting->start[SLOTS];
    out->n_days = counting->days.n;
    count_new(counting);
    for (int d = 0; d < out->n_days; d++) {
        int slot = slot_of_day(&counting->days, d);
        count_day(counting, slot, out->first, out->day[d].number);
        for (int b = 0; b < PROFILE_BINS; b++) out->bin[b] += counting->bins[slot][b];
    }
    for (int d = 0; d < out->n_days; d++) {
        const double *own = counting->bins[slot_of_day(&counting->days, d)];
        double others[PROFILE_BINS];
        for (int b = 0; b < PROFILE_BINS; b++)
            others[b] = since ? since->reference->bin[b] : out->bin[b] - own[b];
        out->day[d].number[DAY_ITEMS] = profile_distance(own, others);
    }
    for (int64_t i = from; i < to; i++) counting->weight[n++] = event_at(counting, i)->weight;
    quantiles_of(counting->weight, n, out->weight);
}

/* The last days: back from the newest event, or of those that have passed since the reference. */
static Days days_of(Profile *profile, const ProfileSince *since) {
    double begin = since ? since->reference->last : profile->first,
           end = since ? since->now : profile->last;
    double whole = fmin(fmax(floor((end - begin) / DAY), 0), 1e9);
    Days days = {.n = (int)fmin(whole, PROFILE_DAYS), .forward = since != NULL};
    profile->skipped = since ? (int)whole - days.n : 0;
    days.start = since ? begin + profile->skipped * DAY : end - days.n * DAY;
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
    if (status == ST_OK) { finish_days(counting, since, out); }
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

Status list_profile_add(
    ListProfile *lists, Profile *out, const History *history, int covers, Err *err) {
    const Model *model = lists->model;
    Ranked row[PROFILE_LENGTH];
    size_t n;
    if (out->n_lists == PROFILE_LISTS) return ST_OK;
    bits_fill(lists->allowed, model->n_items);
    for (int64_t i = 0; i < history->n; i++) bits_remove(lists->allowed, history->item[i]);
    TRY(model_query_history(lists->query, history, err));
    TRY(model_query_rank(
        lists->query, lists->allowed, model->n_items - history->n, PROFILE_LENGTH, row, &n, err));
    lists->query->history = (History){0};
    out->score[out->n_lists++] = n ? row[0].score : 0;
    for (size_t i = 0; i < n; i++) {
        lists->popularity += log2(1 + (double)model->popularity[row[i].item]);
        if (!covers) continue;
        lists->distinct += !lists->listed[row[i].item];
        lists->listed[row[i].item] = 1;
    }
    lists->rows += (int64_t)n;
    lists->covered += covers ? (int64_t)n : 0;
    return ST_OK;
}

void list_profile_end(ListProfile *lists, Profile *out) {
    qsort(out->score, (size_t)out->n_lists, sizeof *out->score, compare_numbers);
    if (lists->rows) { out->popularity = lists->popularity / (double)lists->rows; }
    if (lists->covered) out->coverage = (double)lists->distinct / (double)lists->covered;
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
