#include "../../ext/ann/ann.h"
#include "../../ext/base/memory.h"
#include "../../ext/base/random.h"
#include "check.h"

/* n x dim normal rows; if asked for, with skewed norms, planted duplicates and zero rows. */
static void make(AnnVectors *v, int64_t n, int32_t dim, AnnMetric metric, int ties) {
    Random random;
    CHECK(ann_vectors_alloc(v, n, dim, metric, NULL) == ST_OK);
    for (int64_t i = 0; i < n; i++) {
        random_init(&random, 21, (uint64_t)(ties && i % 97 == 5 ? i / 97 : i)); /* some rows repeat earlier ones */
        double scale = !ties ? 1 : i % 50 == 0 ? 0 : 1 / (1 + 0.01 * (double)(i % 300));
        for (int32_t j = 0; j < dim; j++) v->row[i * dim + j] = (float)(scale * random_normal(&random));
    }
    ann_vectors_finish(v);
}

static void same_answer(const AnnIndex *index, const AnnSearch *search) {
    TopK found = {0}, expected = {0};
    CHECK(topk_init(&found, search->k, NULL) == ST_OK && topk_init(&expected, search->k, NULL) == ST_OK);
    CHECK(index->engine->search(index, search, &found, NULL) == ST_OK);
    ann_scan(index->vectors, search, &expected);
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
            for (int64_t i = 0; i < 1003; i += 3, n_allowed++) allowed[i >> 6] |= (uint64_t)1 << (i & 63);
            for (int64_t q = 0; q < 40; q++) {
                AnnSearch search = {.query = ann_row(&v, q * 7), .k = (size_t)(q % 30) * 40, .min_score = -INFINITY};
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

static double recall(const AnnIndex *index, int64_t ef) {
    int64_t hits = 0, all = 0;
    for (int64_t q = 0; q < 50; q++) {
        TopK found = {0}, expected = {0};
        AnnSearch search = {.query = ann_row(index->vectors, q * 31), .k = 10, .min_score = -INFINITY, .ef = ef};
        topk_init(&found, 10, NULL);
        topk_init(&expected, 10, NULL);
        CHECK(index->engine->search(index, &search, &found, NULL) == ST_OK);
        ann_scan(index->vectors, &search, &expected);
        for (size_t i = 0; i < expected.len; i++, all++)
            for (size_t j = 0; j < found.len; j++) hits += found.item[j].id == expected.item[i].id;
        topk_clear(&found);
        topk_clear(&expected);
    }
    return (double)hits / (double)all;
}

TEST(faiss_engine_finds_what_is_near_and_survives_storage) {
    static const char *const factories[] = {"Flat", "HNSW16"};
    for (int f = 0; f < 2; f++)
        for (int metric = ANN_IP; metric <= ANN_COSINE; metric++) {
            AnnVectors v;
            Bytes stored = {0};
            Task task = {.threads = 1};
            make(&v, 3000, 16, (AnnMetric)metric, 0);
            AnnIndex index = {.engine = &ann_faiss_engine, .vectors = &v, .factory = factories[f]};
            CHECK(index.engine->check(factories[f], 16, (AnnMetric)metric, NULL) == ST_OK);
            CHECK(index.engine->build(&index, &task, NULL) == ST_OK);
            double before = recall(&index, 128);
            CHECK(before >= (f == 0 ? 0.999 : metric == ANN_IP ? 0.8 : 0.9));
            CHECK(index.engine->save(&index, &stored, NULL) == ST_OK);
            index.engine->free(&index);
            CHECK(index.engine->load(&index, stored.data, stored.len, NULL) == ST_OK);
            CHECK_NEAR(recall(&index, 128), before, 0);
            index.engine->free(&index);
            CHECK(index.engine->load(&index, stored.data, stored.len / 2, NULL) == ST_CORRUPT);
            bytes_clear(&stored);
            ann_vectors_clear(&v);
        }
}

TEST(faiss_engine_refuses_with_a_reason) {
    Err err = {0};
    CHECK(ann_faiss_engine.check("NoSuchIndex", 16, ANN_L2, &err) == ST_BADARG);
    CHECK_TEXT(err.text, "index='NoSuchIndex' (exact, auto, Flat, HNSW2 .. HNSW512)");
    static const char *const refused[] = {"IVF16,Flat", "HNSW0", "HNSW1", "HNSW513", "HNSW", "HNSW-8", "HNSW8,PQ4", "IDMap,Flat", "SQfp16"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) CHECK(ann_faiss_engine.check(refused[i], 16, ANN_L2, NULL) == ST_BADARG);
    CHECK(ann_faiss_engine.check("HNSW8,Flat", 16, ANN_L2, NULL) == ST_OK);
}
