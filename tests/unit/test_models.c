/* The conformance suite that every recommender passes, as the registry lists them. */
#include <stdio.h>
#include <stdlib.h>

#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "../../ext/eval/choice.h"
#include "../../ext/models/model.h"
#include "check.h"

enum { USERS = 80, ITEMS = 60 };

/* Users of two tastes: even users like even items, odd users odd ones, with some noise. */
static Status make_data(Dataset *data, int users, int items, Err *err) {
    Random random;
    random_init(&random, 4, 0);
    TRY(dataset_init(data, err));
    for (int u = 0; u < users; u++)
        for (int n = 0; n < 9; n++) {
            int64_t item = (int64_t)random_below(&random, (uint64_t)items / 2) * 2 +
                (random_below(&random, 10) ? u % 2 : 1 - u % 2);
            TRY(dataset_add(data, (Key){.integer = u}, (Key){.integer = item},
                1 + (double)random_below(&random, 3), (double)n * 86400, err));
        }
    return ST_OK;
}

/* A text for every item: even ones are of wood, odd ones of iron. */
static Status make_texts(Dataset *data, Err *err) {
    data->item_text = mem_zeros((size_t)data->by_user.n_cols, sizeof *data->item_text);
    if (!data->item_text) return fail_nomem(err, "texts");
    for (int32_t i = 0; i < data->by_user.n_cols; i++) {
        char text[40];
        int n = snprintf(text, sizeof text, "%s thing %d",
            keymap_key(data->items, i).integer % 2 ? "iron" : "wood", (int)(i % 7));
        data->item_text[i] = mem_text(text, (size_t)n);
        if (!data->item_text[i]) return fail_nomem(err, "texts");
    }
    return ST_OK;
}

static Status train(
    Model **out, const Algorithm *algorithm, int threads, int users, Task *task, Err *err) {
    Dataset data = {0};
    CommonParams common;
    AlgorithmParams params;
    *out = NULL;
    options_default(model_common_options, &common);
    options_default(algorithm->options, &params);
    common.threads = threads;
    common.half_life = 30;
    DatasetRules rules = model_rules(algorithm, &common, &params);
    Status status = make_data(&data, users, ITEMS, err);
    if (status == ST_OK) status = dataset_finish(&data, &rules, task, err);
    if (status == ST_OK && algorithm->wants_items) status = make_texts(&data, err);
    if (status == ST_OK)
        status = model_train(out, algorithm, &common, &params, NULL, &data, task, err);
    dataset_clear(&data);
    return status;
}

static Model *trained(const Algorithm *algorithm, int threads) {
    Model *model;
    Task task = {0};
    Err err = {0};
    CHECK(train(&model, algorithm, threads, USERS, &task, &err) == ST_OK);
    return model;
}

static void top(const Model *model, const History *history, Ranked *out, size_t *n, size_t k) {
    ModelQuery *query;
    CHECK(model_query_new(&query, model, NULL) == ST_OK);
    CHECK(model_query_history(query, history, NULL) == ST_OK);
    CHECK(model_query_rank(query, NULL, 0, k, out, n, NULL) == ST_OK);
    model_query_free(query);
}

#define EACH_ALGORITHM(algorithm) \
    for (size_t at = 0; algorithm_registry[at]; at++) \
        for (const Algorithm *algorithm = algorithm_registry[at]; algorithm; algorithm = NULL)

TEST(models_learn_the_two_tastes) {
    EACH_ALGORITHM(algorithm) {
        int32_t item[] = {0, 4, 10, 20};
        float weight[] = {1, 1, 1, 1};
        History history = {.item = item, .weight = weight, .n = 4};
        Ranked list[10];
        size_t n, even = 0;
        Model *model = trained(algorithm, 1);
        top(model, &history, list, &n, 10);
        CHECK(n == 10);
        for (size_t i = 0; i < n; i++)
            even += keymap_key(model->items, list[i].item).integer % 2 == 0;
        CHECK(algorithm->impersonal || algorithm->own_items || algorithm->rates || even >= 9);
        model_free(model);
    }
}

TEST(models_have_the_same_bits_on_any_number_of_threads) {
    EACH_ALGORITHM(algorithm) {
        Bytes first = {0};
        for (int threads = 1; threads <= 4; threads++) {
            Bytes stored = {0};
            char sha256[SHA256_TEXT];
            Model *model = trained(algorithm, threads);
            model->trained_seconds = 0;
            for (int64_t i = 0; i < model->n_steps; i++) model->step[i].seconds = 0;
            CHECK(model_write(model, &stored, sha256, NULL) == ST_OK);
            if (threads == 1) bytes_append(&first, stored.data, stored.len);
            CHECK(stored.len == first.len && memcmp(stored.data, first.data, stored.len) == 0);
            bytes_clear(&stored);
            model_free(model);
        }
        bytes_clear(&first);
    }
}

TEST(models_answer_the_same_after_storage) {
    EACH_ALGORITHM(algorithm) {
        int32_t item[] = {3, 5};
        float weight[] = {2, 1};
        History history = {.item = item, .weight = weight, .n = 2};
        Ranked before[ITEMS], after[ITEMS];
        size_t n_before, n_after;
        Bytes stored = {0};
        char sha256[SHA256_TEXT];
        Model *model = trained(algorithm, 2), *back;
        CHECK(model_write(model, &stored, sha256, NULL) == ST_OK);
        CHECK(model_read(&back, stored.data, stored.len, NULL) == ST_OK);
        if (!back) continue;
        CHECK_TEXT(back->sha256, sha256);
        top(model, &history, before, &n_before, ITEMS);
        top(back, &history, after, &n_after, ITEMS);
        CHECK(n_before == n_after);
        for (size_t i = 0; i < n_before && i < n_after; i++) {
            CHECK(
                before[i].item == after[i].item && before[i].from_popular == after[i].from_popular);
            CHECK_NEAR(before[i].score, after[i].score, 0);
        }
        bytes_clear(&stored);
        model_free(model);
        model_free(back);
    }
}

TEST(models_parts_of_a_score_add_up_to_it) {
    EACH_ALGORITHM(algorithm) {
        if (!algorithm->contributions) continue;
        int32_t item[] = {1, 7, 9};
        float weight[] = {1, 3, 2};
        History history = {.item = item, .weight = weight, .n = 3};
        ModelQuery *query;
        Model *model = trained(algorithm, 1);
        CHECK(model_query_new(&query, model, NULL) == ST_OK &&
            model_query_history(query, &history, NULL) == ST_OK);
        for (int32_t i = 0; i < model->n_items; i++) {
            double part[3], score = algorithm_score(query, i);
            CHECK(algorithm->contributions(query, i, part, NULL) == ST_OK);
            CHECK(fabs(part[0] + part[1] + part[2] - score) <= 1e-4 * fmax(fabs(score), 0.1));
        }
        model_query_free(query);
        model_free(model);
    }
}

TEST(models_of_nobody_answer_nothing) {
    EACH_ALGORITHM(algorithm) {
        Model *model;
        Task task = {0};
        Ranked list[5];
        size_t n = 9;
        CHECK(train(&model, algorithm, 2, 0, &task, NULL) == ST_OK);
        CHECK(model->n_items == 0);
        top(model, &(History){0}, list, &n, 5);
        CHECK(n == 0);
        model_free(model);
    }
}

static int cancel_at_second_poll(void *host) { return ++*(int *)host >= 2; }

TEST(models_training_can_be_cancelled) {
    EACH_ALGORITHM(algorithm) {
        int polls = 0;
        Model *model;
        Task task = {.poll = cancel_at_second_poll, .host = &polls};
        Status status = train(&model, algorithm, 2, USERS, &task, NULL);
        /* the first poll is the sorting of the events; popular and repeat are through before a
         * second */
        CHECK(status == ST_CANCELLED ||
            ((algorithm->impersonal || algorithm->own_items) && status == ST_OK));
        CHECK((model == NULL) == (status != ST_OK));
        model_free(model);
    }
}

/* Train, store, read back, ask. */
static Status whole_life(const Algorithm *algorithm, Err *err) {
    int32_t item[] = {1, 2};
    float weight[] = {1, 1};
    Bytes stored = {0};
    char sha256[SHA256_TEXT];
    Model *model = NULL, *back = NULL;
    ModelQuery *query = NULL;
    Ranked list[ITEMS];
    size_t n;
    Task task = {0};
    Status status = train(&model, algorithm, 1, 12, &task, err);
    if (status == ST_OK) status = model_write(model, &stored, sha256, err);
    if (status == ST_OK) status = model_read(&back, stored.data, stored.len, err);
    if (status == ST_OK) status = model_query_new(&query, back, err);
    if (status == ST_OK)
        status = model_query_history(
            query, &(History){.item = item, .weight = weight, .n = 2}, err);
    if (status == ST_OK) status = model_query_rank(query, NULL, 0, ITEMS, list, &n, err);
    model_query_free(query);
    model_free(back);
    model_free(model);
    bytes_clear(&stored);
    return status;
}

TEST(models_survive_the_failure_of_every_allocation) {
    EACH_ALGORITHM(algorithm) {
        for (int sticky = 0; sticky < 2; sticky++) {
            int64_t n = 1, refused = 0;
            Status status = ST_NOMEM;
            for (; status != ST_OK && n < 5000; n++) {
                int64_t before = mem_live();
                mem_fail_at(n, sticky);
                status = whole_life(algorithm, NULL);
                mem_fail_at(0, 0);
                CHECK(status == ST_OK || status == ST_NOMEM);
                CHECK(mem_live() == before);
                refused += status == ST_NOMEM;
            }
            CHECK(status == ST_OK && refused > 20);
        }
    }
}

TEST(two_users_prove_nothing_however_alike_they_are) {
    const double a[] = {.1, .3, .2, .1, .3, .2, .1, .3, .2, .1},
                 b[] = {.2, .4, .3, .2, .4, .3, .2, .4, .3, .2};
    PairedTest two = paired_test(a, b, 2), three = paired_test(a, b, 3),
               ten = paired_test(a, b, 10);
    CHECK(two.p >= .25 && three.p >= .125 && !is_beyond_chance(&two, 1) &&
        !is_beyond_chance(&three, 1));
    CHECK(ten.p >= 0x1p-10 && ten.p < .001 && is_beyond_chance(&ten, 1) &&
        !is_beyond_chance(&ten, 1000));
    PairedTest none = paired_test(a, a, 10), worse = paired_test(b, a, 10);
    CHECK(none.p == 1 && worse.p > .5);
}
