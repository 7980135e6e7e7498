#include <stdint.h>
#include <stdlib.h>

#include "../../ext/base/bytes.h"
#include "../../ext/base/date.h"
#include "../../ext/base/keymap.h"
#include "../../ext/base/memory.h"
#include "../../ext/base/options.h"
#include "../../ext/base/random.h"
#include "../../ext/base/task.h"
#include "../../ext/base/topk.h"
#include "check.h"

TEST(topk_keeps_the_best_and_the_lowest_id_on_ties) {
    TopK top = {0};
    CHECK(topk_init(&top, 3, NULL) == ST_OK);
    topk_push(&top, 1, 9);
    topk_push(&top, 2, 8);
    topk_push(&top, 2, 3);
    topk_push(&top, 2, 5);
    topk_push(&top, 0, 1);
    topk_sort(&top);
    CHECK(top.len == 3);
    CHECK(top.item[0].id == 3 && top.item[1].id == 5 && top.item[2].id == 8);
    topk_clear(&top);
}

TEST(topk_of_zero_takes_nothing) {
    TopK top = {0};
    CHECK(topk_init(&top, 0, NULL) == ST_OK);
    topk_push(&top, 1, 1);
    CHECK(top.len == 0);
    topk_clear(&top);
}

static int descending(const void *a, const void *b) {
    return scored_before(*(const Scored *)a, *(const Scored *)b) ? -1 : 1;
}

TEST(topk_equals_a_full_sort_on_random_streams_with_ties) {
    Random random;
    random_init(&random, 7, 0);
    for (int round = 0; round < 200; round++) {
        Scored all[100];
        TopK top = {0};
        size_t k = (size_t)random_below(&random, 100);
        CHECK(topk_init(&top, k, NULL) == ST_OK);
        for (int i = 0; i < 100; i++) {
            all[i] = (Scored){(double)random_below(&random, 10), (int64_t)((i * 37) % 100)};
            topk_push(&top, all[i].score, all[i].id);
        }
        qsort(all, 100, sizeof *all, descending);
        topk_sort(&top);
        for (size_t i = 0; i < k; i++) CHECK(top.item[i].id == all[i].id);
        topk_clear(&top);
    }
}

static Key text_key(const char *text) { return (Key){.text = text, .len = strlen(text)}; }

TEST(keymap_gives_ids_in_key_order_after_sorting) {
    KeyMap *map = keymap_new();
    int32_t id, *new_id;
    Key keys[] = {text_key("b"), {.integer = 10}, text_key("a"), {.integer = -3}, text_key("ab")};
    for (int i = 0; i < 5; i++) CHECK(keymap_add(map, keys[i], &id, NULL) == ST_OK && id == i);
    CHECK(keymap_sort(map, &new_id, NULL) == ST_OK);
    int32_t expected[] = {4, 1, 2, 0, 3}; /* -3, 10, a, ab, b */
    for (int i = 0; i < 5; i++)
        CHECK(new_id[i] == expected[i] && keymap_find(map, keys[i]) == expected[i]);
    CHECK(keymap_find(map, text_key("c")) == -1);
    CHECK(keymap_find(map, (Key){.integer = 11}) == -1);
    mem_free(new_id);
    keymap_free(map);
}

TEST(keymap_survives_storage_and_refuses_disorder) {
    KeyMap *map = keymap_new(), *back;
    int32_t id, *new_id;
    Bytes out = {0};
    for (int i = 0; i < 1000; i++) keymap_add(map, (Key){.integer = (i * 7919) % 1000}, &id, NULL);
    keymap_sort(map, &new_id, NULL);
    keymap_write(map, &out);
    Reader in = reader_of(out.data, out.len);
    CHECK(keymap_read(&in, &back, NULL) == ST_OK);
    CHECK(keymap_count(back) == 1000 && keymap_find(back, (Key){.integer = 999}) == 999);
    keymap_free(back);
    /* the first key is now -1: still in order; make it the largest instead */
    memset(out.data + 5, 0xff, 8);
    out.data[12] = 0x7f;
    in = reader_of(out.data, out.len);
    CHECK(keymap_read(&in, &back, NULL) == ST_CORRUPT);
    in = reader_of(out.data, out.len - 3);
    CHECK(keymap_read(&in, &back, NULL) == ST_CORRUPT);
    bytes_clear(&out);
    mem_free(new_id);
    keymap_free(map);
}

TEST(reader_refuses_what_is_not_there) {
    uint8_t data[] = {255, 255, 255, 255, 1};
    size_t len;
    Reader in = reader_of(data, sizeof data);
    CHECK(read_text(&in, &len) == NULL && in.failed);
    in = reader_of(data, sizeof data);
    CHECK(read_block(&in, UINT64_MAX / 2, 8) == NULL && in.failed);
}

TEST(sha256_matches_the_standards_example) {
    uint8_t digest[32];
    char hex[65];
    bytes_sha256("abc", 3, digest);
    bytes_hex(digest, 32, hex);
    /* FIPS 180-4 */
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

typedef struct Params {
    int64_t factors;
    double reg;
    int64_t flag;
    int64_t word;
} Params;

static const OptSpec specs[] = {
    {"factors", OPT_INT, offsetof(Params, factors), 1, 4096, 64, NULL, ""},
    {"reg", OPT_REAL, offsetof(Params, reg), 0, 10, 0.5, NULL, ""},
    {"flag", OPT_FLAG, offsetof(Params, flag), 0, 0, 1, NULL, ""},
    {"word", OPT_CHOICE, offsetof(Params, word), 0, 0, 1, "one|two|three", ""},
    {0},
};

static void expect_error(const char *json, const char *text) {
    Params params;
    Err err = {0};
    OptTarget target = {specs, &params};
    options_default(specs, &params);
    CHECK(options_set_json(&target, 1, json, &err) == ST_BADARG);
    CHECK_TEXT(err.text, text);
}

TEST(options_are_set_from_json) {
    Params params;
    OptTarget target = {specs, &params};
    options_default(specs, &params);
    CHECK(params.factors == 64 && params.flag == 1 && params.word == 1);
    CHECK(options_set_json(&target, 1,
              "{\"factors\":8,\"reg\":1.5,\"flag\":false,\"word\":\"three\"}", NULL) == ST_OK);
    CHECK(params.factors == 8 && params.flag == 0 && params.word == 2);
    CHECK_NEAR(params.reg, 1.5, 0);
}

TEST(options_name_what_is_wrong_and_what_is_allowed) {
    expect_error("{\"factors\":0}", "factors=0 (1..4096)");
    expect_error("{\"factors\":1.5}", "factors=1.5 (1..4096)");
    expect_error("{\"reg\":\"nan\"}", "reg=nan (0..10)");
    expect_error("{\"flag\":2}", "flag=2 (true|false)");
    expect_error("{\"word\":\"tw\"}", "word=tw (one|two|three)");
    expect_error("{\"factor\":1}", "unknown option 'factor' (allowed: factors, reg, flag, word)");
    expect_error("[1]", "options: not an object (a JSON object such as {\"name\": value})");
}

TEST(options_given_twice_are_an_error) {
    Params params;
    Err err = {0};
    OptTarget target = {specs, &params};
    CHECK(options_set_json(&target, 1, "{\"reg\":1,\"reg\":2}", &err) == ST_BADARG);
    CHECK(strstr(err.text, "duplicate") != NULL);
}

TEST(random_streams_are_reproducible_and_differ) {
    Random a, b, c;
    random_init(&a, 1, 0);
    random_init(&b, 1, 0);
    random_init(&c, 1, 1);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = random_u64(&a);
        CHECK(x == random_u64(&b));
        same += x == random_u64(&c);
    }
    CHECK(same == 0);
}

TEST(random_normal_has_mean_0_and_variance_1) {
    Random random;
    double sum = 0, squares = 0;
    random_init(&random, 3, 0);
    for (int i = 0; i < 200000; i++) {
        double x = random_normal(&random);
        sum += x;
        squares += x * x;
    }
    CHECK(fabs(sum / 200000) < 0.01 && fabs(squares / 200000 - 1) < 0.02);
}

static void square(void *context, int64_t piece, int worker) {
    (void)worker;
    ((int64_t *)context)[piece] = piece * piece;
}

TEST(task_runs_every_piece_once_on_any_number_of_threads) {
    for (int threads = 1; threads <= 4; threads++) {
        int64_t result[1000] = {0};
        Task task = {.threads = threads};
        CHECK(task_run(&task, 1000, square, result, NULL) == ST_OK);
        for (int64_t i = 0; i < 1000; i++) CHECK(result[i] == i * i);
    }
}

static int always_cancel(void *host) {
    ++*(int *)host;
    return 1;
}

static void spin(void *context, int64_t piece, int worker) {
    volatile double x = 0;
    (void)context, (void)piece, (void)worker;
    for (int i = 0; i < 200000; i++) x += i;
}

TEST(task_stops_soon_when_the_host_cancels) {
    int polls = 0;
    Task task = {.threads = 2, .poll = always_cancel, .host = &polls};
    CHECK(task_run(&task, 1000000, spin, NULL, NULL) == ST_CANCELLED);
    CHECK(polls == 1 && atomic_load(&task.done) < 1000000);
}

TEST(allocations_fail_on_demand_and_overflow_is_refused) {
    CHECK(mem_array(SIZE_MAX, 2) == NULL);
    mem_fail_at(2, 0);
    void *first = mem_array(1, 1), *second = mem_array(1, 1), *third = mem_array(1, 1);
    mem_fail_at(0, 0);
    CHECK(first && !second && third);
    mem_free(first);
    mem_free(third);
}

TEST(error_texts_are_utf8_whatever_they_quote) {
    Err err;
    fail(&err, ST_BADARG, "name '%s' and '%s'", "\xf0\x9f", "caf\xc3\xa9 \xff");
    CHECK_TEXT(err.text, "name '?\?' and 'caf\xc3\xa9 ?'");
}

static double parsed(const char *text) {
    double seconds;
    return date_parse(text, strlen(text), &seconds) ? seconds : NAN;
}

/* Expected values: calendar.timegm of Python. */
TEST(date_texts_are_unix_seconds_with_their_fraction) {
    CHECK(parsed("1970-01-01") == 0);
    CHECK(parsed("2024-02-29") == 1709164800);
    CHECK(parsed("2000-02-29 23:59:59") == 951868799);
    CHECK(parsed("1900-03-01") == -2203891200.0);
    CHECK(parsed("0000-01-01") == -62167219200.0);
    CHECK(parsed("9999-12-31T23:59:59Z") == 253402300799.0);
    CHECK(parsed("2024-01-01 10:00:00.100") == 1704103200.1);
    CHECK(parsed("2024-01-01 10:00:00.123456789") == 1704103200.123456789);
    CHECK(parsed(" 2024-01-01 10:00 ") == 1704103200);
    CHECK(parsed("2024-01-01T12:30:00+02:30") == 1704103200);
    CHECK(parsed("2024-01-01 05:00:00 -05:00") == 1704103200);
    CHECK(parsed("2024-01-01 24:00:00") == 1704153600);
}

TEST(what_is_no_date_is_refused) {
    static const char *const bad[] = {"", "now", "2023", "10:00", "31/12/2024", "2024-13-01",
        "2024-02-30", "2023-02-29", "2024-1-1", "2024-01-01x", "2024-01-01T", "2024-01-01 25:00",
        "2024-01-01 10:60", "2024-01-01 10:00:60", "2024-01-01 24:00:01", "2024-01-01 24:00:00.5",
        "2024-01-01 10:00:00.", "-0500", "Europe/Berlin", "2024-01-01 10:00 UTC",
        "2024-01-01 10:00+2", "20240101", "1704103200", "2024-01-01 10",
        "2024-01-01 10:00:00 +02:00x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(isnan(parsed(bad[i])));
}

TEST(numbers_that_cannot_be_seconds_are_told_apart) {
    CHECK(strcmp(date_looks_like(1704103200100.0), "milliseconds") == 0);
    CHECK(strcmp(date_looks_like(1704103200100000.0), "microseconds") == 0);
    CHECK(strcmp(date_looks_like(1704103200100000000.0), "nanoseconds") == 0);
    CHECK(strcmp(date_looks_like(20240131235959.0), "yyyymmddhhmmss") == 0);
    CHECK(date_looks_like(1e300) == NULL);
    CHECK(!date_is_possible(NAN) && !date_is_possible(1704103200100.0) && date_is_possible(-1e9));
    CHECK(date_from_number(19723, TIME_DAYS) == 1704067200 &&
        date_from_number(2460310.5, TIME_JULIAN) == 1704067200);
    TimeSpan span = {0};
    CHECK(time_span_suspect(&span, 1) == NULL);
    time_span_add(&span, 20240131);
    time_span_add(&span, 20231231);
    CHECK(strcmp(time_span_suspect(&span, 0), "yyyymmdd") == 0);
    time_span_add(&span, 20231232);
    CHECK(time_span_suspect(&span, 1) == NULL);
    TimeSpan days = {0}, julian = {0}, seconds = {0};
    time_span_add(&days, 19723);
    time_span_add(&julian, 2460310.5);
    time_span_add(&seconds, 1704103200);
    CHECK(strcmp(time_span_suspect(&days, 1), "days") == 0 && time_span_suspect(&days, 0) == NULL);
    CHECK(strcmp(time_span_suspect(&julian, 1), "julian") == 0);
    CHECK(time_span_suspect(&seconds, 1) == NULL);
}

TEST(an_empty_text_and_the_integer_0_are_two_keys_in_every_order) {
    for (int order = 0; order < 2; order++) {
        KeyMap *map = keymap_new();
        Bytes stored = {0};
        int32_t id, *new_id = NULL;
        Key empty = {.text = "", .len = 0}, zero = {0};
        CHECK(keymap_add(map, order ? zero : empty, &id, NULL) == ST_OK &&
            keymap_add(map, order ? empty : zero, &id, NULL) == ST_OK);
        CHECK(keymap_count(map) == 2);
        CHECK(keymap_sort(map, &new_id, NULL) == ST_OK);
        keymap_write(map, &stored);
        KeyMap *again = NULL;
        Reader in = reader_of(stored.data, stored.len);
        CHECK(keymap_read(&in, &again, NULL) == ST_OK && keymap_count(again) == 2 &&
            keymap_key(again, 1).text && keymap_key(again, 1).len == 0);
        keymap_free(again);
        keymap_free(map);
        mem_free(new_id);
        bytes_clear(&stored);
    }
}
