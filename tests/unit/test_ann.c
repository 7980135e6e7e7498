#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../ext/ann/ann.h"
#include "../../ext/ann/codes.h"
#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "check.h"

/* n x dim normal rows; if asked for, with skewed norms, planted duplicates and zero rows. */
static void make(AnnVectors *v, int64_t n, int32_t dim, AnnMetric metric, int ties) {
    Random random;
    CHECK(ann_vectors_alloc(v, n, dim, metric, NULL) == ST_OK);
    for (int64_t i = 0; i < n; i++) {
        /* some rows repeat earlier ones */
        random_init(&random, 21, (uint64_t)(ties && i % 97 == 5 ? i / 97 : i));
        double scale = !ties ? 1 : i % 50 == 0 ? 0 : 1 / (1 + 0.01 * (double)(i % 300));
        for (int32_t j = 0; j < dim; j++)
            v->row[i * dim + j] = (float)(scale * random_normal(&random));
    }
    ann_vectors_finish(v);
}

static void same_answer(const AnnIndex *index, const AnnSearch *search) {
    TopK found = {0}, expected = {0};
    CHECK(topk_init(&found, search->k, NULL) == ST_OK &&
        topk_init(&expected, search->k, NULL) == ST_OK);
    CHECK(index->engine->search(index, search, &found, 1, NULL) == ST_OK);
    CHECK(ann_scan(index->vectors, search, &expected, NULL) == ST_OK);
    topk_sort(&found);
    topk_sort(&expected);
    CHECK(found.len == expected.len);
    for (size_t i = 0; i < found.len && i < expected.len; i++) {
        CHECK(found.item[i].id == expected.item[i].id);
        CHECK_NEAR(found.item[i].score, expected.item[i].score, 0);
    }
    topk_clear(&found);
    topk_clear(&expected);
}

TEST(exact_engine_equals_the_full_scan) {
    for (int metric = ANN_IP; metric <= ANN_COSINE; metric++)
        for (int32_t dim = 1; dim <= 70; dim += 23) {
            AnnVectors v;
            make(&v, 1003, dim, (AnnMetric)metric, 1);
            AnnIndex index = {.engine = &ann_exact_engine, .vectors = &v, .factory = "exact"};
            CHECK(index.engine->build(&index, NULL, NULL) == ST_OK);
            uint64_t allowed[16] = {0};
            int64_t n_allowed = 0;
            for (int64_t i = 0; i < 1003; i += 3, n_allowed++)
                allowed[i >> 6] |= (uint64_t)1 << (i & 63);
            for (int64_t q = 0; q < 40; q++) {
                AnnSearch search = {.query = ann_row(&v, q * 7),
                    .k = (size_t)(q % 30) * 40,
                    .min_score = -INFINITY};
                same_answer(&index, &search);
                search.allowed = allowed;
                search.n_allowed = n_allowed;
                same_answer(&index, &search);
                search.min_score = metric == ANN_L2 ? -(double)dim : 0.2;
                same_answer(&index, &search);
            }
            index.engine->free(&index);
            ann_vectors_clear(&v);
        }
}

TEST(exact_engine_answers_over_no_rows) {
    AnnVectors v;
    float query[3] = {1, 2, 3};
    make(&v, 0, 3, ANN_IP, 0);
    AnnIndex index = {.engine = &ann_exact_engine, .vectors = &v, .factory = "exact"};
    CHECK(index.engine->build(&index, NULL, NULL) == ST_OK);
    AnnSearch search = {.query = query, .k = 5, .min_score = -INFINITY};
    same_answer(&index, &search);
    index.engine->free(&index);
    ann_vectors_clear(&v);
}

/* Of the ten nearest of `truth`, the rows before they were stored. */
static double recall(const AnnIndex *index, const AnnVectors *truth, int64_t ef) {
    int64_t hits = 0, all = 0;
    for (int64_t q = 0; q < 50; q++) {
        TopK found = {0}, expected = {0};
        AnnSearch search = {
            .query = ann_row(truth, q * 31), .k = 10, .min_score = -INFINITY, .ef = ef};
        topk_init(&found, 10, NULL);
        topk_init(&expected, 10, NULL);
        CHECK(index->engine->search(index, &search, &found, 1, NULL) == ST_OK);
        CHECK(ann_scan(truth, &search, &expected, NULL) == ST_OK);
        for (size_t i = 0; i < expected.len; i++, all++)
            for (size_t j = 0; j < found.len; j++) hits += found.item[j].id == expected.item[i].id;
        topk_clear(&found);
        topk_clear(&expected);
    }
    return (double)hits / (double)all;
}

/* Every engine and metric: built, found to be near, stored, read back with the same answers, damage
 * noticed. */
static void build_and_store(
    const char *factory, AnnMetric metric, AnnStorage storage, double least) {
    AnnVectors plain, v;
    Bytes stored = {0};
    Task task = {.threads = 1};
    make(&plain, 3000, 16, metric, 0);
    CHECK(ann_vectors_alloc_as(&v, 3000, 16, metric, storage, NULL) == ST_OK);
    for (int64_t i = 0; i < 3000; i++)
        CHECK(ann_encode(storage, ann_row(&plain, i), 16, ann_stored(&v, i)) < 0);
    ann_vectors_finish(&v);
    AnnIndex index = {.engine = ann_engine_for(factory), .vectors = &v, .factory = factory};
    CHECK(index.engine->check(factory, 16, metric, NULL) == ST_OK);
    CHECK(index.engine->build(&index, &task, NULL) == ST_OK);
    double before = recall(&index, &plain, 128);
    if (before < least)
        fprintf(stderr, "%s metric %d storage %d: recall %.3f\n", factory, metric, storage, before);
    CHECK(before >= least);
    CHECK(index.engine->save(&index, &stored, NULL) == ST_OK);
    index.engine->free(&index);
    if (stored.len) {
        CHECK(index.engine->load(&index, stored.data, stored.len, NULL) == ST_OK);
        CHECK_NEAR(recall(&index, &plain, 128), before, 0);
        index.engine->free(&index);
        CHECK(index.engine->load(&index, stored.data, stored.len / 2, NULL) == ST_CORRUPT);
        /* refused or sound, never a crash */
        for (size_t at = 0; at < stored.len && metric == ANN_L2; at += 1 + stored.len / 25) {
            stored.data[at] ^= 0x55;
            if (index.engine->load(&index, stored.data, stored.len, NULL) == ST_OK) {
                recall(&index, &plain, 16);
                index.engine->free(&index);
            }
            stored.data[at] ^= 0x55;
        }
    }
    bytes_clear(&stored);
    ann_vectors_clear(&v);
    ann_vectors_clear(&plain);
}

TEST(engines_find_what_is_near_and_survive_storage) {
    static const char *const factories[] = {"HNSW16", "Flat", "IVF16,Flat", "IVF16,PQ4", "PQ4",
        "SQ8", "SQfp16", "IVF16,SQ8", "PCA8,IVF16,Flat", "OPQ4,IVF16,PQ4", "IVF16_HNSW8,Flat",
        "IVF16,PQ4,RFlat", "L2norm,Flat,IDMap2", "HNSW8,SQ8", "RR,SQ6", "IVF16,PQ4x4fs", "PQ4x4fs"};
    for (size_t f = 0; f < sizeof factories / sizeof *factories; f++)
        for (int metric = ANN_IP; metric <= ANN_COSINE; metric++)
            build_and_store(factories[f], (AnnMetric)metric, ANN_F32,
                f == 1 ? 0.999
                    : strcmp(factories[f], "L2norm,Flat,IDMap2") == 0
                    ? (metric == ANN_COSINE ? 0.999 : 0)
                    : 0.7);
    for (int metric = ANN_IP; metric <= ANN_COSINE; metric++)
        for (int storage = ANN_F16; storage <= ANN_SQ8; storage++) {
            build_and_store("HNSW16", (AnnMetric)metric, (AnnStorage)storage, 0.9);
            build_and_store("IVF16,SQ8", (AnnMetric)metric, (AnnStorage)storage, 0.7);
        }
}

TEST(graph_over_rows_far_from_the_origin_is_walked_without_codes) {
    AnnVectors v;
    Task task = {.threads = 1};
    make(&v, 3000, 16, ANN_L2, 0);
    for (int64_t i = 0; i < 3000 * 16; i++) v.row[i] += 1000;
    ann_vectors_finish(&v);
    AnnIndex index = {.engine = &ann_graph_engine, .vectors = &v, .factory = "HNSW16"};
    CHECK(index.engine->build(&index, &task, NULL) == ST_OK);
    CHECK(recall(&index, &v, 128) >= 0.9);
    index.engine->free(&index);
    ann_vectors_clear(&v);
}

TEST(graph_takes_new_rows_and_gives_up_old_ones) {
    for (int metric = ANN_IP; metric <= ANN_COSINE; metric++) {
        AnnVectors all, before, after;
        Task task = {.threads = 1};
        int64_t *old_position = mem_array(3000, sizeof *old_position);
        make(&all, 3000, 16, (AnnMetric)metric, 0);
        CHECK(ann_vectors_alloc(&before, 2600, 16, (AnnMetric)metric, NULL) == ST_OK);
        memcpy(before.row, all.row, 2600 * 16 * sizeof(float));
        CHECK(ann_vectors_alloc(&after, 2900, 16, (AnnMetric)metric, NULL) == ST_OK);
        for (int64_t i = 0, at = 0; i < 3000; i++) { /* every 30th old row goes */
            if (i < 2600 && i % 26 == 13) continue;
            memcpy(after.row + at * 16, all.row + i * 16, 16 * sizeof(float));
            old_position[at++] = i < 2600 ? i : -1;
        }
        ann_vectors_finish(&before);
        ann_vectors_finish(&after);
        AnnIndex old = {.engine = &ann_graph_engine, .vectors = &before, .factory = "HNSW16"},
                 new = {.engine = &ann_graph_engine, .vectors = &after, .factory = "HNSW16"};
        CHECK(old.engine->build(&old, &task, NULL) == ST_OK);
        CHECK(new.engine->extend(&new, &old, old_position, &task, NULL) == ST_OK);
        CHECK(new.state != NULL);
        if (new.state) CHECK(recall(&new, &after, 128) >= 0.9);
        new.engine->free(&new);
        old.engine->free(&old);
        mem_free(old_position);
        ann_vectors_clear(&all);
        ann_vectors_clear(&before);
        ann_vectors_clear(&after);
    }
}

TEST(engines_refuse_with_a_reason) {
    Err err = {0};
    CHECK(ann_faiss_engine.check("NoSuchIndex", 16, ANN_L2, &err) == ST_BADARG);
    CHECK(strncmp(err.text, "FAISS cannot make index 'NoSuchIndex' of 16 dimensions: ", 56) == 0);
    static const char *const refused[] = {"HNSW0", "HNSW1", "HNSW513", "HNSW-8", "HNSW1,PQ4",
        "HNSW0,SQ8", "NSG1", "NSG16", "IVF16_NSG8,Flat", "HNSW16_16+PQ4", "LSQ4x4", "IVF0,Flat",
        "IVF99999999,Flat", "IVF4,PQ3", "IVF4,PQ0", "PQ4x20", "IMI2x16,Flat", "IVF4(PQ4),Flat",
        "PCA99,Flat", "Flat,Flat", "", "PQ", "Residual4x8,PQ4"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (ann_engine_for(refused[i])->check(refused[i], 16, ANN_L2, NULL) == ST_OK)
            fprintf(stderr, "taken: %s\n", refused[i]);
        CHECK(ann_engine_for(refused[i])->check(refused[i], 16, ANN_L2, NULL) == ST_BADARG);
    }
    CHECK(ann_engine_for("LSH")->check("LSH", 16, ANN_IP, NULL) == ST_BADARG);
    CHECK(ann_engine_for("HNSW8,Flat")->check("HNSW8,Flat", 16, ANN_L2, NULL) == ST_OK);
}

/* Of the bounds near what is needed, where rounding decides, and of any. */
TEST(the_first_look_leaves_nothing_out_that_the_second_keeps) {
    static const double floors[] = {-INFINITY, INFINITY, 0, -0.0};
    Random random;
    random_init(&random, 77, 0);
    int64_t out = 0;
    for (int64_t round = 0; round < 600000; round++) {
        AnnMetric metric = (AnnMetric)(round % 3);
        double x = pow(10, 30 * random_uniform(&random) - 15),
               y = round % 11 == 0
            ? 0
            : pow(10, (round % 2 ? 6 : 30) * random_uniform(&random) - (round % 2 ? 3 : 15));
        double scale = metric == ANN_COSINE ? 1 : metric == ANN_IP ? x * y : x * x + y * y;
        double floor = round % 50 < 4 ? floors[round % 50]
                                      : scale * (2 * random_uniform(&random) - 1);
        double needed = metric == ANN_IP ? floor
            : metric == ANN_COSINE       ? floor * x * y
                                         : (x * x + y * y + floor) / 2;
        float upper = (float)(round % 7 ? needed * (1 + 2e-5 * (random_uniform(&random) - .5))
                                        : scale * random_uniform(&random));
        float norm = y > 0 && !code_is_usual(y) ? INFINITY : nextafterf((float)y, INFINITY);
        CodeLook look = {0};
        code_look_above(&look, metric, x, floor);
        if (!(upper < look.base + norm * (look.linear + norm * look.square))) continue;
        out++;
        /* the cosine of a zero row is 0 */
        CHECK(y == 0 && metric == ANN_COSINE ? floor > 0 : code_is_out(metric, upper, floor, x, y));
    }
    CHECK(out > 50000);
}
